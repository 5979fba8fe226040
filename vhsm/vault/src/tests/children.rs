//! Keys that are made out of another one.

use super::calls::{agree, decapsulate, decrypt, derive, encapsulate, encrypt, generate, mac};
use super::world::{Answered, EVERYTHING, Not, World, gate, kbs, key, name, policy, rule};
use crate::policy::{KeyRule, Source};
use crate::{Refusal, Session, Want};
use nitride_protocol::application::{Describe, Mac, PublicKey};
use nitride_protocol::{KeyType, Operation, OperationSet, Origin, Status};

const AGREEING: [KeyType; 4] = [
    KeyType::EcP256,
    KeyType::EcP384,
    KeyType::EcP521,
    KeyType::X25519,
];

/// A world with a parent that a service provisioned, so that others have it, too.
fn world_with(change: impl FnOnce(&mut KeyRule)) -> (World, Session) {
    let mut parent = key("parent", KeyType::HmacSha256, kbs("r/t/parent"));
    change(&mut parent);
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![parent]));
    let app = world.application(1);
    world.deliver("parent", &[7; 32]);
    (world, app)
}

fn world() -> (World, Session) {
    world_with(|_| {})
}

fn tag(world: &mut World, app: &mut Session, key: &str) -> Vec<u8> {
    let tag: Answered<Mac<'_>> = world.ask(app, &mac(key, b"data")).unwrap();
    tag.result().tag.to_vec()
}

fn public_key(world: &mut World, app: &mut Session, key: &str) -> Vec<u8> {
    let asked = PublicKey {
        key: name(key),
        version: None,
    };
    world.ask(app, &asked).unwrap().result().spki.to_vec()
}

#[test]
fn the_same_derivation_gives_the_same_key_everywhere_and_any_other_another() {
    let (mut one, mut app) = world();
    let (mut other, mut other_app) = world();
    let asked = derive("parent", "child", KeyType::HmacSha256);
    let made = one.ask(&mut app, &asked).unwrap();
    assert_eq!(
        (made.result().parent_version, made.result().version),
        (1, 1)
    );
    other.ask(&mut other_app, &asked).unwrap();
    let expected = tag(&mut one, &mut app, "child");
    assert_eq!(tag(&mut other, &mut other_app, "child"), expected);

    let mut named = asked;
    named.child.name = name("named");
    let (mut salted, mut informed) = (asked, asked);
    (salted.child.name, salted.salt) = (name("salted"), b"salt");
    (informed.child.name, informed.child.info) = (name("informed"), b"info");
    let mut seen = vec![expected];
    for asked in [named, salted, informed] {
        one.ask(&mut app, &asked).unwrap();
        let tag = tag(&mut one, &mut app, asked.child.name.as_str());
        assert!(!seen.contains(&tag));
        seen.push(tag);
    }
}

#[test]
fn a_child_of_each_type_works_and_is_called_derived() {
    let (mut world, mut app) = world();
    for (child, key_type) in [
        ("gcm", KeyType::Aes256Gcm),
        ("siv", KeyType::Aes256GcmSiv),
        ("h256", KeyType::HmacSha256),
        ("h384", KeyType::HmacSha384),
        ("h512", KeyType::HmacSha512),
        ("gcm128", KeyType::Aes128Gcm),
        ("chacha", KeyType::ChaCha20Poly1305),
    ] {
        let asked = derive("parent", child, key_type);
        world.ask(&mut app, &asked).unwrap();
        let describe = Describe { key: name(child) };
        let told = world.ask(&mut app, &describe).unwrap();
        assert_eq!(told.result().origin, Origin::Derived);
        match key_type {
            KeyType::Aes256Gcm | KeyType::Aes256GcmSiv => {
                let sealed = world.ask(&mut app, &encrypt(child, b"p", b"")).unwrap();
                let open = decrypt(child, sealed.result().ciphertext, b"");
                world.ask(&mut app, &open).unwrap();
            }
            // The same key may be made again elsewhere: nothing counts under it.
            KeyType::Aes128Gcm | KeyType::ChaCha20Poly1305 => {
                world.ask(&mut app, &encrypt(child, b"p", b"")).unwrap_err();
                assert_eq!(app.refusal(), Some(Refusal::SharedKey { key_type }));
            }
            _ => assert!(!tag(&mut world, &mut app, child).is_empty()),
        }
    }
}

#[test]
fn both_sides_agree_on_a_key_and_open_each_others_ciphertexts() {
    for key_type in AGREEING {
        let (mut one, mut app) = world();
        let (mut other, mut other_app) = world();
        other.draw.0 = 99;
        one.ask(&mut app, &generate("k", key_type)).unwrap();
        other.ask(&mut other_app, &generate("k", key_type)).unwrap();
        let ours = public_key(&mut one, &mut app, "k");
        let theirs = public_key(&mut other, &mut other_app, "k");
        let child = KeyType::Aes256Gcm;
        one.ask(&mut app, &agree("k", &theirs, "shared", child))
            .unwrap();
        other
            .ask(&mut other_app, &agree("k", &ours, "elsewhere", child))
            .unwrap();
        let sealed = one.ask(&mut app, &encrypt("shared", b"p", b"")).unwrap();
        let open = decrypt("elsewhere", sealed.result().ciphertext, b"");
        let opened = other.ask(&mut other_app, &open).unwrap();
        assert_eq!(opened.result().plaintext, b"p", "{key_type}");
        // A raw point will do, too; another info makes another key.
        let raw_len = match key_type {
            KeyType::EcP256 => 65,
            KeyType::EcP384 => 97,
            KeyType::EcP521 => 133,
            _ => 32,
        };
        let raw = &theirs[theirs.len() - raw_len..];
        one.ask(&mut app, &agree("k", raw, "raw", child)).unwrap();
        let open = decrypt("raw", sealed.result().ciphertext, b"");
        one.ask(&mut app, &open).unwrap();
        let mut informed = agree("k", raw, "informed", child);
        informed.child.info = b"info";
        one.ask(&mut app, &informed).unwrap();
        let open = decrypt("informed", sealed.result().ciphertext, b"");
        one.ask(&mut app, &open).unwrap_err();
    }
}

#[test]
fn a_peer_key_of_another_kind_or_of_no_kind_is_refused() {
    let (mut world, mut app) = world();
    for key_type in AGREEING {
        let asked = generate(key_type.as_str(), key_type);
        world.ask(&mut app, &asked).unwrap();
    }
    for key_type in AGREEING {
        let public = public_key(&mut world, &mut app, key_type.as_str());
        for other in AGREEING.into_iter().filter(|other| *other != key_type) {
            let asked = agree(other.as_str(), &public, "child", KeyType::HmacSha256);
            let refused = world.ask(&mut app, &asked).unwrap_err();
            assert_eq!(refused, Not::Done(Status::WrongParameters));
            assert_eq!(app.refusal(), Some(Refusal::WrongPeerKey));
        }
        let no_point = [4; 133];
        for peer in [
            &b""[..],
            &[0; 32],
            &[4; 65],
            &[4; 97],
            &no_point,
            &public[1..],
        ] {
            let asked = agree(key_type.as_str(), peer, "child", KeyType::HmacSha256);
            let refused = world.ask(&mut app, &asked);
            // Any 32 bytes but those of small order are a key of X25519.
            assert_eq!(refused.unwrap_err(), Not::Done(Status::WrongParameters));
        }
    }
    assert!(world.vault.keys.find("child").unwrap().is_none());
}

#[test]
fn what_was_encapsulated_is_decapsulated_to_the_same_key() {
    let (mut world, mut app) = world();
    let asked = generate("kem", KeyType::MlKem768);
    world.ask(&mut app, &asked).unwrap();
    let asked = encapsulate("kem", "one", KeyType::HmacSha512);
    let made = world.ask(&mut app, &asked).unwrap();
    let ciphertext = made.result().ciphertext;
    assert_eq!(ciphertext.len(), 1088);
    let open = decapsulate("kem", ciphertext, "other", KeyType::HmacSha512);
    world.ask(&mut app, &open).unwrap();
    let expected = tag(&mut world, &mut app, "one");
    assert_eq!(tag(&mut world, &mut app, "other"), expected);
    // Another ciphertext is another key, as FIPS 203 has it; a shorter one is none.
    let mut changed = ciphertext.to_vec();
    changed[7] ^= 1;
    let open = decapsulate("kem", &changed, "changed", KeyType::HmacSha512);
    world.ask(&mut app, &open).unwrap();
    assert_ne!(tag(&mut world, &mut app, "changed"), expected);
    for len in [0, 1, 1087] {
        let open = decapsulate("kem", &ciphertext[..len], "cut", KeyType::HmacSha512);
        let refused = world.ask(&mut app, &open).unwrap_err();
        assert_eq!(refused, Not::Done(Status::Malformed));
    }
}

#[test]
fn a_child_has_what_narrows_its_parent() {
    let (mut world, mut app) = world_with(|rule| {
        rule.operations = OperationSet::of(&[Operation::Derive, Operation::VerifyMac]);
        rule.not_after = Some(1_800_000_100);
        rule.max_uses = Some(5);
        rule.lease_secs = Some(50);
        rule.rate = Some(crate::policy::Rate {
            uses: 100,
            per_secs: 1,
        });
    });
    world.pass_secs(10);
    let asked = derive("parent", "child", KeyType::HmacSha256);
    world.ask(&mut app, &asked).unwrap();
    let describe = Describe { key: name("child") };
    let told = world.ask(&mut app, &describe).unwrap();
    let told = told.result();
    // The parent may not make tags, and neither may a key of its type that comes of it.
    assert!(!told.operations.contains(Operation::Mac));
    assert!(told.operations.contains(Operation::VerifyMac));
    assert_eq!(told.not_after, Some(1_800_000_100));
    assert_eq!(told.max_uses, Some(4));
    assert_eq!(told.lease_secs_left, Some(40));
    assert!(told.wrappable_by.is_empty());
    world.ask(&mut app, &mac("child", b"data")).unwrap_err();
    let operation = Operation::Mac;
    assert_eq!(app.refusal(), Some(Refusal::KeyForbids { operation }));
    let mut asked = derive("parent", "wider", KeyType::HmacSha256);
    asked.child.operations = Some(OperationSet::of(&[Operation::Mac]));
    let refused = world.ask(&mut app, &asked).unwrap_err();
    assert_eq!(refused, Not::Done(Status::Denied));
    assert_eq!(app.refusal(), Some(Refusal::WouldWiden));
    // It ends with its parent's lease.
    world.pass_secs(41);
    let verify = nitride_protocol::application::VerifyMac {
        key: name("child"),
        version: None,
        data: b"",
        tag: &[0; 32],
    };
    world.ask(&mut app, &verify).unwrap_err();
    assert_eq!(app.refusal(), Some(Refusal::KeyExpired));
}

#[test]
fn a_child_waits_for_the_gate_of_its_parent() {
    let (mut world, mut app) = world_with(|rule| rule.gate = Some("vm".into()));
    world.approve("vm", 0);
    let asked = derive("parent", "child", KeyType::HmacSha256);
    world.ask(&mut app, &asked).unwrap();
    tag(&mut world, &mut app, "child");
    world.pass_secs(61);
    let waits = world.ask(&mut app, &mac("child", b"data")).unwrap_err();
    assert_eq!(waits, Not::Yet(Want::Gate { name: "vm".into() }));
    // Without the gate in the policy, it stays closed.
    let mut set = policy(vec![rule(1, "**", EVERYTHING)], vec![]);
    set.gates = vec![gate("other", 1)];
    world.vault.replace_policy(set, world.now).unwrap();
    world.ask(&mut app, &mac("child", b"data")).unwrap_err();
    assert_eq!(app.refusal(), Some(Refusal::GateGone));
}

#[test]
fn the_rules_have_to_grant_it_on_both_names() {
    let rules = vec![
        rule(1, "parent", EVERYTHING),
        rule(1, "mine/*", EVERYTHING),
        rule(1, "other", &[Operation::Mac]),
    ];
    let parent = key("parent", KeyType::HmacSha256, Source::Generate);
    let mut world = World::new(policy(rules, vec![parent]));
    let mut app = world.application(1);
    let refused = Refusal::NoRule {
        operation: Operation::Derive,
    };
    for (by, child) in [("parent", "other"), ("other", "mine/k"), ("parent", "no")] {
        let asked = derive(by, child, KeyType::HmacSha256);
        world.ask(&mut app, &asked).unwrap_err();
        assert_eq!(app.refusal(), Some(refused), "{by}, {child}");
    }
    let asked = derive("parent", "mine/k", KeyType::HmacSha256);
    world.ask(&mut app, &asked).unwrap();
    let again = world.ask(&mut app, &asked).unwrap_err();
    assert_eq!(again, Not::Done(Status::KeyExists));
    let mut unknown = derive("parent", "mine/l", KeyType::HmacSha256);
    unknown.version = Some(7);
    let unknown = world.ask(&mut app, &unknown).unwrap_err();
    assert_eq!(unknown, Not::Done(Status::VersionNotFound));
}
