//! The chunked format, and who may have what sealed in it.

use super::*;
use crate::Socket;
use crate::ciphertext::TAG_LEN;
use crate::policy::Source;
use crate::tests::calls::{encrypt, generate, import};
use crate::tests::world::{EVERYTHING, Not, World, key, name, peer, policy, rule};
use nitride_protocol::application::Describe;
use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_protocol::{Call as _, OperationSet, Status, open_reply, open_request, write_request};
use nitride_secmem::crypto::{AeadKey, HashAlgorithm, hkdf, sha256};
use proptest::prelude::*;

const TYPES: [(KeyType, u8); 3] = [
    (KeyType::Aes256Gcm, 0x81),
    (KeyType::Aes256GcmSiv, 0x82),
    (KeyType::ChaCha20Poly1305, 0x85),
];

fn world() -> (World, Session) {
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![]));
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    for (key_type, _) in TYPES {
        let own = generate(key_type.as_str(), key_type);
        world.ask(&mut app, &own).unwrap();
        let shared = format!("shared/{key_type}");
        let shared = import(&shared, key_type, &[3; 32]);
        world.ask(&mut admin, &shared).unwrap();
    }
    (world, app)
}

/// Asks for one operation; gives the request that the daemon would go on with.
fn ask<'a, C: nitride_protocol::Call + Message<'a>>(
    world: &mut World,
    session: &mut Session,
    call: &C,
) -> Result<BulkRequest, Status> {
    let mut packet = vec![0; MAX_PACKET_LEN];
    let len = write_request(&mut packet, 5, C::OPERATION, call).unwrap();
    let (head, params) = open_request(&packet[..len]).unwrap();
    let mut reply = vec![0; 1000];
    let (now, draw) = (world.now, &mut world.draw);
    match world
        .vault
        .perform(session, head, params, now, draw, &mut reply)
    {
        Outcome::Bulk(request) => Ok(request),
        Outcome::Reply(len) => Err(status(&reply[..len])),
        other => panic!("{other:?}"),
    }
}

fn status(reply: &[u8]) -> Status {
    open_reply(reply).unwrap().0.status
}

fn start(
    world: &mut World,
    session: &mut Session,
    request: &BulkRequest,
    prefix: &[u8],
) -> Result<Bulk, Status> {
    let mut reply = [0; 64];
    let (now, draw) = (world.now, &mut world.draw);
    let started = world
        .vault
        .start_bulk(session, request, prefix, now, draw, &mut reply);
    started.map_err(|outcome| match outcome {
        Outcome::Reply(len) => status(&reply[..len]),
        other => panic!("{other:?}"),
    })
}

fn to_encrypt<'a>(key: &'a str, input_len: usize, aad: &'a [u8]) -> EncryptBuffer<'a> {
    EncryptBuffer(Window {
        key: name(key),
        buffer: Some(1),
        input_offset: 3,
        input_len: input_len as u64,
        output_offset: 4,
        aad,
    })
}

fn to_decrypt<'a>(key: &'a str, input_len: usize, aad: &'a [u8]) -> DecryptBuffer<'a> {
    DecryptBuffer(Window {
        key: name(key),
        buffer: None,
        input_offset: 0,
        input_len: input_len as u64,
        output_offset: 0,
        aad,
    })
}

fn seal(world: &mut World, app: &mut Session, key: &str, plaintext: &[u8], aad: &[u8]) -> Vec<u8> {
    let request = ask(world, app, &to_encrypt(key, plaintext.len(), aad)).unwrap();
    assert!(request.is_sealing());
    assert_eq!((request.id(), request.buffer()), (5, Some(1)));
    assert_eq!((request.input_offset(), request.output_offset()), (3, 4));
    let mut bulk = start(world, app, &request, &[]).unwrap();
    let mut sealed = bulk.prefix().to_vec();
    let mut window = vec![0; BULK_CHUNK_LEN + TAG_LEN];
    let mut chunks = plaintext.chunks(BULK_CHUNK_LEN);
    while !bulk.is_done() {
        let chunk = chunks.next().unwrap_or_default();
        let len = bulk.seal_chunk(chunk, &mut window).unwrap();
        sealed.extend_from_slice(&window[..len]);
    }
    assert_eq!(sealed.len() as u64, request.output_len());
    let mut reply = [0; 64];
    let Outcome::Reply(len) = bulk.write_reply(&mut reply) else {
        panic!("no reply");
    };
    assert_eq!(status(&reply[..len]), Status::Ok);
    sealed
}

/// What is released of `sealed`, and how it ended.
fn open(
    world: &mut World,
    app: &mut Session,
    key: &str,
    sealed: &[u8],
    aad: &[u8],
) -> (Vec<u8>, Result<(), Status>) {
    let mut released = Vec::new();
    let request = match ask(world, app, &to_decrypt(key, sealed.len(), aad)) {
        Ok(request) => request,
        Err(status) => return (released, Err(status)),
    };
    let (prefix, body) = sealed.split_at(BULK_PREFIX_LEN);
    let mut bulk = match start(world, app, &request, prefix) {
        Ok(bulk) => bulk,
        Err(status) => return (released, Err(status)),
    };
    let mut window = vec![0; BULK_CHUNK_LEN];
    for chunk in body.chunks(BULK_CHUNK_LEN + TAG_LEN) {
        match bulk.open_chunk(chunk, &mut window) {
            Ok(len) => released.extend_from_slice(&window[..len]),
            Err(refusal) => {
                assert!(window.iter().all(|byte| *byte == 0));
                // Nothing after it opens.
                assert!(bulk.open_chunk(chunk, &mut window).is_err());
                return (released, Err(refusal.status()));
            }
        }
    }
    assert!(bulk.is_done());
    assert_eq!(released.len() as u64, request.output_len());
    (released, Ok(()))
}

fn plaintext(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

#[test]
fn every_length_opens_under_every_key_of_256_bits() {
    let (mut world, mut app) = world();
    for (key_type, number) in TYPES {
        for key in [key_type.as_str().to_owned(), format!("shared/{key_type}")] {
            for len in [0, 1, 65_535, 65_536, 65_537, 200_000] {
                let plaintext = plaintext(len);
                let sealed = seal(&mut world, &mut app, &key, &plaintext, b"aad");
                assert_eq!(sealed[..4], [b'N', b'V', 1, number]);
                let (released, ended) = open(&mut world, &mut app, &key, &sealed, b"aad");
                assert_eq!(ended, Ok(()), "{key}, {len}");
                assert!(released == plaintext);
            }
        }
    }
}

#[test]
fn what_was_cut_grown_or_put_in_another_order_releases_nothing() {
    let (mut world, mut app) = world();
    let key = "aes-256-gcm";
    let (prefix, chunk) = (BULK_PREFIX_LEN, BULK_CHUNK_LEN + TAG_LEN);
    let sealed = seal(&mut world, &mut app, key, &plaintext(200_000), b"");
    let other = seal(&mut world, &mut app, key, &plaintext(200_000), b"");
    let last = sealed.len() - (prefix + 3 * chunk);
    let head = &sealed[..prefix];
    let part = |at: usize| &sealed[prefix + at * chunk..][..chunk];
    let tail = &sealed[sealed.len() - last..];
    // Whatever changes the length makes another key.
    for (what, forged) in [
        (
            "without its last chunk",
            sealed[..prefix + 3 * chunk].to_vec(),
        ),
        ("one chunk alone", sealed[..prefix + chunk].to_vec()),
        (
            "a chunk twice",
            [head, part(0), part(0), part(1), part(2), tail].concat(),
        ),
        ("a byte less", sealed[..sealed.len() - 1].to_vec()),
        ("a byte more", [&sealed[..], &[0]].concat()),
        (
            "another aad's header",
            [&other[..prefix], &sealed[prefix..]].concat(),
        ),
    ] {
        let (released, ended) = open(&mut world, &mut app, key, &forged, b"");
        assert_eq!(ended, Err(Status::VerificationFailed), "{what}");
        assert!(released.is_empty(), "{what}");
    }
    // What does not, releases what comes before it, and that is authentic.
    for (what, forged, kept) in [
        (
            "swapped",
            [head, part(1), part(0), part(2), tail].concat(),
            0,
        ),
        (
            "swapped later",
            [head, part(0), part(2), part(1), tail].concat(),
            1,
        ),
        (
            "of another message",
            [head, part(0), &other[prefix + chunk..]].concat(),
            1,
        ),
    ] {
        let (released, ended) = open(&mut world, &mut app, key, &forged, b"");
        assert_eq!(ended, Err(Status::VerificationFailed), "{what}");
        assert!(released == plaintext(kept * BULK_CHUNK_LEN), "{what}");
    }
    let (released, ended) = open(&mut world, &mut app, key, &sealed, b"other");
    assert_eq!(ended, Err(Status::VerificationFailed));
    assert!(released.is_empty());
}

#[test]
fn lengths_that_no_message_has_are_refused_before_any_memory_is_looked_at() {
    let (mut world, mut app) = world();
    let chunk = BULK_CHUNK_LEN + TAG_LEN;
    let none = [0, 55, 56, 71, 56 + chunk + 1, 56 + chunk + 16];
    for len in none {
        let asked = to_decrypt("aes-256-gcm", len, b"");
        let refused = ask(&mut world, &mut app, &asked).unwrap_err();
        assert_eq!(refused, Status::Malformed, "{len}");
    }
    for input_len in [u64::MAX, 1 << 60] {
        let EncryptBuffer(window) = to_encrypt("aes-256-gcm", 0, b"");
        let asked = EncryptBuffer(Window {
            input_len,
            ..window
        });
        // Past 2^32 chunks the numbers of the nonces would not do.
        let refused = match ask(&mut world, &mut app, &asked) {
            Ok(request) => start(&mut world, &mut app, &request, &[]).unwrap_err(),
            Err(status) => status,
        };
        assert_eq!(refused, Status::TooLarge);
    }
}

#[test]
fn keys_of_other_types_and_foreign_headers_are_refused_by_name() {
    let (mut world, mut app) = world();
    for (key, key_type) in [("k128", KeyType::Aes128Gcm), ("hmac", KeyType::HmacSha256)] {
        world.ask(&mut app, &generate(key, key_type)).unwrap();
        let request = ask(&mut world, &mut app, &to_encrypt(key, 5, b"")).unwrap();
        let refused = start(&mut world, &mut app, &request, &[]).unwrap_err();
        assert_eq!(refused, Status::WrongKeyType);
    }
    let sealed = seal(&mut world, &mut app, "aes-256-gcm", b"plain", b"");
    for (at, expected) in [
        (0, Status::Malformed),
        (3, Status::VerificationFailed),
        (4, Status::VerificationFailed),
        (23, Status::VersionNotFound),
        (24, Status::VerificationFailed),
        (56, Status::VerificationFailed),
    ] {
        let mut changed = sealed.clone();
        changed[at] ^= 2;
        let (released, ended) = open(&mut world, &mut app, "aes-256-gcm", &changed, b"");
        assert_eq!((released.len(), ended), (0, Err(expected)), "byte {at}");
    }
    let mut whole = sealed.clone();
    whole[3] &= 0x7f;
    let (_, ended) = open(&mut world, &mut app, "aes-256-gcm", &whole, b"");
    assert_eq!(ended, Err(Status::Malformed));
    let (_, ended) = open(&mut world, &mut app, "chacha20-poly1305", &sealed, b"");
    assert_eq!(ended, Err(Status::VerificationFailed));
}

#[test]
fn a_peer_without_a_rule_has_no_memory_looked_at() {
    let keys = vec![key("k", KeyType::Aes256Gcm, Source::Generate)];
    let rules = vec![rule(1, "k", &[Operation::DecryptBuffer])];
    let mut world = World::new(policy(rules, keys));
    let mut app = world.application(1);
    let refused = ask(&mut world, &mut app, &to_encrypt("k", 5, b"")).unwrap_err();
    assert_eq!(refused, Status::Denied);
    let mut stranger = world.vault.session(peer(7), Socket::Application);
    let refused = ask(&mut world, &mut stranger, &to_decrypt("k", 72, b"")).unwrap_err();
    assert_eq!(refused, Status::Denied);
    assert_eq!(EncryptBuffer::VERB, "encrypt-buffer");
}

#[test]
fn who_may_encrypt_may_do_it_in_bulk_and_not_the_other_way_around() {
    let allowing = |name: &str, operations: &[Operation]| {
        let mut rule = key(name, KeyType::Aes256Gcm, Source::Generate);
        rule.operations = OperationSet::of(operations);
        rule
    };
    let both = [Operation::Encrypt, Operation::Decrypt];
    let bulk = [Operation::EncryptBuffer, Operation::DecryptBuffer];
    let keys = vec![
        allowing("data", &both),
        allowing("sealed", &[Operation::Encrypt]),
        allowing("bulk", &bulk),
    ];
    let rules = vec![
        rule(1, "**", &[&both[..], &[Operation::Describe]].concat()),
        rule(2, "**", &[Operation::Decrypt]),
        rule(3, "**", &bulk),
    ];
    let mut world = World::new(policy(rules, keys));
    let (mut app, mut reader) = (world.application(1), world.application(2));
    let sealed = seal(&mut world, &mut app, "data", b"plain", b"");
    let (released, ended) = open(&mut world, &mut app, "data", &sealed, b"");
    assert_eq!((&released[..], ended), (&b"plain"[..], Ok(())));
    let (released, ended) = open(&mut world, &mut reader, "data", &sealed, b"");
    assert_eq!((&released[..], ended), (&b"plain"[..], Ok(())));
    let refused = ask(&mut world, &mut reader, &to_encrypt("data", 5, b"")).unwrap_err();
    assert_eq!(refused, Status::Denied);
    // The key's own say is folded the same way.
    let sealed = seal(&mut world, &mut app, "sealed", b"plain", b"");
    let (_, ended) = open(&mut world, &mut app, "sealed", &sealed, b"");
    assert_eq!(ended, Err(Status::Denied));
    let asked = Describe { key: name("data") };
    let told = world.ask(&mut app, &asked).unwrap();
    assert!(OperationSet::of(&bulk).is_subset_of(told.result().operations));
    // Buffers alone stay buffers alone, in a rule and in a key.
    let mut bulk_only = world.application(3);
    let refused = world.ask(&mut bulk_only, &encrypt("data", b"plain", b""));
    assert_eq!(refused.unwrap_err(), Not::Done(Status::Denied));
    let refused = world.ask(&mut app, &encrypt("bulk", b"plain", b""));
    assert_eq!(refused.unwrap_err(), Not::Done(Status::Denied));
    seal(&mut world, &mut app, "bulk", b"plain", b"");
}

#[test]
fn a_message_is_what_the_cddl_says_it_is() {
    let (mut world, mut app) = world();
    let plaintext = plaintext(70_000);
    for (key_type, _) in TYPES {
        // Imported, so that its bytes are known here.
        let key = format!("shared/{key_type}");
        let sealed = seal(&mut world, &mut app, &key, &plaintext, b"aad");
        let (header, salt) = (&sealed[..24], &sealed[24..56]);
        let info = [
            b"nitride bulk v1\0",
            header,
            &70_000u64.to_be_bytes(),
            &sha256(&[b"aad"]),
        ]
        .concat();
        let message_key = hkdf(HashAlgorithm::Sha256, &[3; 32], salt, &info, 32).unwrap();
        let algorithm = match key_type {
            KeyType::ChaCha20Poly1305 => AeadAlgorithm::ChaCha20Poly1305,
            _ => AeadAlgorithm::Aes256Gcm,
        };
        let cipher = AeadKey::new(algorithm, message_key.expose()).unwrap();
        let mut opened = Vec::new();
        for (number, chunk) in sealed[56..].chunks(65_536 + 16).enumerate() {
            let number = u8::try_from(number).unwrap();
            let nonce = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number, number];
            let mut out = vec![0; chunk.len()];
            let len = cipher.open(&nonce, &[], chunk, &mut out).unwrap();
            opened.extend_from_slice(&out[..len]);
        }
        assert!(opened == plaintext, "{key_type}");
    }
}

#[test]
fn chunks_out_of_turn_are_refused() {
    let (mut world, mut app) = world();
    let request = ask(
        &mut world,
        &mut app,
        &to_encrypt("aes-256-gcm", 65_537, b""),
    )
    .unwrap();
    let mut bulk = start(&mut world, &mut app, &request, &[]).unwrap();
    let mut window = vec![0; BULK_CHUNK_LEN + TAG_LEN];
    for len in [0, 1, 65_535] {
        assert!(bulk.seal_chunk(&vec![0; len], &mut window).is_err());
    }
    bulk.seal_chunk(&[0; BULK_CHUNK_LEN], &mut window).unwrap();
    assert!(bulk.seal_chunk(&[0; 2], &mut window).is_err());
    bulk.seal_chunk(&[0; 1], &mut window).unwrap();
    assert!(bulk.is_done());
    assert!(bulk.seal_chunk(&[], &mut window).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn what_was_sealed_opens_and_any_change_refuses(
        len in 0usize..140_000,
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let (mut world, mut app) = world();
        let plaintext = plaintext(len);
        let mut sealed = seal(&mut world, &mut app, "chacha20-poly1305", &plaintext, b"");
        let (released, ended) = open(&mut world, &mut app, "chacha20-poly1305", &sealed, b"");
        prop_assert_eq!(ended, Ok(()));
        prop_assert!(released == plaintext);
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        let (released, ended) = open(&mut world, &mut app, "chacha20-poly1305", &sealed, b"");
        prop_assert!(ended.is_err());
        prop_assert!(plaintext.starts_with(&released));
    }
}
