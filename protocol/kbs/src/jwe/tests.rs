use super::*;
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
    assert_eq!(protected_header(&jwe.header().epk).as_bytes(), jwe.aad());
    let written = to_json(
        &protected_header(&jwe.header().epk),
        jwe.encrypted_key(),
        jwe.iv(),
        jwe.ciphertext(),
        jwe.tag(),
    );
    assert_eq!(written, GOLDEN.trim());
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
    fn whatever_is_written_reads_back(
        x: [u8; 32], y: [u8; 32], encrypted_key: [u8; 40], iv: [u8; 12], tag: [u8; 16],
        ciphertext in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let epk = TeePublicKey::EcP256 { x, y }.to_point();
        let protected = protected_header(&epk);
        let text = to_json(&protected, &encrypted_key, &iv, &ciphertext, &tag);
        let jwe = Jwe::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(jwe.header().epk, epk);
        prop_assert_eq!(jwe.aad(), protected.as_bytes());
        prop_assert_eq!(jwe.encrypted_key(), &encrypted_key);
        prop_assert_eq!(jwe.iv(), &iv);
        prop_assert_eq!(jwe.tag(), &tag);
        prop_assert_eq!(jwe.ciphertext(), &ciphertext);
    }
}
