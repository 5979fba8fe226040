//! Wrapped keys: as they come over the socket, and what is inside of one.

use crate::vault::{Door, name, status};
use nitride_protocol::application::{Unwrap, Wrap};
use nitride_protocol::limits::MAX_WRAPPED_LEN;
use nitride_protocol::{KeyType, Message, Status, open_reply};
use std::sync::{Mutex, OnceLock};

/// Bytes as the inside of a wrapped key, which has one spelling; as a wrapped key, which is
/// refused; and as changes to one that was right.
pub fn wrapped_key(data: &[u8]) {
    if let Some(again) = nitride_vault::typed_key_written_again(data) {
        assert_eq!(again, data);
    }
    let (door, whole) = world();
    let mut door = door.lock().expect("one thread");
    if data.len() <= MAX_WRAPPED_LEN {
        refused(&mut door, data);
    }
    // Three bytes a change: a place, and what is flipped there.
    let mut changed = whole.clone();
    for change in data.chunks_exact(3) {
        let place = usize::from(u16::from_be_bytes([change[0], change[1]])) % changed.len();
        changed[place] ^= change[2];
    }
    if changed != *whole {
        refused(&mut door, &changed);
    }
}

fn refused(door: &mut Door, wrapped: &[u8]) {
    for key_type in [KeyType::Aes256Gcm, KeyType::Secret] {
        let unwrap = Unwrap {
            wrapping_key: name("kek"),
            wrapped,
            new_key: name("new"),
            key_type,
        };
        let (outcome, reply) = door.ask(&unwrap);
        let status = status(&outcome, &reply).expect("unwrap is answered at once");
        assert_ne!(status, Status::Ok, "a wrapped key was forged");
    }
}

/// A vault with a wrapping key, and a key that it wrapped.
fn world() -> &'static (Mutex<Door>, Vec<u8>) {
    static WORLD: OnceLock<(Mutex<Door>, Vec<u8>)> = OnceLock::new();
    WORLD.get_or_init(|| {
        let mut door = Door::open();
        door.generate("kek", KeyType::Aes256Kwp, &[]);
        door.generate("data", KeyType::Aes256Gcm, &["kek"]);
        let wrap = Wrap {
            wrapping_key: name("kek"),
            key: name("data"),
            version: None,
        };
        let (_, reply) = door.ask(&wrap);
        let (_, result) = open_reply(&reply).expect("a reply");
        let wrapped = nitride_protocol::application::Wrapped::decode_last(result);
        let wrapped = wrapped.expect("the key is wrapped").wrapped.to_vec();
        (Mutex::new(door), wrapped)
    })
}
