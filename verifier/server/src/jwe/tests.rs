use super::opening::TeeKey;
use super::*;
use crate::entropy::KernelEntropy;
use nitride_kbs::jwe::Jwe;
use nitride_kbs::tee_key::RsaPublicKey;
use std::sync::Arc;

#[test]
fn only_the_tee_key_opens_what_was_sealed_to_it_in_each_form() {
    for form in TeeKeyForm::ALL {
        let (key, other) = (TeeKey::draw(form), TeeKey::draw(form));
        assert_eq!(key.public().form(), form);
        assert!(checked_key(&key.public()).is_ok(), "{form:?}");
        for resource in [&b""[..], b"s", &[7; 65_536]] {
            let jwe = seal(resource, &key.public(), &mut KernelEntropy).unwrap();
            assert_eq!(
                key.open(jwe.as_bytes()).as_deref(),
                Some(resource),
                "{form:?}"
            );
            assert_eq!(other.open(jwe.as_bytes()), None);
            let header = Jwe::parse(jwe.as_bytes()).unwrap();
            assert_eq!(header.header().form(), form);
        }
    }
}

#[test]
fn no_two_sealings_share_a_key() {
    for form in TeeKeyForm::ALL {
        let key = TeeKey::draw(form).public();
        let parts = || {
            let jwe = seal(b"secret", &key, &mut KernelEntropy).unwrap();
            assert!(!jwe.contains("secret"));
            let jwe = Jwe::parse(jwe.as_bytes()).unwrap();
            (jwe.encrypted_key().to_vec(), jwe.aad().to_vec())
        };
        let (first, second) = (parts(), parts());
        assert_ne!(first.0, second.0, "{form:?}");
        // Of RSA the header is the same each time: all that is fresh is in the key.
        assert_eq!(first.1 == second.1, form == TeeKeyForm::RsaOaep256);
    }
}

/// Their clients serialise the header again, members sorted after alg and enc.
#[test]
fn the_header_is_compact_and_in_the_order_that_clients_write_it_again() {
    for (form, expected) in TeeKeyForm::ALL.into_iter().zip([
        r#"{"alg":"ECDH-ES+A256KW","enc":"A256GCM","epk":{"crv":"P-256","kty":"EC","x":"…","y":"…"}}"#,
        r#"{"alg":"ECDH-ES+A256KW","enc":"A256GCM","epk":{"crv":"P-521","kty":"EC","x":"…","y":"…"}}"#,
        r#"{"alg":"RSA-OAEP-256","enc":"A256GCM"}"#,
        r#"{"alg":"ML-KEM-768+A192KW","enc":"A256GCM","ek":"…"}"#,
        r#"{"alg":"nitride-X25519MLKEM768+A256KW","enc":"A256GCM","ek":"…"}"#,
    ]) {
        use base64ct::{Base64UrlUnpadded, Encoding};
        let key = TeeKey::draw(form).public();
        let jwe = seal(b"s", &key, &mut KernelEntropy).unwrap();
        let jwe = Jwe::parse(jwe.as_bytes()).unwrap();
        let protected = std::str::from_utf8(jwe.aad()).unwrap();
        let text = Base64UrlUnpadded::decode_vec(protected).unwrap();
        let text = String::from_utf8(text).unwrap();
        let shown: Vec<&str> = text
            .split('"')
            .map(|part| if part.len() > 40 { "…" } else { part })
            .collect();
        assert_eq!(shown.join("\""), expected);
    }
}

#[test]
fn numbers_that_are_no_key_are_refused_before_a_token_holds_them() {
    let mut even = vec![0xff; 256];
    even[255] = 0xfd;
    let hybrid = |change: fn(&mut [u8; 1216])| {
        let TeePublicKey::X25519MlKem768(key) = TeeKey::draw(TeeKeyForm::X25519MlKem768).public()
        else {
            unreachable!();
        };
        let mut key = *key;
        change(&mut key);
        TeePublicKey::X25519MlKem768(Arc::new(key))
    };
    for key in [
        TeePublicKey::EcP256 {
            x: [1; 32],
            y: [2; 32],
        },
        TeePublicKey::EcP521(Arc::new([1; 132])),
        // Coefficients above the ring's modulus, 3329.
        TeePublicKey::MlKem768(Arc::new([0xff; 1184])),
        hybrid(|key| key[..1184].fill(0xff)),
        // A point of small order, with whom everybody shares zeroes.
        hybrid(|key| key[1184..].fill(0)),
    ] {
        assert!(
            matches!(checked_key(&key), Err(JweSealError::NotAKey(form)) if form == key.form()),
            "{:?}",
            key.form()
        );
        assert!(seal(b"secret", &key, &mut KernelEntropy).is_err());
    }
    // Of an RSA modulus nobody can tell who knows its factors; it is bounded, and that is all.
    let modulus = TeePublicKey::Rsa(Arc::new(RsaPublicKey::new(even, &[1, 0, 1]).unwrap()));
    assert!(checked_key(&modulus).is_ok());
}

#[test]
fn a_hybrid_answer_opens_only_with_both_halves() {
    let halves = || match TeeKey::draw(TeeKeyForm::X25519MlKem768) {
        TeeKey::Hybrid(ml_kem, x25519, public) => (ml_kem, x25519, public),
        _ => unreachable!(),
    };
    let (ml_kem, x25519, public) = halves();
    let (other_ml_kem, other_x25519, _) = halves();
    let key = TeePublicKey::X25519MlKem768(public.clone());
    let jwe = seal(b"secret", &key, &mut KernelEntropy).unwrap();
    let whole = TeeKey::Hybrid(ml_kem, x25519, public.clone());
    assert_eq!(whole.open(jwe.as_bytes()).as_deref(), Some(&b"secret"[..]));
    let TeeKey::Hybrid(ml_kem, x25519, _) = whole else {
        unreachable!();
    };
    let half = TeeKey::Hybrid(other_ml_kem, x25519, public.clone());
    assert_eq!(half.open(jwe.as_bytes()), None);
    let half = TeeKey::Hybrid(ml_kem, other_x25519, public);
    assert_eq!(half.open(jwe.as_bytes()), None);
}

#[test]
fn what_is_derived_for_a_hybrid_answer_is_bound_to_the_public_key() {
    let (other, key) = (
        TeeKey::draw(TeeKeyForm::X25519MlKem768),
        TeeKey::draw(TeeKeyForm::X25519MlKem768),
    );
    let jwe = seal(b"secret", &key.public(), &mut KernelEntropy).unwrap();
    assert!(key.open(jwe.as_bytes()).is_some());
    let (TeeKey::Hybrid(ml_kem, x25519, _), TeeKey::Hybrid(.., public)) = (key, other) else {
        unreachable!();
    };
    assert_eq!(
        TeeKey::Hybrid(ml_kem, x25519, public).open(jwe.as_bytes()),
        None
    );
}

#[test]
fn what_a_second_implementation_sealed_opens() {
    for (form, jwe) in [
        (
            TeeKeyForm::EcP521,
            include_str!("../../../../protocol/kbs/golden/jwe-p521.json"),
        ),
        (
            TeeKeyForm::RsaOaep256,
            include_str!("../../../../protocol/kbs/golden/jwe-rsa.json"),
        ),
        (
            TeeKeyForm::MlKem768,
            include_str!("../../../../protocol/kbs/golden/jwe-ml-kem.json"),
        ),
        (
            TeeKeyForm::X25519MlKem768,
            include_str!("../../../../protocol/kbs/golden/jwe-hybrid.json"),
        ),
    ] {
        let opened = TeeKey::golden(form).open(jwe.trim().as_bytes());
        let expected = &b"a resource, not an envelope"[..];
        assert_eq!(opened.as_deref(), Some(expected), "{form:?}");
    }
}
