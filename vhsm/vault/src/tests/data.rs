//! What the data operations give.

use super::world::{EVERYTHING, Not, World, key, name, policy, rule};
use crate::Draw;
use crate::ciphertext::Algorithm;
use crate::policy::Source;
use nitride_protocol::admin::Import;
use nitride_protocol::application::{
    Decrypt, Encrypt, Mac, PublicKey, Random, Sign, Verify, VerifyMac,
};
use nitride_protocol::{KeyType, MaterialFormat, SignScheme, Status};
use nitride_secmem::crypto::{parse_p256_spki, verify_p256_sha256};

fn world() -> World {
    let generated = [
        ("gcm", KeyType::Aes256Gcm),
        ("siv", KeyType::Aes256GcmSiv),
        ("hmac", KeyType::HmacSha256),
        ("ec", KeyType::EcP256),
        ("ed", KeyType::Ed25519),
    ];
    let keys = generated
        .into_iter()
        .map(|(name, key_type)| key(name, key_type, Source::Generate))
        .collect();
    World::new(policy(vec![rule(1, "**", EVERYTHING)], keys))
}

#[test]
fn a_signature_of_each_scheme_verifies_and_no_other_message_does() {
    let mut world = world();
    let mut app = world.application(1);
    for (key, scheme) in [
        ("ec", None),
        ("ec", Some(SignScheme::EcdsaSha256Fixed)),
        ("ec", Some(SignScheme::EcdsaSha256Der)),
        ("ed", None),
        ("ed", Some(SignScheme::Ed25519)),
    ] {
        let sign = Sign {
            key: name(key),
            scheme,
            message: b"message",
            prehashed: false,
        };
        let signed = world.ask(&mut app, &sign).unwrap();
        let mut verify = Verify {
            key: name(key),
            version: Some(1),
            scheme,
            message: b"message",
            signature: signed.result().signature,
            prehashed: false,
        };
        world.ask(&mut app, &verify).unwrap();
        verify.version = None;
        world.ask(&mut app, &verify).unwrap();
        verify.message = b"another";
        let failed = world.ask(&mut app, &verify).unwrap_err();
        assert_eq!(failed, Not::Done(Status::VerificationFailed));
    }
}

#[test]
fn what_is_no_signature_at_all_fails_like_a_wrong_one() {
    let mut world = world();
    let mut app = world.application(1);
    for (key, scheme) in [
        ("ec", None),
        ("ec", Some(SignScheme::EcdsaSha256Der)),
        ("ed", None),
    ] {
        for len in [0, 1, 63, 64, 65, 72] {
            let verify = Verify {
                key: name(key),
                version: None,
                scheme,
                message: b"message",
                prehashed: false,
                signature: &[0x30; 72][..len],
            };
            let failed = world.ask(&mut app, &verify).unwrap_err();
            assert_eq!(failed, Not::Done(Status::VerificationFailed));
        }
    }
}

#[test]
fn a_scheme_of_another_type_is_refused() {
    let mut world = world();
    let mut app = world.application(1);
    for (key, scheme) in [
        ("ec", SignScheme::Ed25519),
        ("ed", SignScheme::EcdsaSha256Fixed),
        ("ed", SignScheme::EcdsaSha256Der),
    ] {
        let (key, scheme) = (name(key), Some(scheme));
        let message = b"message";
        let sign = Sign {
            key,
            scheme,
            message,
            prehashed: false,
        };
        let refused = Not::Done(Status::WrongParameters);
        assert_eq!(world.ask(&mut app, &sign).unwrap_err(), refused);
        let verify = Verify {
            key,
            version: None,
            scheme,
            message,
            signature: &[1; 64],
            prehashed: false,
        };
        assert_eq!(world.ask(&mut app, &verify).unwrap_err(), refused);
    }
}

#[test]
fn the_public_key_verifies_outside_of_the_vault() {
    let mut world = world();
    let mut app = world.application(1);
    let sign = Sign {
        key: name("ec"),
        scheme: None,
        message: b"message",
        prehashed: false,
    };
    let signed = world.ask(&mut app, &sign).unwrap();
    let public_key = PublicKey {
        key: name("ec"),
        version: None,
    };
    let public = world.ask(&mut app, &public_key).unwrap();
    let point = parse_p256_spki(public.result().spki).unwrap();
    let signature = signed.result().signature.try_into().unwrap();
    assert!(verify_p256_sha256(&point, &[b"message"], signature));
    assert_eq!(public.result().version, 1);
}

#[test]
fn what_was_encrypted_decrypts_only_with_its_additional_data() {
    let mut world = world();
    let mut app = world.application(1);
    for key in ["gcm", "siv"] {
        for len in [0, 1, 16, 1000, 65_536] {
            let plaintext = vec![0x5a; len];
            let encrypt = Encrypt {
                key: name(key),
                plaintext: &plaintext,
                aad: b"aad",
                scheme: None,
            };
            let sealed = world.ask(&mut app, &encrypt).unwrap();
            let mut decrypt = Decrypt {
                key: name(key),
                ciphertext: sealed.result().ciphertext,
                aad: b"aad",
                version: None,
                scheme: None,
                nonce: None,
            };
            let opened = world.ask(&mut app, &decrypt).unwrap();
            assert_eq!(opened.result().plaintext, plaintext);
            decrypt.aad = b"other";
            let failed = world.ask(&mut app, &decrypt).unwrap_err();
            assert_eq!(failed, Not::Done(Status::VerificationFailed));
        }
    }
}

#[test]
fn a_ciphertext_that_was_changed_anywhere_does_not_open() {
    let mut world = world();
    let mut app = world.application(1);
    for key in ["gcm", "siv"] {
        let encrypt = Encrypt {
            key: name(key),
            plaintext: b"plain",
            aad: b"",
            scheme: None,
        };
        let sealed = world.ask(&mut app, &encrypt).unwrap();
        let whole = sealed.result().ciphertext;
        for at in 0..whole.len() {
            let mut changed = whole.to_vec();
            changed[at] ^= 0x10;
            let decrypt = Decrypt {
                key: name(key),
                ciphertext: &changed,
                aad: b"",
                version: None,
                scheme: None,
                nonce: None,
            };
            let expected = match at {
                0..3 => Status::Malformed,
                20..24 => Status::VersionNotFound,
                _ => Status::VerificationFailed,
            };
            let failed = world.ask(&mut app, &decrypt).unwrap_err();
            assert_eq!(failed, Not::Done(expected), "byte {at}");
        }
    }
}

#[test]
fn a_ciphertext_of_another_key_is_refused() {
    let mut world = world();
    let mut app = world.application(1);
    let encrypt = Encrypt {
        key: name("gcm"),
        plaintext: b"plain",
        aad: b"",
        scheme: None,
    };
    let sealed = world.ask(&mut app, &encrypt).unwrap();
    let decrypt = Decrypt {
        key: name("siv"),
        ciphertext: sealed.result().ciphertext,
        aad: b"",
        version: None,
        scheme: None,
        nonce: None,
    };
    let failed = world.ask(&mut app, &decrypt).unwrap_err();
    assert_eq!(failed, Not::Done(Status::VerificationFailed));
}

#[test]
fn a_ciphertext_belongs_to_its_key_even_if_another_one_has_the_same_bytes() {
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![]));
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    for key in ["one", "other"] {
        let import = Import {
            key: name(key),
            key_type: KeyType::Aes256GcmSiv,
            operations: None,
            material: &[3; 32],
            format: MaterialFormat::Raw,
            wrapping_key: None,
            wrappable_by: Vec::new(),
        };
        world.ask(&mut admin, &import).unwrap();
    }
    let encrypt = Encrypt {
        key: name("one"),
        plaintext: b"plain",
        aad: b"",
        scheme: None,
    };
    let sealed = world.ask(&mut app, &encrypt).unwrap();
    let mut decrypt = Decrypt {
        key: name("other"),
        ciphertext: sealed.result().ciphertext,
        aad: b"",
        version: None,
        scheme: None,
        nonce: None,
    };
    let failed = world.ask(&mut app, &decrypt).unwrap_err();
    assert_eq!(failed, Not::Done(Status::VerificationFailed));
    decrypt.key = name("one");
    world.ask(&mut app, &decrypt).unwrap();
}

#[test]
fn plain_gcm_counts_its_nonces_and_gcm_siv_draws_them() {
    let mut world = world();
    let mut app = world.application(1);
    let mut nonces = |key| {
        let encrypt = Encrypt {
            key: name(key),
            plaintext: b"same",
            aad: b"",
            scheme: None,
        };
        let one = world.ask(&mut app, &encrypt).unwrap();
        let two = world.ask(&mut app, &encrypt).unwrap();
        let nonce = |bytes: &[u8]| bytes[24..36].to_vec();
        (
            nonce(one.result().ciphertext),
            nonce(two.result().ciphertext),
        )
    };
    let (one, two) = nonces("gcm");
    assert_eq!(one[..8], two[..8]);
    assert_eq!((&one[8..], &two[8..]), (&[0; 4][..], &[0, 0, 0, 1][..]));
    let (one, two) = nonces("siv");
    assert_ne!(one[..8], two[..8]);
}

#[test]
fn an_imported_gcm_key_encrypts_each_message_under_a_key_of_its_own() {
    let rules = vec![rule(1, "**", EVERYTHING)];
    let mut world = World::new(policy(rules, vec![]));
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    let import = Import {
        key: name("gcm"),
        key_type: KeyType::Aes256Gcm,
        operations: None,
        material: &[3; 32],
        format: MaterialFormat::Raw,
        wrapping_key: None,
        wrappable_by: Vec::new(),
    };
    world.ask(&mut admin, &import).unwrap();
    let encrypt = Encrypt {
        key: name("gcm"),
        plaintext: b"plain",
        aad: b"",
        scheme: None,
    };
    let sealed = world.ask(&mut app, &encrypt).unwrap();
    // XAES-256-GCM: a nonce of 24 bytes.
    assert_eq!(sealed.result().ciphertext[3], 3);
    assert_eq!(sealed.result().ciphertext.len(), 5 + 24 + 24 + 16);
    let decrypt = Decrypt {
        key: name("gcm"),
        ciphertext: sealed.result().ciphertext,
        aad: b"",
        version: None,
        scheme: None,
        nonce: None,
    };
    let opened = world.ask(&mut app, &decrypt).unwrap();
    assert_eq!(opened.result().plaintext, b"plain");

    // What another vault, or an earlier life of this one, made under that key and name.
    let header = Algorithm::Aes256Gcm.header(&imported_id(&world, "gcm"), 1);
    let cipher = nitride_secmem::crypto::AeadKey::new(
        nitride_secmem::crypto::AeadAlgorithm::Aes256Gcm,
        &[3; 32],
    )
    .unwrap();
    let mut sealed = [0; 5 + 16];
    cipher
        .seal(&[9; 12], &[&header, b"aad"], b"plain", &mut sealed)
        .unwrap();
    let ciphertext = [&header[..], &[9; 12], &sealed].concat();
    let decrypt = Decrypt {
        key: name("gcm"),
        ciphertext: &ciphertext,
        aad: b"aad",
        version: None,
        scheme: None,
        nonce: None,
    };
    let opened = world.ask(&mut app, &decrypt).unwrap();
    assert_eq!(opened.result().plaintext, b"plain");
}

fn imported_id(world: &World, name: &str) -> [u8; 16] {
    let key = world.vault.keys.find(name).unwrap().unwrap();
    key.read().unwrap().id
}

#[test]
fn a_key_that_was_imported_twice_has_one_identity_and_a_generated_one_never() {
    let make = |seed| {
        let rules = vec![rule(1, "**", EVERYTHING)];
        let keys = vec![key("made", KeyType::Aes256Gcm, Source::Generate)];
        let mut world = World::new(policy(rules, keys));
        world.draw.0 = seed;
        let (mut app, mut admin) = (world.application(1), world.admin(0));
        let import = Import {
            key: name("brought"),
            key_type: KeyType::Aes256GcmSiv,
            operations: None,
            material: &[3; 32],
            format: MaterialFormat::Raw,
            wrapping_key: None,
            wrappable_by: Vec::new(),
        };
        world.ask(&mut admin, &import).unwrap();
        let encrypt = Encrypt {
            key: name("made"),
            plaintext: b"",
            aad: b"",
            scheme: None,
        };
        world.ask(&mut app, &encrypt).unwrap();
        (imported_id(&world, "brought"), imported_id(&world, "made"))
    };
    let (one, other) = (make(1), make(2));
    assert_eq!(one.0, other.0);
    assert_ne!(one.1, other.1);
    assert_ne!(one.0, one.1);
}

#[test]
fn a_tag_verifies_and_nothing_else_does() {
    let mut world = world();
    let mut app = world.application(1);
    let mac = Mac {
        key: name("hmac"),
        data: b"data",
    };
    let tagged = world.ask(&mut app, &mac).unwrap();
    let tag = tagged.result().tag.to_vec();
    assert_eq!(tag.len(), 32);
    let mut changed = tag.clone();
    changed[31] ^= 1;
    for (data, tag, verifies) in [
        (&b"data"[..], &tag[..], true),
        (b"date", &tag, false),
        (b"data", &changed, false),
        (b"data", &tag[..31], false),
        (b"data", &[], false),
    ] {
        let verify = VerifyMac {
            key: name("hmac"),
            version: None,
            data,
            tag,
        };
        let expected = if verifies {
            Ok(())
        } else {
            Err(Not::Done(Status::VerificationFailed))
        };
        assert_eq!(world.ask(&mut app, &verify).map(drop), expected);
    }
}

#[test]
fn a_tag_is_the_hmac_that_everybody_knows() {
    // RFC 4231, test case 1.
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![]));
    let (mut app, mut admin) = (world.application(1), world.admin(0));
    let import = Import {
        key: name("known"),
        key_type: KeyType::HmacSha256,
        operations: None,
        material: &[0x0b; 20],
        format: MaterialFormat::Raw,
        wrapping_key: None,
        wrappable_by: Vec::new(),
    };
    world.ask(&mut admin, &import).unwrap();
    let mac = Mac {
        key: name("known"),
        data: b"Hi There",
    };
    let tagged = world.ask(&mut app, &mac).unwrap();
    assert_eq!(tagged.result().tag[..4], [0xb0, 0x34, 0x4c, 0x61]);
}

#[test]
fn random_bytes_are_what_was_drawn_and_bounded() {
    let mut world = world();
    let mut app = world.application(1);
    let mut foretold = world.draw.clone();
    let drawn = world.ask(&mut app, &Random { len: 40 }).unwrap();
    let mut expected = [0; 40];
    foretold.fill(&mut expected);
    assert_eq!(drawn.result().bytes, expected);
    world.ask(&mut app, &Random { len: 65_536 }).unwrap();
    for len in [65_537, u32::MAX] {
        let refused = world.ask(&mut app, &Random { len }).unwrap_err();
        assert_eq!(refused, Not::Done(Status::TooLarge));
    }
}
