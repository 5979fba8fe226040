use super::*;
use crate::limits::MAX_JWE_HEADER_LEN;
use crate::tee_key::TeeKeyForm;
use proptest::prelude::*;

/// Made by `golden/generate.py`; the vault's tests open it.
const GOLDEN: &str = include_str!("../../golden/jwe.json");

fn golden() -> Jwe {
    Jwe::parse(GOLDEN.trim().as_bytes()).unwrap()
}

fn with_header(header: &str) -> Result<Jwe, JweError> {
    let mut flat: Flattened = serde_json::from_str(GOLDEN).unwrap();
    flat.protected = base64url::encode(header.as_bytes());
    Jwe::parse(serde_json::to_string(&flat).unwrap().as_bytes())
}

fn header_text() -> String {
    String::from_utf8(base64url::decode(std::str::from_utf8(golden().aad()).unwrap()).unwrap())
        .unwrap()
}

#[test]
fn the_golden_jwe_reads_and_is_written_byte_for_byte() {
    let jwe = golden();
    let iv: Vec<u8> = (0..12).collect();
    assert_eq!(jwe.iv().as_slice(), iv);
    assert_eq!(jwe.ciphertext().len(), 205);
    assert_eq!(protected_header(jwe.header()).as_bytes(), jwe.aad());
    let written = to_json(
        &protected_header(jwe.header()),
        jwe.encrypted_key(),
        jwe.iv(),
        jwe.ciphertext(),
        jwe.tag(),
    );
    assert_eq!(written, GOLDEN.trim());
}

fn header_of(form: TeeKeyForm, fill: u8) -> Header {
    let point = |len| {
        let mut point = vec![fill; len];
        point[0] = 4;
        point
    };
    match form {
        TeeKeyForm::EcP256 => Header::EcP256 {
            epk: point(65).try_into().unwrap(),
        },
        TeeKeyForm::EcP521 => Header::EcP521 {
            epk: point(133).into_boxed_slice().try_into().unwrap(),
        },
        TeeKeyForm::RsaOaep256 => Header::Rsa,
        TeeKeyForm::MlKem768 => Header::MlKem768 {
            ek: Box::new([fill; ML_KEM_768_CIPHERTEXT_LEN]),
        },
        TeeKeyForm::X25519MlKem768 => Header::X25519MlKem768 {
            ek: Box::new([fill; HYBRID_CIPHERTEXT_LEN]),
        },
    }
}

/// A JWE with this header, as text, and this content key.
fn with(header: &str, encrypted_key: &[u8]) -> Result<Jwe, JweError> {
    let protected = base64url::encode(header.as_bytes());
    Jwe::parse(to_json(&protected, encrypted_key, &[0; 12], b"c", &[0; 16]).as_bytes())
}

#[test]
fn a_header_has_what_its_algorithm_needs_and_no_more() {
    for form in TeeKeyForm::ALL {
        let protected = protected_header(&header_of(form, 7));
        let text = String::from_utf8(base64url::decode(&protected).unwrap()).unwrap();
        let len = if form == TeeKeyForm::RsaOaep256 {
            256
        } else {
            40
        };
        assert!(with(&text, &vec![0; len]).is_ok());
        // Another form's name over these members.
        for other in TeeKeyForm::ALL {
            let (from, to) = (form.algorithm(), other.algorithm());
            let renamed = with(&text.replace(from, to), &[0; 40]);
            assert!(from == to || renamed.is_err(), "{from} as {to}");
        }
        for more in [
            r#","ek":"AAAA""#,
            r#","epk":{"crv":"P-256","kty":"EC","x":"","y":""}"#,
        ] {
            let more = format!("{}{more}}}", &text[..text.len() - 1]);
            assert!(with(&more, &vec![0; len]).is_err(), "{more}");
        }
        // A content key of another form's length.
        for other in [0, 39, 41, 255, 513] {
            let wrong = with(&text, &vec![0; other]);
            assert!(
                matches!(
                    wrong,
                    Err(JweError::BadPart {
                        part: "encrypted_key"
                    })
                ),
                "{form:?} {other}"
            );
        }
    }
    for alg in ["ML-KEM-768+A192KW", "nitride-X25519MLKEM768+A256KW"] {
        let short = format!(r#"{{"alg":"{alg}","enc":"A256GCM","ek":"AAAA"}}"#);
        let none = format!(r#"{{"alg":"{alg}","enc":"A256GCM"}}"#);
        for header in [short, none] {
            let refused = with(&header, &[0; 40]);
            assert!(matches!(refused, Err(JweError::BadPart { part: "ek" })));
        }
    }
}

/// Made by `golden/generate_tee_keys.py`; the service's tests and the vault's open them.
#[test]
fn the_golden_jwe_of_each_form_reads_and_is_written_byte_for_byte() {
    for (text, form) in [
        (
            include_str!("../../golden/jwe-p521.json"),
            TeeKeyForm::EcP521,
        ),
        (
            include_str!("../../golden/jwe-rsa.json"),
            TeeKeyForm::RsaOaep256,
        ),
        (
            include_str!("../../golden/jwe-ml-kem.json"),
            TeeKeyForm::MlKem768,
        ),
        (
            include_str!("../../golden/jwe-hybrid.json"),
            TeeKeyForm::X25519MlKem768,
        ),
    ] {
        let jwe = Jwe::parse(text.trim().as_bytes()).unwrap();
        assert_eq!(jwe.header().form(), form);
        let protected = protected_header(jwe.header());
        assert_eq!(protected.as_bytes(), jwe.aad());
        let (key, ciphertext) = (jwe.encrypted_key(), jwe.ciphertext());
        let written = to_json(&protected, key, jwe.iv(), ciphertext, jwe.tag());
        assert_eq!(written, text.trim());
    }
}

#[test]
fn the_hybrid_s_other_info_has_all_that_was_sent() {
    let info = hybrid_other_info(&[1; HYBRID_CIPHERTEXT_LEN], &[2; 1216]);
    let mut expected = vec![0, 0, 0, 29];
    expected.extend(b"nitride-X25519MLKEM768+A256KW");
    expected.extend([0, 0, 4, 0x60]);
    expected.extend([1; 1120]);
    expected.extend([0, 0, 4, 0xc0]);
    expected.extend([2; 1216]);
    expected.extend([0, 0, 1, 0]);
    assert_eq!(info, expected);
}

#[test]
fn the_other_info_has_the_length_of_the_algorithm_and_no_parties() {
    let mut expected = vec![0, 0, 0, 14];
    expected.extend(b"ECDH-ES+A256KW");
    expected.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(concat_kdf_other_info(), expected);
    assert_eq!(ALGORITHM.len(), 14);
}

#[test]
fn a_header_in_another_order_keeps_its_own_bytes_as_additional_data() {
    let text = header_text();
    let reordered = text
        .replace(r#""alg":"ECDH-ES+A256KW","#, "")
        .replace("}}", r#"},"alg":"ECDH-ES+A256KW"}"#);
    let jwe = with_header(&reordered).unwrap();
    assert_eq!(
        jwe.aad(),
        base64url::encode(reordered.as_bytes()).as_bytes()
    );
    assert_ne!(jwe.aad(), golden().aad());
}

#[test]
fn another_algorithm_is_refused() {
    for (from, to) in [
        ("ECDH-ES+A256KW", "ECDH-ES"),
        ("ECDH-ES+A256KW", "RSA1_5"),
        ("ECDH-ES+A256KW", "dir"),
        ("A256GCM", "A128GCM"),
        ("A256GCM", "A256CBC-HS512"),
    ] {
        let header = header_text().replace(from, to);
        assert!(
            matches!(with_header(&header), Err(JweError::UnknownAlgorithm)),
            "{to}"
        );
    }
}

#[test]
fn a_header_member_more_less_or_twice_is_refused() {
    let text = header_text();
    for member in [
        r#""apu":"AA""#,
        r#""apv":"AA""#,
        r#""zip":"DEF""#,
        r#""crit":[]"#,
        r#""kid":"1""#,
        r#""alg":"ECDH-ES+A256KW""#,
    ] {
        let more = text.replacen('{', &format!("{{{member},"), 1);
        assert!(
            matches!(with_header(&more), Err(JweError::Json(_))),
            "{member}"
        );
    }
    let less = text.replacen(r#""enc":"A256GCM","#, "", 1);
    assert!(matches!(with_header(&less), Err(JweError::Json(_))));
}

#[test]
fn another_ephemeral_key_is_refused() {
    let text = header_text();
    for (from, to) in [
        ("P-256", "P-521"),
        ("P-256", "P-384"),
        ("\"EC\"", "\"OKP\""),
        ("\"x\":\"", "\"x\":\"AA"),
        ("\"y\":\"", "\"y\":\"="),
    ] {
        assert!(
            matches!(
                with_header(&text.replace(from, to)),
                Err(JweError::BadEphemeralKey)
            ),
            "{to}"
        );
    }
}

#[test]
fn each_part_has_its_length_and_its_one_spelling() {
    for part in ["protected", "encrypted_key", "iv", "ciphertext", "tag"] {
        let mut flat: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
        let text = flat[part].as_str().unwrap().to_owned();
        for damaged in [
            format!("{text}="),
            format!("{text}\n"),
            format!("+{}", &text[1..]),
        ] {
            flat[part] = damaged.into();
            assert!(
                matches!(
                    Jwe::parse(flat.to_string().as_bytes()),
                    Err(JweError::BadPart { part: named }) if named == part
                ),
                "{part}"
            );
        }
        if !matches!(part, "protected" | "ciphertext") {
            flat[part] = format!("{text}AAAA").into();
            assert!(Jwe::parse(flat.to_string().as_bytes()).is_err(), "{part}");
        }
    }
}

#[test]
fn a_member_more_less_or_twice_is_refused() {
    let text = GOLDEN.trim();
    for changed in [
        text.replacen('{', r#"{"aad":"AA","#, 1),
        text.replacen('{', r#"{"recipients":[],"#, 1),
        text.replacen('{', r#"{"tag":"AAAAAAAAAAAAAAAAAAAAAA","#, 1),
        text.replacen("\"iv\"", "\"vi\"", 1),
    ] {
        assert!(matches!(
            Jwe::parse(changed.as_bytes()),
            Err(JweError::Json(_))
        ));
    }
}

#[test]
fn bounds_hold() {
    let long = vec![b' '; MAX_JWE_LEN + 1];
    assert!(matches!(
        Jwe::parse(&long),
        Err(JweError::Json(JsonError::TooLong { .. }))
    ));
    let header = format!("{}{}", header_text(), " ".repeat(MAX_JWE_HEADER_LEN));
    assert!(matches!(
        with_header(&header),
        Err(JweError::BadPart { part: "protected" })
    ));
}

proptest! {
    #[test]
    fn any_bytes_give_a_jwe_or_a_named_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = Jwe::parse(&bytes);
    }

    #[test]
    fn any_header_gives_a_jwe_or_a_named_error(text in "\\PC{0,100}") {
        let _ = with_header(&text);
    }

    #[test]
    fn whatever_is_written_reads_back_in_each_form(
        form in 0usize..5, fill: u8, encrypted_key: [u8; 40], iv: [u8; 12], tag: [u8; 16],
        ciphertext in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let header = header_of(TeeKeyForm::ALL[form], fill);
        let encrypted_key = match header {
            Header::Rsa => [fill; 256].to_vec(),
            _ => encrypted_key.to_vec(),
        };
        let protected = protected_header(&header);
        let text = to_json(&protected, &encrypted_key, &iv, &ciphertext, &tag);
        let jwe = Jwe::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(jwe.header(), &header);
        prop_assert_eq!(jwe.aad(), protected.as_bytes());
        prop_assert_eq!(jwe.encrypted_key(), &encrypted_key);
        prop_assert_eq!(jwe.iv(), &iv);
        prop_assert_eq!(jwe.tag(), &tag);
        prop_assert_eq!(jwe.ciphertext(), &ciphertext);
    }
}
