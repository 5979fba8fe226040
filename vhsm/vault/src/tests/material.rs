//! In which forms material comes in, and that what is made of it stays within its budget.

use super::calls::{generate, import, mac, sign, verify};
use super::world::{EVERYTHING, Not, World, name, policy, rule};
use crate::keys::Material;
use crate::{Refusal, VaultLimits};
use nitride_protocol::application::PublicKey;
use nitride_protocol::{KeyType, MaterialFormat, Status};
use nitride_secmem::crypto::{Rsa, RsaSize};

fn world() -> World {
    World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![]))
}

/// Ed25519 and X25519 (RFC 8410), with 32 bytes of 7.
fn pkcs8_25519(algorithm: u8) -> Vec<u8> {
    let head = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, algorithm, 0x04, 0x22,
        0x04, 0x20,
    ];
    [&head[..], &[7; 32]].concat()
}

/// P-256 with the scalar of 32 bytes of 7, without what may be left out.
fn pkcs8_p256() -> Vec<u8> {
    let head = [
        0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
        0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25,
        0x02, 0x01, 0x01, 0x04, 0x20,
    ];
    [&head[..], &[7; 32]].concat()
}

#[test]
fn a_pkcs8_file_is_the_key_that_its_raw_bytes_are() {
    let mut world = world();
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    for (key_type, file) in [
        (KeyType::Ed25519, pkcs8_25519(0x70)),
        (KeyType::X25519, pkcs8_25519(0x6e)),
        (KeyType::EcP256, pkcs8_p256()),
    ] {
        let (raw, filed) = (format!("raw/{key_type}"), format!("file/{key_type}"));
        let asked = import(&raw, key_type, &[7; 32]);
        world.ask(&mut admin, &asked).unwrap();
        let mut asked = import(&filed, key_type, &file);
        asked.format = MaterialFormat::Pkcs8;
        world.ask(&mut admin, &asked).unwrap();
        let mut public = |key: &str| {
            let asked = PublicKey {
                key: name(key),
                version: None,
            };
            world.ask(&mut app, &asked).unwrap().result().spki.to_vec()
        };
        assert_eq!(public(&raw), public(&filed));
    }
}

#[test]
fn an_rsa_key_comes_as_pkcs8_in_either_format_and_of_its_size() {
    let mut world = world();
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    let file = Rsa::generate(RsaSize::Bits2048).unwrap().pkcs8().unwrap();
    let file = file.expose();
    for (key, format) in [
        ("raw", MaterialFormat::Raw),
        ("file", MaterialFormat::Pkcs8),
    ] {
        let mut asked = import(key, KeyType::Rsa2048, file);
        asked.format = format;
        world.ask(&mut admin, &asked).unwrap();
        let signed = world.ask(&mut app, &sign(key, None, b"m")).unwrap();
        let good = verify(key, None, b"m", signed.result().signature);
        world.ask(&mut app, &good).unwrap();
        asked.key = name("other");
        asked.key_type = KeyType::Rsa3072;
        let refused = world.ask(&mut admin, &asked).unwrap_err();
        assert_eq!(refused, Not::Done(Status::Malformed));
    }
}

#[test]
fn material_of_no_key_and_files_of_other_kinds_are_refused_by_name() {
    let mut world = world();
    let mut admin = world.admin(0);
    for key_type in KeyType::ALL {
        if matches!(key_type, KeyType::Secret | KeyType::Aes256Kwp) {
            continue;
        }
        for material in [&[][..], &[0; 7], &[0xff; 15], &[0xff; 1500]] {
            let asked = import("new", key_type, material);
            let refused = world.ask(&mut admin, &asked).unwrap_err();
            assert_eq!(refused, Not::Done(Status::Malformed), "{key_type}");
            assert_eq!(admin.refusal(), Some(Refusal::BadMaterial { key_type }));
        }
        let file = match key_type {
            KeyType::Ed25519 => pkcs8_25519(0x6e),
            _ => pkcs8_25519(0x70),
        };
        let mut asked = import("new", key_type, &file);
        asked.format = MaterialFormat::Pkcs8;
        let refused = world.ask(&mut admin, &asked).unwrap_err();
        let expected = match key_type.as_str().split_once('-') {
            Some(("aes" | "chacha20" | "hmac", _)) => Status::WrongParameters,
            _ => Status::Malformed,
        };
        assert_eq!(refused, Not::Done(expected), "{key_type}");
    }
}

#[test]
fn more_keys_than_the_budget_holds_all_work_and_stay_within_it() {
    let limits = VaultLimits {
        keys: 1000,
        keys_per_uid: 1000,
        expanded_len: 5 * 1360,
    };
    let rules = vec![rule(1, "**", EVERYTHING)];
    let mut world = World::with_limits(policy(rules, vec![]), limits);
    let mut app = world.application(1);
    let names: Vec<String> = (0..20).map(|at| format!("k/{at}")).collect();
    for key in &names {
        let asked = generate(key, KeyType::HmacSha256);
        world.ask(&mut app, &asked).unwrap();
    }
    let mut tags = Vec::new();
    for round in 0..3 {
        for (at, key) in names.iter().enumerate() {
            let tag = world.ask(&mut app, &mac(key, b"data")).unwrap();
            let tag = tag.result().tag.to_vec();
            assert!(world.vault.keys.expanded.kept_len() <= limits.expanded_len);
            match round {
                0 => tags.push(tag),
                _ => assert_eq!(tags[at], tag),
            }
        }
    }
}

#[test]
fn fresh_material_of_every_type_is_accepted_as_its_own() {
    super::world::arenas();
    let mut draw = super::world::Sequence(3);
    for key_type in KeyType::ALL {
        if matches!(key_type, KeyType::Rsa3072 | KeyType::Rsa4096) {
            continue;
        }
        let drawn = Material::draw(key_type, &mut draw).unwrap();
        let accepted = Material::accept(key_type, drawn.expose()).unwrap();
        assert_eq!(accepted.expose(), drawn.expose(), "{key_type}");
    }
}
