//! Every signature scheme under every type.

use super::calls::{generate, sign, verify};
use super::world::{EVERYTHING, Not, World, policy, rule};
use crate::{Refusal, Session};
use nitride_protocol::{KeyType, SignScheme, Status};
use sha2::{Digest, Sha256, Sha384, Sha512};

const TYPES: [KeyType; 6] = [
    KeyType::EcP256,
    KeyType::EcP384,
    KeyType::EcP521,
    KeyType::Ed25519,
    KeyType::Rsa2048,
    KeyType::MlDsa65,
];

/// A key of each type, under its type's name.
fn world() -> (World, Session) {
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![]));
    let mut app = world.application(1);
    for key_type in TYPES {
        let asked = generate(key_type.as_str(), key_type);
        world.ask(&mut app, &asked).unwrap();
    }
    (world, app)
}

fn is_of(scheme: SignScheme, key_type: KeyType) -> bool {
    let family = match key_type {
        KeyType::Rsa2048 => "rsa-",
        KeyType::Ed25519 => "ed25519",
        KeyType::MlDsa65 => "ml-dsa-65",
        _ => "ecdsa-",
    };
    scheme.as_str().starts_with(family)
}

fn digest_of(scheme: SignScheme, message: &[u8]) -> Option<Vec<u8>> {
    Some(match scheme.digest_len()? {
        32 => Sha256::digest(message).to_vec(),
        48 => Sha384::digest(message).to_vec(),
        _ => Sha512::digest(message).to_vec(),
    })
}

#[test]
fn a_signature_of_every_scheme_verifies_and_nothing_else_does() {
    let (mut world, mut app) = world();
    let failed = Not::Done(Status::VerificationFailed);
    for key_type in TYPES {
        let key = key_type.as_str();
        for scheme in SignScheme::ALL.into_iter().filter(|s| is_of(*s, key_type)) {
            let signed = world
                .ask(&mut app, &sign(key, Some(scheme), b"message"))
                .unwrap();
            let signature = signed.result().signature;
            let good = verify(key, Some(scheme), b"message", signature);
            world.ask(&mut app, &good).unwrap();
            let other = verify(key, Some(scheme), b"another", signature);
            assert_eq!(world.ask(&mut app, &other).unwrap_err(), failed, "{scheme}");
            for at in [0, 1, signature.len() / 2, signature.len() - 1] {
                let mut changed = signature.to_vec();
                changed[at] ^= 1;
                let changed = verify(key, Some(scheme), b"message", &changed);
                let refused = world.ask(&mut app, &changed).unwrap_err();
                assert_eq!(refused, failed, "{scheme}, byte {at}");
            }
            for len in [0, 1, signature.len() - 1] {
                let short = verify(key, Some(scheme), b"message", &signature[..len]);
                let refused = world.ask(&mut app, &short).unwrap_err();
                assert_eq!(refused, failed, "{scheme}, {len} bytes");
            }
        }
    }
}

#[test]
fn a_digest_signs_like_its_message() {
    let (mut world, mut app) = world();
    for key_type in TYPES {
        let key = key_type.as_str();
        for scheme in SignScheme::ALL.into_iter().filter(|s| is_of(*s, key_type)) {
            let Some(digest) = digest_of(scheme, b"message") else {
                let mut asked = sign(key, Some(scheme), b"message");
                asked.prehashed = true;
                let refused = world.ask(&mut app, &asked).unwrap_err();
                assert_eq!(refused, Not::Done(Status::WrongParameters));
                assert_eq!(app.refusal(), Some(Refusal::WrongDigest));
                continue;
            };
            let mut asked = sign(key, Some(scheme), &digest);
            asked.prehashed = true;
            let signed = world.ask(&mut app, &asked).unwrap();
            let signature = signed.result().signature;
            let by_message = verify(key, Some(scheme), b"message", signature);
            world.ask(&mut app, &by_message).unwrap();
            let mut by_digest = verify(key, Some(scheme), &digest, signature);
            by_digest.prehashed = true;
            world.ask(&mut app, &by_digest).unwrap();
            by_digest.message = &digest[1..];
            let refused = world.ask(&mut app, &by_digest).unwrap_err();
            assert_eq!(refused, Not::Done(Status::WrongParameters), "{scheme}");
            asked.message = b"short";
            let refused = world.ask(&mut app, &asked).unwrap_err();
            assert_eq!(refused, Not::Done(Status::WrongParameters), "{scheme}");
        }
    }
}

#[test]
fn without_a_scheme_the_default_of_the_type_signs() {
    let (mut world, mut app) = world();
    for key_type in TYPES {
        let key = key_type.as_str();
        let signed = world.ask(&mut app, &sign(key, None, b"message")).unwrap();
        let default = SignScheme::default_of(key_type);
        let good = verify(key, default, b"message", signed.result().signature);
        world.ask(&mut app, &good).unwrap();
    }
}

#[test]
fn a_scheme_of_another_type_is_refused_for_every_pair() {
    let (mut world, mut app) = world();
    let refused = Not::Done(Status::WrongParameters);
    for key_type in TYPES {
        let key = key_type.as_str();
        for scheme in SignScheme::ALL.into_iter().filter(|s| !is_of(*s, key_type)) {
            let scheme = Some(scheme);
            let asked = sign(key, scheme, b"message");
            assert_eq!(world.ask(&mut app, &asked).unwrap_err(), refused);
            let asked = verify(key, scheme, b"message", &[1; 64]);
            assert_eq!(world.ask(&mut app, &asked).unwrap_err(), refused);
            assert_eq!(app.refusal(), Some(Refusal::WrongScheme));
        }
    }
}
