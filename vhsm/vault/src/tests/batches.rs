//! Several operations in one packet.

use super::calls::{decrypt, encrypt, generate, mac, sign, verify};
use super::world::{EVERYTHING, Not, World, kbs, key, name, policy, rule};
use crate::policy::Source;
use crate::{BatchRefusal, Refusal};
use nitride_protocol::application::{Batch, BatchAnswer, BatchItem, Random, VerifyMac};
use nitride_protocol::limits::{MAX_BATCH_LEN, MAX_INLINE_LEN};
use nitride_protocol::{KeyType, Operation, Status};

fn world() -> World {
    let keys = vec![
        key("ec", KeyType::EcP256, Source::Generate),
        key("gcm", KeyType::Aes256Gcm, Source::Generate),
        key("hmac", KeyType::HmacSha256, Source::Generate),
        key("far", KeyType::HmacSha256, kbs("r/t/far")),
    ];
    let rules = vec![
        rule(1, "**", EVERYTHING),
        rule(2, "hmac", &[Operation::Mac]),
    ];
    World::new(policy(rules, keys))
}

#[test]
fn each_item_is_answered_in_its_place_and_judged_by_itself() {
    let mut world = world();
    let mut app = world.application(1);
    let tag = world.ask(&mut app, &mac("hmac", b"data")).unwrap();
    let tag = tag.result().tag.to_vec();
    let sealed = world.ask(&mut app, &encrypt("gcm", b"plain", b"")).unwrap();
    let asked = Batch {
        items: vec![
            BatchItem::Mac(mac("hmac", b"data")),
            BatchItem::Sign(sign("gcm", None, b"message")),
            BatchItem::Decrypt(decrypt("gcm", sealed.result().ciphertext, b"")),
            BatchItem::Mac(mac("nowhere", b"data")),
            BatchItem::Mac(mac("far", b"data")),
            BatchItem::Verify(verify("ec", None, b"message", &[1; 64])),
            BatchItem::VerifyMac(VerifyMac {
                key: name("hmac"),
                version: None,
                data: b"data",
                tag: &tag,
            }),
            BatchItem::Random(Random { len: 5 }),
            BatchItem::Sign(sign("ec", None, b"message")),
        ],
    };
    let answered = world.ask(&mut app, &asked).unwrap();
    let answers = answered.result().items;
    assert_eq!(
        answers[..7],
        [
            BatchAnswer::Versioned {
                version: 1,
                bytes: &tag
            },
            BatchAnswer::Refused(Status::WrongKeyType),
            BatchAnswer::Bytes(b"plain"),
            BatchAnswer::Refused(Status::KeyNotFound),
            BatchAnswer::Refused(Status::TimedOut),
            BatchAnswer::Refused(Status::VerificationFailed),
            BatchAnswer::Done,
        ]
    );
    assert!(matches!(answers[7], BatchAnswer::Bytes(bytes) if bytes.len() == 5));
    let BatchAnswer::Versioned { bytes, .. } = answers[8] else {
        panic!("{:?}", answers[8]);
    };
    let good = verify("ec", None, b"message", bytes);
    let refused: Vec<_> = app.batch_refusals().to_vec();
    world.ask(&mut app, &good).unwrap();
    // The log is told of each that was refused, and why.
    let refusal_of = |item| refused.iter().find(|refused| refused.item == item);
    assert_eq!(refused.len(), 4);
    assert_eq!(
        refusal_of(4),
        Some(&BatchRefusal {
            item: 4,
            operation: Operation::Mac,
            refusal: None
        })
    );
    let not_found = refusal_of(3).and_then(|refused| refused.refusal);
    assert_eq!(not_found, Some(Refusal::KeyNotFound));
    assert!(app.batch_refusals().is_empty());
}

#[test]
fn a_batch_grants_nothing_that_its_items_do_not() {
    let mut world = world();
    let mut app = world.application(2);
    let asked = Batch {
        items: vec![
            BatchItem::Mac(mac("hmac", b"data")),
            BatchItem::Encrypt(encrypt("gcm", b"plain", b"")),
            BatchItem::Random(Random { len: 5 }),
        ],
    };
    let answered = world.ask(&mut app, &asked).unwrap();
    let answers = answered.result().items;
    assert!(matches!(answers[0], BatchAnswer::Versioned { .. }));
    let denied = BatchAnswer::Refused(Status::Denied);
    assert_eq!(answers[1..], [denied, denied]);
}

#[test]
fn what_has_no_room_is_refused_and_leaves_room_for_the_others_refusals() {
    let mut world = world();
    let mut app = world.application(1);
    let most = u32::try_from(MAX_INLINE_LEN).unwrap();
    let asked = Batch {
        items: vec![BatchItem::Random(Random { len: most }); MAX_BATCH_LEN],
    };
    let answered = world.ask(&mut app, &asked).unwrap();
    let answers = answered.result().items;
    assert_eq!(answers.len(), MAX_BATCH_LEN);
    for (at, answer) in answers.iter().enumerate() {
        match (at, answer) {
            (0..3, BatchAnswer::Bytes(bytes)) => assert_eq!(bytes.len(), MAX_INLINE_LEN),
            (_, BatchAnswer::Refused(Status::TooLarge)) => {}
            _ => panic!("item {at}: {answer:?}"),
        }
    }
}

#[test]
fn a_batch_of_a_hundred_signs_makes_each_use_count() {
    let mut world = world();
    let mut app = world.application(1);
    let asked = Batch {
        items: vec![BatchItem::Sign(sign("ec", None, b"message")); 100],
    };
    world.ask(&mut app, &asked).unwrap();
    let held = world.vault.keys.find("ec").unwrap().unwrap();
    assert_eq!(held.read().unwrap().versions[0].uses(), 100);
}

#[test]
fn a_batch_of_nothing_is_none() {
    let mut world = world();
    let mut app = world.application(1);
    world
        .ask(&mut app, &generate("other", KeyType::Ed25519))
        .unwrap();
    let asked = Batch { items: vec![] };
    let refused = world.ask(&mut app, &asked).unwrap_err();
    assert_eq!(refused, Not::Done(Status::Malformed));
}
