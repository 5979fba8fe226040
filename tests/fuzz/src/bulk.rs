//! The chunked format of shared memory: header, salt, chunks.

use crate::vault::{Door, NOW, name, status};
use nitride_protocol::application::{DecryptBuffer, EncryptBuffer, Window};
use nitride_protocol::{Call, KeyType, Message};
use nitride_vault::{BULK_CHUNK_LEN, BULK_PREFIX_LEN, Bulk, BulkRequest, Outcome};
use std::sync::{Mutex, OnceLock};

const TAG_LEN: usize = 16;

/// Bytes as a message; and as changes to one that was right: its length, then places and what is
/// flipped there, then where it ends. What is released is ever a beginning of what was encrypted,
/// and all of it only where nothing was changed.
pub fn bulk(data: &[u8]) {
    static DOOR: OnceLock<Mutex<Door>> = OnceLock::new();
    let door = DOOR.get_or_init(|| {
        let mut door = Door::open();
        door.generate("data", KeyType::Aes256Gcm, &[]);
        Mutex::new(door)
    });
    let mut door = door.lock().expect("one thread");
    let (released, is_whole) = open(&mut door, data);
    assert!(released.is_empty() && !is_whole, "a message was forged");

    let Some((script, changes)) = data.split_first_chunk::<6>() else {
        return;
    };
    let number = |at: usize| u32::from_be_bytes([0, script[at], script[at + 1], script[at + 2]]);
    let len = number(0) as usize % (2 * BULK_CHUNK_LEN + 100);
    let plaintext: Vec<u8> = (0..=250).cycle().take(len).collect();
    let whole = seal(&mut door, &plaintext);
    let mut changed = whole.clone();
    for change in changes.chunks_exact(4) {
        let place = u32::from_be_bytes([0, change[0], change[1], change[2]]) as usize;
        let place = place % changed.len();
        changed[place] ^= change[3];
    }
    // Most keep their length.
    if script[3] & 1 == 1 {
        changed.truncate(number(3) as usize % (whole.len() + 1));
    }
    let (released, is_whole) = open(&mut door, &changed);
    assert!(plaintext.starts_with(&released));
    assert_eq!(is_whole, changed == whole, "{len} bytes");
    assert!(!is_whole || released == plaintext);
}

fn window(len: usize) -> Window<'static> {
    Window {
        key: name("data"),
        buffer: None,
        input_offset: 0,
        input_len: len as u64,
        output_offset: 0,
        aad: b"aad",
    }
}

fn seal(door: &mut Door, plaintext: &[u8]) -> Vec<u8> {
    let request = EncryptBuffer(window(plaintext.len()));
    let mut bulk = begin(door, &request, &[]).expect("the key can seal");
    let mut sealed = bulk.prefix().to_vec();
    let mut out = vec![0; BULK_CHUNK_LEN + TAG_LEN];
    let mut chunks = plaintext.chunks(BULK_CHUNK_LEN);
    loop {
        let chunk = chunks.next().unwrap_or_default();
        let len = bulk.seal_chunk(chunk, &mut out).expect("a chunk in turn");
        sealed.extend_from_slice(&out[..len]);
        if bulk.is_done() {
            return sealed;
        }
    }
}

/// What is released, and whether that is all of it.
fn open(door: &mut Door, sealed: &[u8]) -> (Vec<u8>, bool) {
    let mut released = Vec::new();
    let (prefix, body) = sealed.split_at(sealed.len().min(BULK_PREFIX_LEN));
    let Some(mut bulk) = begin(door, &DecryptBuffer(window(sealed.len())), prefix) else {
        return (released, false);
    };
    let mut out = vec![0; BULK_CHUNK_LEN + TAG_LEN];
    for chunk in body.chunks(BULK_CHUNK_LEN + TAG_LEN) {
        match bulk.open_chunk(chunk, &mut out) {
            Ok(len) => released.extend_from_slice(&out[..len]),
            Err(_) => return (released, false),
        }
    }
    (released, bulk.is_done())
}

/// `None`: it was refused.
fn begin<'a, C: Call + Message<'a>>(door: &mut Door, call: &C, prefix: &[u8]) -> Option<Bulk> {
    let request: BulkRequest = match door.ask(call) {
        (Outcome::Bulk(request), _) => request,
        (outcome, reply) => {
            assert!(status(&outcome, &reply).is_some(), "it is answered");
            return None;
        }
    };
    let mut reply = [0; 64];
    let (session, draw) = (&mut door.session, &mut door.draw);
    let begun = door
        .vault
        .start_bulk(session, &request, prefix, NOW, draw, &mut reply);
    begun.ok()
}
