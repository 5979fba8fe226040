//! How keys come to be here by request: `generate` and `import`.

use super::world::{EVERYTHING, Not, World, kbs, key, name, policy, rule};
use crate::policy::Source;
use crate::{Refusal, VaultLimits};
use nitride_protocol::admin::{Destroy, Import};
use nitride_protocol::application::{Describe, Generate, Sign};
use nitride_protocol::{KeyType, MaterialFormat, Operation, OperationSet, Origin, Status};
use nitride_secmem::Usage;

fn generate(key: &str, key_type: KeyType) -> Generate<'_> {
    Generate {
        key: name(key),
        key_type,
        operations: None,
        wrappable_by: Vec::new(),
    }
}

fn import<'a>(key: &'a str, key_type: KeyType, material: &'a [u8]) -> Import<'a> {
    Import {
        key: name(key),
        key_type,
        operations: None,
        material,
        format: MaterialFormat::Raw,
        wrapping_key: None,
        wrappable_by: Vec::new(),
    }
}

fn everything() -> Vec<crate::policy::Rule> {
    vec![rule(1, "**", EVERYTHING), rule(2, "**", EVERYTHING)]
}

#[test]
fn a_key_of_each_type_is_generated_and_described() {
    let mut world = World::new(policy(everything(), vec![]));
    let mut app = world.application(1);
    for key_type in KeyType::ALL {
        let made = world.ask(&mut app, &generate(key_type.as_str(), key_type));
        assert_eq!(made.unwrap().result().version, 1);
        let describe = Describe {
            key: name(key_type.as_str()),
        };
        let described = world.ask(&mut app, &describe).unwrap();
        let described = described.result();
        assert_eq!(described.key_type, key_type);
        assert_eq!(described.origin, Origin::Generated);
        assert_eq!(described.created_secs, world.now.wall_secs);
        assert_eq!(described.versions.len(), 1);
        assert!(described.operations.is_subset_of(key_type.operations()));
        assert!(!described.operations.is_empty());
    }
}

#[test]
fn a_name_is_taken_once() {
    let mut world = World::new(policy(everything(), vec![]));
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    let made = generate("k", KeyType::EcP256);
    world.ask(&mut app, &made).unwrap();
    let exists = Not::Done(Status::KeyExists);
    assert_eq!(world.ask(&mut app, &made).unwrap_err(), exists);
    let imported = import("k", KeyType::EcP256, &[1; 32]);
    assert_eq!(world.ask(&mut admin, &imported).unwrap_err(), exists);
}

#[test]
fn keys_that_no_policy_speaks_of_leave_the_last_quarter_of_the_arenas() {
    let keys = vec![
        key("made", KeyType::EcP256, Source::Generate),
        key("local", KeyType::EcP256, Source::Local),
    ];
    let mut world = World::new(policy(everything(), keys));
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    let arena_full = Not::Done(Status::ArenaFull);
    let nearly: [fn() -> Usage; 2] = [
        || Usage {
            records_used: 3073,
            records_size: 4096,
            ..Usage::default()
        },
        || Usage {
            heap_used: 6145,
            heap_size: 8192,
            ..Usage::default()
        },
    ];
    for usage in nearly {
        world.vault.keys.usage = usage;
        let made = world.ask(&mut app, &generate("k", KeyType::EcP256));
        assert_eq!(made.unwrap_err(), arena_full);
        assert_eq!(app.refusal(), Some(Refusal::ArenaReserved));
        let imported = world.ask(&mut admin, &import("k", KeyType::EcP256, &[1; 32]));
        assert_eq!(imported.unwrap_err(), arena_full);
    }
    // What the policy speaks of has the rest.
    let sign = Sign {
        key: name("made"),
        scheme: None,
        message: b"message",
        prehashed: false,
    };
    world.ask(&mut app, &sign).unwrap();
    world
        .ask(&mut admin, &import("local", KeyType::EcP256, &[1; 32]))
        .unwrap();
    world.vault.keys.usage = || Usage {
        records_used: 3072,
        records_size: 4096,
        heap_used: 6144,
        heap_size: 8192,
        ..Usage::default()
    };
    world
        .ask(&mut app, &generate("k", KeyType::EcP256))
        .unwrap();
}

#[test]
fn a_destroyed_name_stays_taken() {
    let mut world = World::new(policy(everything(), vec![]));
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    let made = generate("k", KeyType::EcP256);
    world.ask(&mut app, &made).unwrap();
    let destroy = Destroy {
        key: name("k"),
        version: None,
    };
    world.ask(&mut admin, &destroy).unwrap();
    let destroyed = Not::Done(Status::KeyDestroyed);
    assert_eq!(world.ask(&mut app, &made).unwrap_err(), destroyed);
    let imported = import("k", KeyType::EcP256, &[1; 32]);
    assert_eq!(world.ask(&mut admin, &imported).unwrap_err(), destroyed);
}

#[test]
fn a_key_rule_narrows_what_is_generated_and_its_type_must_match() {
    let mut stated = key("k", KeyType::EcP256, Source::Local);
    stated.operations = OperationSet::of(&[Operation::Sign]);
    let mut world = World::new(policy(everything(), vec![stated]));
    let mut app = world.application(1);
    let wrong = world.ask(&mut app, &generate("k", KeyType::Ed25519));
    assert_eq!(wrong.unwrap_err(), Not::Done(Status::WrongKeyType));
    world
        .ask(&mut app, &generate("k", KeyType::EcP256))
        .unwrap();
    let described = world.ask(&mut app, &Describe { key: name("k") }).unwrap();
    let only_sign = OperationSet::of(&[Operation::Sign]);
    assert_eq!(described.result().operations, only_sign);
}

#[test]
fn what_a_service_provisions_is_not_made_up_here() {
    let keys = vec![key("k", KeyType::EcP256, kbs("r/t/k"))];
    let mut world = World::new(policy(everything(), keys));
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    let denied = Not::Done(Status::Denied);
    let made = generate("k", KeyType::EcP256);
    assert_eq!(world.ask(&mut app, &made).unwrap_err(), denied);
    let imported = import("k", KeyType::EcP256, &[1; 32]);
    assert_eq!(world.ask(&mut admin, &imported).unwrap_err(), denied);
}

#[test]
fn what_the_vault_makes_is_not_imported() {
    let keys = vec![key("k", KeyType::EcP256, Source::Generate)];
    let mut world = World::new(policy(everything(), keys));
    let mut admin = world.admin(0);
    let imported = import("k", KeyType::EcP256, &[1; 32]);
    let denied = world.ask(&mut admin, &imported).unwrap_err();
    assert_eq!(denied, Not::Done(Status::Denied));
}

#[test]
fn operations_that_the_type_does_not_have_are_refused() {
    let mut world = World::new(policy(everything(), vec![]));
    let mut app = world.application(1);
    let mut asked = generate("k", KeyType::EcP256);
    asked.operations = Some(OperationSet::of(&[Operation::Sign, Operation::Encrypt]));
    let refused = world.ask(&mut app, &asked).unwrap_err();
    assert_eq!(refused, Not::Done(Status::WrongKeyType));
}

#[test]
fn a_key_for_nothing_is_not_made() {
    let mut world = World::new(policy(everything(), vec![]));
    let mut app = world.application(1);
    for nothing in [
        OperationSet::EMPTY,
        OperationSet::of(&[Operation::Describe]),
    ] {
        let mut asked = generate("k", KeyType::EcP256);
        asked.operations = Some(nothing);
        let refused = world.ask(&mut app, &asked).unwrap_err();
        assert_eq!(refused, Not::Done(Status::Denied));
    }
    assert!(world.vault.keys.find("k").unwrap().is_none());
}

#[test]
fn a_stated_key_is_generated_at_first_use_and_once() {
    let keys = vec![key("k", KeyType::EcP256, Source::Generate)];
    let rules = vec![rule(1, "k", &[Operation::Sign, Operation::PublicKey])];
    let mut world = World::new(policy(rules, keys));
    let mut app = world.application(1);
    let sign = Sign {
        key: name("k"),
        scheme: None,
        message: b"",
        prehashed: false,
    };
    world.ask(&mut app, &sign).unwrap();
    let public_key = nitride_protocol::application::PublicKey {
        key: name("k"),
        version: None,
    };
    let one = world.ask(&mut app, &public_key).unwrap();
    world.ask(&mut app, &sign).unwrap();
    let two = world.ask(&mut app, &public_key).unwrap();
    assert_eq!(one.result(), two.result());
    assert_eq!(world.vault.keys.count(), Ok(1));
}

#[test]
fn imported_material_must_be_a_key_of_its_type() {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let mut world = World::new(policy(everything(), vec![]));
    let mut admin = world.admin(0);
    let long = [1; 1025];
    for (key_type, material) in [
        (KeyType::Aes256Gcm, &long[..31]),
        (KeyType::Aes256Gcm, &long[..33]),
        (KeyType::Aes256GcmSiv, &long[..16]),
        (KeyType::HmacSha256, &long[..15]),
        (KeyType::HmacSha256, &long[..1025]),
        (KeyType::EcP256, &[0; 32]),
        (KeyType::EcP256, &ORDER),
        (KeyType::EcP256, &long[..31]),
        (KeyType::Ed25519, &long[..64]),
        (KeyType::Secret, &[]),
    ] {
        let refused = world.ask(&mut admin, &import("k", key_type, material));
        let malformed = Not::Done(Status::Malformed);
        assert_eq!(refused.unwrap_err(), malformed, "{key_type}");
        assert_eq!(admin.refusal(), Some(Refusal::BadMaterial { key_type }));
    }
    assert_eq!(world.vault.keys.count(), Ok(0));
}

#[test]
fn an_imported_key_is_the_one_that_was_brought() {
    // RFC 8032, 7.1, test 1.
    let seed = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c,
        0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae,
        0x7f, 0x60,
    ];
    let mut world = World::new(policy(everything(), vec![]));
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    world
        .ask(&mut admin, &import("k", KeyType::Ed25519, &seed))
        .unwrap();
    let sign = Sign {
        key: name("k"),
        scheme: None,
        message: b"",
        prehashed: false,
    };
    let signed = world.ask(&mut app, &sign).unwrap();
    assert_eq!(signed.result().signature[..4], [0xe5, 0x56, 0x43, 0x00]);
}

#[test]
fn quotas_count_keys_of_a_user_and_of_all() {
    let limits = VaultLimits {
        keys: 3,
        keys_per_uid: 2,
        expanded_len: 256 << 10,
    };
    let keys = vec![key("stated", KeyType::Aes256Gcm, Source::Generate)];
    let mut world = World::with_limits(policy(everything(), keys), limits);
    let (mut one, mut two) = (world.application(1), world.application(2));
    let exceeded = Not::Done(Status::QuotaExceeded);
    for key in ["a", "b"] {
        let made = generate(key, KeyType::Aes256Gcm);
        world.ask(&mut one, &made).unwrap();
    }
    let third = generate("c", KeyType::Aes256Gcm);
    assert_eq!(world.ask(&mut one, &third).unwrap_err(), exceeded);
    assert_eq!(one.refusal(), Some(Refusal::TooManyKeysOfUser));
    world.ask(&mut two, &third).unwrap();
    let fourth = generate("d", KeyType::Aes256Gcm);
    assert_eq!(world.ask(&mut two, &fourth).unwrap_err(), exceeded);
    assert_eq!(two.refusal(), Some(Refusal::TooManyKeys));
    // What the policy states has its place, whatever applications do.
    let stated = generate("stated", KeyType::Aes256Gcm);
    world.ask(&mut two, &stated).unwrap();
}

#[test]
fn destroying_gives_no_room_back() {
    let limits = VaultLimits {
        keys: 1,
        keys_per_uid: 1,
        expanded_len: 256 << 10,
    };
    let mut world = World::with_limits(policy(everything(), vec![]), limits);
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    world
        .ask(&mut app, &generate("a", KeyType::Aes256Gcm))
        .unwrap();
    let destroy = Destroy {
        key: name("a"),
        version: None,
    };
    world.ask(&mut admin, &destroy).unwrap();
    let refused = world.ask(&mut app, &generate("b", KeyType::Aes256Gcm));
    assert_eq!(refused.unwrap_err(), Not::Done(Status::QuotaExceeded));
}
