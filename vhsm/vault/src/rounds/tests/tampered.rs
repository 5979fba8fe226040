//! JWEs that must not open: of another round, changed, or of another form.

use super::service::encrypt;
use super::world::*;
use crate::rounds::resource::Opened;
use crate::rounds::tee_key::TeeKey;
use crate::rounds::{ResourceFault, RoundError};
use nitride_kbs::tee_key::TeeKeyForm;
use nitride_secmem::crypto::{EcP256, MlKem768, X25519};

/// The private half of RFC 7515, A.3, to which the golden JWE is encrypted.
const GOLDEN_KEY: [u8; 32] = [
    0x8E, 0x9B, 0x10, 0x9E, 0x71, 0x90, 0x98, 0xBF, 0x98, 0x04, 0x87, 0xDF, 0x1F, 0x5D, 0x77, 0xE9,
    0xCB, 0x29, 0x60, 0x6E, 0xBE, 0xD2, 0x26, 0x3B, 0x5F, 0x57, 0xC2, 0x13, 0xDF, 0x84, 0xF4, 0xB2,
];
const GOLDEN: &str = include_str!("../../../../../protocol/kbs/golden/jwe.json");
const GOLDEN_HYBRID: &str = include_str!("../../../../../protocol/kbs/golden/jwe-hybrid.json");
const GOLDEN_KEYS: &str = include_str!("../../../../../protocol/kbs/golden/tee-keys.json");

#[test]
fn the_golden_jwe_of_a_second_implementation_opens() {
    let _world = World::new();
    let key = TeeKey::p256(EcP256::from_scalar(&GOLDEN_KEY).unwrap()).unwrap();
    assert!(Opened::from_jwe(&key, GOLDEN.trim().as_bytes()).is_ok());
    let other = TeeKey::p256(EcP256::generate().unwrap()).unwrap();
    assert!(matches!(
        Opened::from_jwe(&other, GOLDEN.trim().as_bytes()),
        Err(ResourceFault::DoesNotOpen(_))
    ));
    // The other form of key, and the other form of JWE.
    for (key, jwe) in [(&golden_hybrid(), GOLDEN), (&key, GOLDEN_HYBRID)] {
        assert!(matches!(
            Opened::from_jwe(key, jwe.trim().as_bytes()),
            Err(ResourceFault::OtherKeyForm)
        ));
    }
}

/// Both halves, by `golden/generate_tee_keys.py`, which has the JWK as a second implementation
/// writes it.
fn golden_hybrid() -> TeeKey {
    let keys: serde_json::Value = serde_json::from_str(GOLDEN_KEYS).unwrap();
    let part = |name: &str| {
        let digits = keys["hybrid"][name].as_str().unwrap();
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(byte).collect::<Vec<u8>>()
    };
    let ml_kem = MlKem768::from_seed(&part("seed")).unwrap();
    let x25519 = X25519::from_private(&part("x25519")).unwrap();
    let key = TeeKey::hybrid(ml_kem, x25519).unwrap();
    let jwk = keys["hybrid"]["jwk"].as_str().unwrap();
    assert_eq!(key.public().to_jwk_json(), jwk);
    key
}

#[test]
fn the_golden_hybrid_jwe_opens_with_both_halves_and_with_no_other() {
    let _world = World::new();
    let key = golden_hybrid();
    assert!(Opened::from_jwe(&key, GOLDEN_HYBRID.trim().as_bytes()).is_ok());
    for _ in 0..2 {
        let other = TeeKey::generate(TeeKeyForm::X25519MlKem768).unwrap();
        assert!(matches!(
            Opened::from_jwe(&other, GOLDEN_HYBRID.trim().as_bytes()),
            Err(ResourceFault::DoesNotOpen(_))
        ));
    }
}

#[test]
fn a_change_of_either_half_of_what_a_hybrid_answer_sends_does_not_open() {
    let world = World::new();
    let offered = [TeeKeyForm::X25519MlKem768.as_str()];
    for (at, part) in [(0, "ML-KEM"), (1100, "X25519")] {
        let round = world.challenged_with(&key(SIGNING), &offered);
        let jwe = encrypt(&round.evidence.tee_pubkey_jwk, &signing_envelope());
        let jwe = nitride_kbs::jwe::Jwe::parse(&jwe).unwrap();
        let nitride_kbs::jwe::Header::X25519MlKem768 { ek } = jwe.header() else {
            panic!("another form");
        };
        let mut ek = ek.clone();
        ek[at] ^= 1;
        let header = nitride_kbs::jwe::Header::X25519MlKem768 { ek };
        let protected = nitride_kbs::jwe::protected_header(&header);
        let (wrapped, iv, tag) = (jwe.encrypted_key(), jwe.iv(), jwe.tag());
        let changed = nitride_kbs::jwe::to_json(&protected, wrapped, iv, jwe.ciphertext(), tag);
        let delivered = world.deliver_jwe(&round.order.round, SIGNING_PATH, changed.as_bytes());
        assert!(
            matches!(
                delivered,
                Err(RoundError::Resource(ResourceFault::DoesNotOpen(_)))
            ),
            "{part}"
        );
        world.finish(&round.order.round);
        world.vault.agent_connected();
    }
}

#[test]
fn a_jwe_of_an_earlier_round_does_not_open() {
    let world = World::new();
    let old = world.challenged(&key(SIGNING));
    let replayed = encrypt(&old.evidence.tee_pubkey_jwk, &signing_envelope());
    world.finish(&old.order.round);
    world.vault.agent_connected();
    let round = world.challenged(&key(SIGNING));
    assert!(matches!(
        world.deliver_jwe(&round.order.round, SIGNING_PATH, &replayed),
        Err(RoundError::Resource(ResourceFault::DoesNotOpen(_)))
    ));
    assert_eq!(world.held(SIGNING), None);
}

#[test]
fn a_jwe_to_a_key_of_the_couriers_own_does_not_open() {
    let world = World::new();
    let round = world.challenged(&key(SIGNING));
    let own = nitride_kbs::tee_key::TeePublicKey::from_point(&super::service::point(8)).unwrap();
    let jwe = encrypt(&own.to_jwk_json(), &signing_envelope());
    assert!(matches!(
        world.deliver_jwe(&round.order.round, SIGNING_PATH, &jwe),
        Err(RoundError::Resource(ResourceFault::DoesNotOpen(_)))
    ));
}

#[test]
fn a_change_in_any_field_of_the_jwe_is_refused() {
    let world = World::new();
    for field in ["protected", "encrypted_key", "iv", "ciphertext", "tag"] {
        let round = world.challenged(&key(SIGNING));
        let jwe = encrypt(&round.evidence.tee_pubkey_jwk, &signing_envelope());
        let text = String::from_utf8(jwe).unwrap();
        let at = text.find(&format!("\"{field}\":\"")).unwrap() + field.len() + 4;
        // The letter after next keeps the text base64url, whatever it was.
        let at = at + 8;
        let swapped = if text.as_bytes()[at] == b'A' {
            "B"
        } else {
            "A"
        };
        let tampered = format!("{}{swapped}{}", &text[..at], &text[at + 1..]);
        assert_ne!(tampered, text);
        let error = world
            .deliver_jwe(&round.order.round, SIGNING_PATH, tampered.as_bytes())
            .unwrap_err();
        assert!(
            matches!(error, RoundError::Resource(_)),
            "{field}: {error:?}"
        );
        assert_eq!(world.held(SIGNING), None, "{field}");
        assert!(only(world.finish(&round.order.round)).outcome.is_err());
        world.vault.agent_connected();
    }
}

#[test]
fn an_ephemeral_key_that_is_not_on_the_curve_is_refused() {
    let world = World::new();
    let round = world.challenged(&key(SIGNING));
    let mut off_curve = super::service::point(8);
    off_curve[64] ^= 1;
    let protected =
        nitride_kbs::jwe::protected_header(&nitride_kbs::jwe::Header::EcP256 { epk: off_curve });
    let jwe = nitride_kbs::jwe::to_json(&protected, &[0; 40], &[0; 12], b"x", &[0; 16]);
    assert!(matches!(
        world.deliver_jwe(&round.order.round, SIGNING_PATH, jwe.as_bytes()),
        Err(RoundError::Resource(ResourceFault::DoesNotOpen(_)))
    ));
}

#[test]
fn what_is_no_jwe_or_too_long_or_empty_is_refused() {
    let world = World::new();
    let long = vec![b' '; nitride_kbs::limits::MAX_JWE_LEN + 1];
    for bytes in [b"".as_slice(), b"{}", b"\xff", &long] {
        let round = world.challenged(&key(SIGNING));
        assert!(matches!(
            world.deliver_jwe(&round.order.round, SIGNING_PATH, bytes),
            Err(RoundError::Resource(ResourceFault::NotAJwe(_)))
        ));
        world.finish(&round.order.round);
        world.vault.agent_connected();
    }
    let round = world.challenged(&key(SIGNING));
    assert!(matches!(
        world.deliver(&round, SIGNING_PATH, b""),
        Err(RoundError::Resource(ResourceFault::Empty))
    ));
}
