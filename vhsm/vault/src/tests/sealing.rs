//! What every cipher seals, for whom, and what does not open.

use super::calls::{decrypt, encrypt, generate, import};
use super::world::{EVERYTHING, Not, World, policy, rule};
use crate::{Refusal, Session};
use nitride_protocol::limits::MAX_INLINE_LEN;
use nitride_protocol::{EncryptionScheme, KeyType, Status};
use nitride_secmem::crypto::{AeadAlgorithm, AeadKey};
use proptest::prelude::*;

const AEADS: [(KeyType, u8, AeadAlgorithm); 4] = [
    (KeyType::Aes256Gcm, 1, AeadAlgorithm::Aes256Gcm),
    (KeyType::Aes256GcmSiv, 2, AeadAlgorithm::Aes256GcmSiv),
    (KeyType::Aes128Gcm, 4, AeadAlgorithm::Aes128Gcm),
    (
        KeyType::ChaCha20Poly1305,
        5,
        AeadAlgorithm::ChaCha20Poly1305,
    ),
];
const VERIFICATION_FAILED: Not = Not::Done(Status::VerificationFailed);

/// A generated key of each type under its type's name, and an imported one under "shared/".
fn world() -> (World, Session) {
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![]));
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    for (key_type, _, algorithm) in AEADS {
        let asked = generate(key_type.as_str(), key_type);
        world.ask(&mut app, &asked).unwrap();
        let (name, material) = (shared(key_type), vec![3; algorithm.key_len()]);
        world
            .ask(&mut admin, &import(&name, key_type, &material))
            .unwrap();
    }
    (world, app)
}

fn shared(key_type: KeyType) -> String {
    format!("shared/{key_type}")
}

#[test]
fn every_cipher_opens_what_it_sealed() {
    let (mut world, mut app) = world();
    for (key_type, number, _) in AEADS {
        let key = key_type.as_str();
        for len in [0, 1, 15, 16, 17, 1000, MAX_INLINE_LEN] {
            let plaintext = vec![0x5a; len];
            let sealed = world
                .ask(&mut app, &encrypt(key, &plaintext, b"aad"))
                .unwrap();
            let ciphertext = sealed.result().ciphertext;
            assert_eq!((ciphertext[3], ciphertext.len()), (number, len + 52));
            let opened = world
                .ask(&mut app, &decrypt(key, ciphertext, b"aad"))
                .unwrap();
            assert_eq!(opened.result().plaintext, plaintext);
            let other = decrypt(key, ciphertext, b"other");
            assert_eq!(
                world.ask(&mut app, &other).unwrap_err(),
                VERIFICATION_FAILED
            );
        }
    }
}

#[test]
fn under_a_shared_key_nothing_is_sealed_whose_nonces_could_repeat() {
    let (mut world, mut app) = world();
    for (key_type, _, _) in AEADS {
        let key = shared(key_type);
        let sealed = world.ask(&mut app, &encrypt(&key, b"plain", b""));
        match key_type {
            // XAES-256-GCM and GCM-SIV, with nonces that are drawn.
            KeyType::Aes256Gcm | KeyType::Aes256GcmSiv => {
                let sealed = sealed.unwrap();
                let number = if key_type == KeyType::Aes256Gcm { 3 } else { 2 };
                assert_eq!(sealed.result().ciphertext[3], number);
                let again = world.ask(&mut app, &encrypt(&key, b"plain", b"")).unwrap();
                assert_ne!(sealed.result().ciphertext, again.result().ciphertext);
                let opened = decrypt(&key, again.result().ciphertext, b"");
                world.ask(&mut app, &opened).unwrap();
            }
            key_type => {
                assert_eq!(sealed.unwrap_err(), Not::Done(Status::WrongKeyType));
                assert_eq!(app.refusal(), Some(Refusal::SharedKey { key_type }));
            }
        }
    }
}

#[test]
fn the_limit_of_messages_holds_for_every_cipher() {
    let (mut world, mut app) = world();
    for (key_type, _, _) in AEADS {
        let key = key_type.as_str();
        let held = world.vault.keys.find(key).unwrap().unwrap();
        held.read().unwrap().versions[0].nonces().start_at(1 << 32);
        let refused = world.ask(&mut app, &encrypt(key, b"plain", b""));
        assert_eq!(refused.unwrap_err(), Not::Done(Status::KeyExhausted));
    }
}

#[test]
fn what_was_cut_off_anywhere_does_not_open() {
    let (mut world, mut app) = world();
    for key in AEADS.map(|(key_type, ..)| key_type.as_str().to_owned()) {
        let sealed = world.ask(&mut app, &encrypt(&key, b"plain", b"")).unwrap();
        let whole = sealed.result().ciphertext;
        for len in 0..whole.len() {
            let refused = world.ask(&mut app, &decrypt(&key, &whole[..len], b""));
            let expected = match len {
                0..52 => Status::Malformed,
                _ => Status::VerificationFailed,
            };
            assert_eq!(refused.unwrap_err(), Not::Done(expected), "{key}, {len}");
        }
    }
}

#[test]
fn a_ciphertext_of_another_key_type_and_version_is_refused_by_name() {
    let (mut world, mut app) = world();
    let keys = AEADS.map(|(key_type, ..)| key_type.as_str());
    for key in keys {
        let sealed = world.ask(&mut app, &encrypt(key, b"plain", b"")).unwrap();
        let whole = sealed.result().ciphertext;
        for other in keys.into_iter().filter(|other| *other != key) {
            let foreign = world.ask(&mut app, &decrypt(other, whole, b""));
            assert_eq!(foreign.unwrap_err(), VERIFICATION_FAILED);
        }
        let mut unknown = whole.to_vec();
        unknown[23] = 9;
        let unknown = world.ask(&mut app, &decrypt(key, &unknown, b""));
        assert_eq!(unknown.unwrap_err(), Not::Done(Status::VersionNotFound));
        let mut of_another = decrypt(key, whole, b"");
        of_another.version = Some(2);
        let of_another = world.ask(&mut app, &of_another);
        assert_eq!(of_another.unwrap_err(), VERIFICATION_FAILED);
        // Of the chunked format, whose keys are others.
        let mut chunked = whole.to_vec();
        chunked[3] |= 0x80;
        let chunked = world.ask(&mut app, &decrypt(key, &chunked, b""));
        assert_eq!(chunked.unwrap_err(), VERIFICATION_FAILED);
    }
}

#[test]
fn what_another_program_sealed_opens_under_the_shared_key_alone() {
    let (mut world, mut app) = world();
    for (key_type, _, algorithm) in AEADS {
        let cipher = AeadKey::new(algorithm, &vec![3; algorithm.key_len()]).unwrap();
        let mut sealed = [0; 5 + 16];
        cipher
            .seal(&[9; 12], &[b"aad"], b"plain", &mut sealed)
            .unwrap();
        let key = shared(key_type);
        let mut raw = decrypt(&key, &sealed, b"aad");
        raw.nonce = Some(&[9; 12]);
        let opened = world.ask(&mut app, &raw).unwrap();
        assert_eq!(opened.result().plaintext, b"plain");
        raw.nonce = Some(&[8; 12]);
        let refused = world.ask(&mut app, &raw).unwrap_err();
        assert_eq!(refused, VERIFICATION_FAILED);
        raw.ciphertext = &sealed[..15];
        let refused = world.ask(&mut app, &raw).unwrap_err();
        assert_eq!(refused, Not::Done(Status::Malformed));
        // A key that this vault generated is nobody else's.
        let mut own = decrypt(key_type.as_str(), &sealed, b"aad");
        own.nonce = Some(&[9; 12]);
        let refused = world.ask(&mut app, &own).unwrap_err();
        assert_eq!(refused, Not::Done(Status::WrongParameters));
        assert_eq!(app.refusal(), Some(Refusal::RawUnderOwnKey));
    }
}

#[test]
fn rsa_opens_what_it_sealed_with_the_same_scheme_and_label() {
    let (mut world, mut app) = world();
    let asked = generate("rsa", KeyType::Rsa2048);
    world.ask(&mut app, &asked).unwrap();
    for scheme in [None].into_iter().chain(EncryptionScheme::ALL.map(Some)) {
        let mut asked = encrypt("rsa", b"plain", b"label");
        asked.scheme = scheme;
        let sealed = world.ask(&mut app, &asked).unwrap();
        let ciphertext = sealed.result().ciphertext;
        assert_eq!(ciphertext.len(), 256);
        let mut open = decrypt("rsa", ciphertext, b"label");
        open.scheme = scheme;
        open.version = Some(1);
        let opened = world.ask(&mut app, &open).unwrap();
        assert_eq!(opened.result().plaintext, b"plain");
        open.aad = b"other";
        assert_eq!(world.ask(&mut app, &open).unwrap_err(), VERIFICATION_FAILED);
        open.aad = b"label";
        open.ciphertext = &ciphertext[1..];
        assert_eq!(world.ask(&mut app, &open).unwrap_err(), VERIFICATION_FAILED);
        open.ciphertext = ciphertext;
        open.scheme = Some(match scheme {
            Some(EncryptionScheme::RsaOaepSha512) => EncryptionScheme::RsaOaepSha384,
            _ => EncryptionScheme::RsaOaepSha512,
        });
        assert_eq!(world.ask(&mut app, &open).unwrap_err(), VERIFICATION_FAILED);
        open.version = Some(7);
        let unknown = world.ask(&mut app, &open).unwrap_err();
        assert_eq!(unknown, Not::Done(Status::VersionNotFound));
    }
    let long = world.ask(&mut app, &encrypt("rsa", &[0; 200], b""));
    assert_eq!(long.unwrap_err(), Not::Done(Status::TooLarge));
    let mut raw = decrypt("rsa", &[0; 256], b"");
    raw.nonce = Some(&[0; 12]);
    let raw = world.ask(&mut app, &raw).unwrap_err();
    assert_eq!(raw, Not::Done(Status::WrongKeyType));
}

#[test]
fn a_scheme_of_rsa_is_no_ciphers() {
    let (mut world, mut app) = world();
    for key in AEADS.map(|(key_type, ..)| key_type.as_str()) {
        let sealed = world.ask(&mut app, &encrypt(key, b"plain", b"")).unwrap();
        let mut seal = encrypt(key, b"plain", b"");
        seal.scheme = Some(EncryptionScheme::RsaOaepSha256);
        let refused = world.ask(&mut app, &seal).unwrap_err();
        assert_eq!(refused, Not::Done(Status::WrongParameters));
        let mut open = decrypt(key, sealed.result().ciphertext, b"");
        open.scheme = Some(EncryptionScheme::RsaOaepSha256);
        let refused = world.ask(&mut app, &open).unwrap_err();
        assert_eq!(refused, Not::Done(Status::WrongParameters));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_sealed_opens_and_any_change_refuses(
        plaintext in prop::collection::vec(any::<u8>(), 0..300),
        aad in prop::collection::vec(any::<u8>(), 0..50),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let (mut world, mut app) = world();
        let own = AEADS.map(|(key_type, ..)| key_type.as_str().to_owned());
        let extended = shared(KeyType::Aes256Gcm);
        for key in own.iter().chain([&extended]) {
            let sealed = world.ask(&mut app, &encrypt(key, &plaintext, &aad)).unwrap();
            let mut bytes = sealed.result().ciphertext.to_vec();
            let opened = world.ask(&mut app, &decrypt(key, &bytes, &aad)).unwrap();
            prop_assert_eq!(opened.result().plaintext, &plaintext[..]);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(world.ask(&mut app, &decrypt(key, &bytes, &aad)).is_err());
        }
    }
}
