use super::*;
use crate::base64url::encode;
use proptest::prelude::*;

const JWK: &str = r#"{"alg":"ECDH-ES+A256KW","crv":"P-256","kty":"EC","x":"4NUXj5NxFdcPEdqNbrW_fYWQnRbQgrqkiXdFLOWxYFQ","y":"udSzbwTP71PNZiVSXswOcNZKa3BvMDkparTVQ0QG-Zo"}"#;

/// One key of each form, of bytes that are no secret's other half.
fn each() -> Vec<TeePublicKey> {
    let mut modulus = vec![0xa5; 256];
    modulus[255] = 1;
    vec![
        TeePublicKey::parse(JWK).unwrap(),
        TeePublicKey::EcP521(Arc::new([1; 132])),
        TeePublicKey::Rsa(Arc::new(RsaPublicKey::new(modulus, &[1, 0, 1]).unwrap())),
        TeePublicKey::MlKem768(Arc::new([2; ML_KEM_768_KEY_LEN])),
        TeePublicKey::X25519MlKem768(Arc::new([3; X25519_ML_KEM_768_KEY_LEN])),
    ]
}

fn refusal(json: &str) -> String {
    let error = TeePublicKey::parse(json).unwrap_err();
    match error {
        TeeKeyError::Json(JsonError::Malformed { source, .. }) => source.to_string(),
        other => other.to_string(),
    }
}

#[test]
fn a_key_prints_as_it_was_read() {
    let key = TeePublicKey::parse(JWK).unwrap();
    assert_eq!(key.to_jwk_json(), JWK);
    assert_eq!(serde_json::to_string(&key).unwrap(), JWK);
    let TeePublicKey::EcP256 { x, y } = key else {
        panic!("another form");
    };
    assert_eq!(
        TeePublicKey::from_point(&p256_point(&x, &y)).unwrap(),
        TeePublicKey::EcP256 { x, y }
    );
}

#[test]
fn a_key_of_each_form_comes_back_in_its_canonical_spelling() {
    for (key, form) in each().into_iter().zip(TeeKeyForm::ALL) {
        let json = key.to_jwk_json();
        assert_eq!(key.form(), form);
        assert_eq!(TeeKeyForm::parse(form.as_str()), Some(form));
        assert_eq!(TeePublicKey::parse(&json).unwrap(), key);
        assert_eq!(serde_json::to_string(&key).unwrap(), json);
        // RFC 8785 sorts by name, as serde_json's map does.
        let sorted: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(sorted.to_string(), json);
        assert!(json.len() <= MAX_TEE_KEY_LEN);
    }
}

#[test]
fn the_golden_keys_read_and_print_as_a_second_implementation_wrote_them() {
    let keys = include_str!("../../golden/tee-keys.json");
    let keys: serde_json::Value = serde_json::from_str(keys).unwrap();
    for (name, form) in [
        ("p521", TeeKeyForm::EcP521),
        ("rsa", TeeKeyForm::RsaOaep256),
        ("ml-kem", TeeKeyForm::MlKem768),
        ("hybrid", TeeKeyForm::X25519MlKem768),
    ] {
        let jwk = keys[name]["jwk"].as_str().unwrap();
        let key = TeePublicKey::parse(jwk).unwrap();
        assert_eq!((key.form(), key.to_jwk_json().as_str()), (form, jwk));
    }
}

#[test]
fn members_may_stand_in_any_order() {
    let swapped = JWK.replace(r#""crv":"P-256","kty":"EC""#, r#""kty":"EC","crv":"P-256""#);
    assert!(TeePublicKey::parse(&swapped).is_ok());
}

#[test]
fn an_extra_missing_or_doubled_member_is_refused_in_each_form() {
    for key in each() {
        let json = key.to_jwk_json();
        let members: Vec<&str> = json[1..json.len() - 1].split(',').collect();
        for at in 0..members.len() {
            let mut less = members.clone();
            less.remove(at);
            assert!(TeePublicKey::parse(&format!("{{{}}}", less.join(","))).is_err());
            let twice = format!("{{{},{}}}", members.join(","), members[at]);
            assert!(TeePublicKey::parse(&twice).is_err(), "{twice}");
        }
        for more in [
            r#""kid":"1""#,
            r#""d":"AQ""#,
            r#""x":null"#,
            r#""pub":"""#,
            r#""use":1"#,
        ] {
            let more = format!("{{{},{more}}}", members.join(","));
            assert!(TeePublicKey::parse(&more).is_err(), "{more}");
        }
    }
}

#[test]
fn another_curve_algorithm_or_coordinate_length_is_refused() {
    for (from, to) in [
        ("P-256", "P-384"),
        ("P-256", "P-521"),
        ("ECDH-ES+A256KW", "ECDH-ES"),
        ("ECDH-ES+A256KW", "RSA-OAEP-256"),
        ("\"EC\"", "\"RSA\""),
        ("OWxYFQ", "OWxYFQA"),
        ("OWxYFQ", "OWxYFR"),
        ("OWxYFQ", "OWxYFQ="),
    ] {
        assert!(TeePublicKey::parse(&JWK.replace(from, to)).is_err(), "{to}");
    }
}

#[test]
fn rsa_within_bounds_is_taken_and_no_other() {
    let jwk = |alg: &str, modulus: &[u8], exponent: &[u8]| {
        format!(
            r#"{{"alg":"{alg}","e":"{}","kty":"RSA","n":"{}"}}"#,
            encode(exponent),
            encode(modulus)
        )
    };
    let taken = |modulus: &[u8], exponent: &[u8]| {
        TeePublicKey::parse(&jwk("RSA-OAEP-256", modulus, exponent)).is_ok()
    };
    let f4 = [1, 0, 1];
    let of = |first: u8, len: usize| {
        let mut modulus = vec![0xff; len];
        modulus[0] = first;
        modulus
    };
    assert!(taken(&of(0x80, 256), &f4) && taken(&of(0xff, 512), &f4));
    assert!(taken(&of(0x80, 256), &[255; 4]));
    // A bit too short, one too long, one zero before, nothing, and even.
    assert!(!taken(&of(0x7f, 256), &f4) && !taken(&of(1, 513), &f4));
    assert!(!taken(&of(0, 257), &f4) && !taken(&[], &f4));
    assert!(!taken(&[0xfe; 256], &f4));
    // Small, even, long, with a zero before, and none.
    for exponent in [
        &[3][..],
        &[0xff, 0xff],
        &[1, 0, 2],
        &[1; 5],
        &[0, 1, 0, 1],
        &[],
    ] {
        assert!(!taken(&of(0x80, 256), exponent), "{exponent:?}");
    }
    let old = refusal(&jwk("RSA1_5", &of(0x80, 256), &f4));
    assert!(old.contains("RSA1_5, which is not taken"), "{old}");
}

#[test]
fn a_key_of_another_length_than_its_form_has_is_refused() {
    for (alg, len) in [
        ("ML-KEM-768+A192KW", ML_KEM_768_KEY_LEN),
        ("nitride-X25519MLKEM768+A256KW", X25519_ML_KEM_768_KEY_LEN),
    ] {
        let jwk = |len: usize| {
            let key = encode(&vec![1; len]);
            format!(r#"{{"alg":"{alg}","kty":"AKP","pub":"{key}"}}"#)
        };
        assert!(TeePublicKey::parse(&jwk(len)).is_ok());
        for other in [0, len - 1, len + 1] {
            assert!(TeePublicKey::parse(&jwk(other)).is_err(), "{alg} {other}");
        }
    }
}

#[test]
fn a_compressed_point_is_refused() {
    let mut point = [7; 65];
    point[0] = 2;
    assert!(matches!(
        TeePublicKey::from_point(&point),
        Err(TeeKeyError::NotUncompressed)
    ));
}

proptest! {
    #[test]
    fn every_point_comes_back(x: [u8; 32], y: [u8; 32]) {
        let key = TeePublicKey::EcP256 { x, y };
        prop_assert_eq!(TeePublicKey::parse(&key.to_jwk_json()).unwrap(), key);
    }

    #[test]
    fn any_text_gives_a_key_or_a_named_error(text in "\\PC{0,64}") {
        let _ = TeePublicKey::parse(&text);
    }

    #[test]
    fn a_damaged_key_gives_a_key_of_its_one_spelling_or_a_named_error(
        form in 0usize..5, at: prop::sample::Index, byte: u8,
    ) {
        let mut bytes = each()[form].to_jwk_json().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(key) = TeePublicKey::parse(&String::from_utf8_lossy(&bytes)) {
            prop_assert_eq!(TeePublicKey::parse(&key.to_jwk_json()).unwrap(), key);
        }
    }
}
