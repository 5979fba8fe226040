use super::*;
use crate::tee_key::TeePublicKey;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use proptest::prelude::*;
use std::collections::BTreeMap;

const OURS: &str = include_str!("../../golden/token.jwt");
const TRUSTEES: &str = include_str!("../../golden/token-trustee.jwt");

/// RFC 6979, A.2.5.
const ISSUER: [u8; 32] = [
    0xC9, 0xAF, 0xA9, 0xD8, 0x45, 0xBA, 0x75, 0x16, 0x6B, 0x5C, 0x21, 0x57, 0x67, 0xB1, 0xD6, 0x93,
    0x4E, 0x50, 0xC3, 0xDB, 0x36, 0xE8, 0x9B, 0x12, 0x7B, 0x8A, 0x62, 0x2B, 0x12, 0x0F, 0x67, 0x21,
];

fn genuine(signing_input: &[u8], signature: &[u8]) -> bool {
    VerifyingKey::from(&SigningKey::from_slice(&ISSUER).unwrap())
        .verify(signing_input, &Signature::from_slice(signature).unwrap())
        .is_ok()
}

fn tee_key() -> TeePublicKey {
    TeePublicKey::parse(
        r#"{"alg":"ECDH-ES+A256KW","crv":"P-256","kty":"EC","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
    )
    .unwrap()
}

fn our_claims() -> EarClaims {
    EarClaims {
        eat_profile: EAR_PROFILE.into(),
        iss: "https://provision.example".into(),
        aud: Some("nitride".into()),
        iat: 1_767_225_600,
        exp: 1_767_225_900,
        nbf: None,
        verifier_id: Some(VerifierId {
            build: "nitride-verify 0.1.0".into(),
            developer: "Nitride".into(),
        }),
        submods: BTreeMap::from([(
            PRIMARY_SUBMOD.into(),
            Submod {
                status: EarStatus::Affirming,
                trustworthiness_vector: Some(BTreeMap::from([
                    ("hardware".into(), 2),
                    ("executables".into(), 2),
                ])),
                appraisal_policy_id: Some("default".into()),
                annotated_evidence: Some(AnnotatedEvidence {
                    report_data: Some("AAAA".into()),
                    runtime_data_claims: Some(RuntimeDataClaims {
                        tee_pubkey: Some(tee_key()),
                        nonce: Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".into()),
                    }),
                    tee_claims: BTreeMap::from([(
                        "sample".into(),
                        serde_json::json!({ "svn": "1" }),
                    )]),
                }),
            },
        )]),
        simulated: Some(true),
        debug: Some(false),
        resources: Some(vec!["default/key/signing".into()]),
    }
}

fn header<'a>(kid: Option<&'a str>, certificates: &'a [String]) -> TokenHeader<'a> {
    TokenHeader {
        algorithm: TokenAlgorithm::Es256,
        kid,
        certificates,
    }
}

/// A token of these texts with a signature of zeros.
fn token(header: &str, claims: &str) -> String {
    assemble(
        &format!(
            "{}.{}",
            base64url::encode(header.as_bytes()),
            base64url::encode(claims.as_bytes())
        ),
        &[0; 64],
    )
}

fn claims_of(claims: &str) -> Result<EarClaims, TokenError> {
    UnverifiedToken::parse(&token(r#"{"alg":"ES256"}"#, claims))?
        .verified_by(|_, _| true)
        .map(|token| token.claims)
}

const LEAST: &str = r#"{"eat_profile":"p","iss":"i","iat":1,"exp":2,"submods":{}}"#;

#[test]
fn our_token_reads_as_written_out() {
    let unverified = UnverifiedToken::parse(OURS.trim()).unwrap();
    assert!(!unverified.names_a_key());
    let verified = unverified.verified_by(genuine).unwrap();
    assert_eq!(*verified.claims(), our_claims());
}

#[test]
fn the_written_out_claims_make_our_token() {
    let signing_input = to_be_signed(&header(None, &[]), &our_claims());
    let (golden, _) = OURS.trim().rsplit_once('.').unwrap();
    assert_eq!(signing_input, golden);
    let signature = UnverifiedToken::parse(OURS.trim()).unwrap().signature;
    assert_eq!(assemble(&signing_input, &signature), OURS.trim());
}

#[test]
fn a_token_of_trustees_shape_reads_and_keeps_what_is_judged() {
    let unverified = UnverifiedToken::parse(TRUSTEES.trim()).unwrap();
    assert!(unverified.names_a_key());
    let verified = unverified.verified_by(genuine).unwrap();
    let claims = verified.claims();
    assert_eq!(claims.iss, "CoCo-Attestation-Service");
    assert_eq!(
        (claims.aud.as_ref(), claims.simulated, claims.debug),
        (None, None, None)
    );
    let cpu = &claims.submods[PRIMARY_SUBMOD];
    assert_eq!(cpu.status, EarStatus::Contraindicated);
    assert_eq!(cpu.appraisal_policy_id.as_deref(), Some("default"));
    let evidence = cpu.annotated_evidence.as_ref().unwrap();
    let bound = evidence.runtime_data_claims.as_ref().unwrap();
    assert_eq!(bound.tee_pubkey, Some(tee_key()));
    assert_eq!(evidence.tee_claims["snp"]["policy_debug_allowed"], false);
    let gpu = &claims.submods["gpu0"];
    assert_eq!(
        (gpu.status, &gpu.appraisal_policy_id),
        (EarStatus::Affirming, &None)
    );
}

#[test]
fn no_claim_comes_out_of_a_token_that_is_not_genuine() {
    let tampered = OURS.trim().replacen("eyJ", "eyK", 2);
    assert!(UnverifiedToken::parse(&tampered).is_err());
    let (signing_input, _) = OURS.trim().rsplit_once('.').unwrap();
    let forged = assemble(signing_input, &[1; 64]);
    assert!(matches!(
        UnverifiedToken::parse(&forged)
            .unwrap()
            .verified_by(genuine),
        Err(TokenError::SignatureInvalid)
    ));
}

#[test]
fn a_key_in_the_header_changes_nothing_and_is_reported() {
    for member in ["jwk", "jku", "x5c", "x5u"] {
        let text = token(&format!(r#"{{"alg":"ES256","{member}":{{}}}}"#), LEAST);
        assert!(
            UnverifiedToken::parse(&text).unwrap().names_a_key(),
            "{member}"
        );
    }
    let text = token(r#"{"alg":"ES256","kid":"1","typ":"JWT"}"#, LEAST);
    assert!(!UnverifiedToken::parse(&text).unwrap().names_a_key());
}

#[test]
fn another_algorithm_is_refused() {
    for alg in [
        "none",
        "HS256",
        "ES384",
        "RS256",
        "es256",
        "",
        "ML-DSA-44",
        "ML-DSA-87",
        "ml-dsa-65",
    ] {
        let text = token(&format!(r#"{{"alg":"{alg}"}}"#), LEAST);
        assert!(
            matches!(
                UnverifiedToken::parse(&text),
                Err(TokenError::UnknownAlgorithm)
            ),
            "{alg}"
        );
    }
}

#[test]
fn a_header_says_key_and_certificates_and_they_are_read_as_names_alone() {
    let certificates = ["MA==".to_owned()];
    let signed = to_be_signed(&header(Some("one"), &certificates), &our_claims());
    let text = assemble(&signed, &[0; 64]);
    let parsed = UnverifiedToken::parse(&text).unwrap();
    assert_eq!(parsed.kid(), Some("one"));
    assert_eq!(parsed.algorithm(), TokenAlgorithm::Es256);
    assert!(parsed.names_a_key());
    assert_eq!(UnverifiedToken::parse(OURS.trim()).unwrap().kid(), None);
    for kid in ["1", "null1", "[]", "{}"] {
        let text = token(&format!(r#"{{"alg":"ES256","kid":{kid}}}"#), LEAST);
        assert!(UnverifiedToken::parse(&text).is_err(), "{kid}");
    }
}

#[test]
fn each_algorithm_has_signatures_of_its_own_length() {
    for (algorithm, len) in [(TokenAlgorithm::Es256, 64), (TokenAlgorithm::MlDsa65, 3309)] {
        assert_eq!(algorithm.signature_len(), len);
        let head = TokenHeader {
            algorithm,
            ..header(None, &[])
        };
        let signed = to_be_signed(&head, &our_claims());
        for (found, is_taken) in [(len, true), (len - 1, false), (len + 1, false), (0, false)] {
            let text = assemble(&signed, &vec![7; found]);
            let parsed = UnverifiedToken::parse(&text);
            assert_eq!(parsed.is_ok(), is_taken, "{algorithm:?} {found}");
        }
        let other = if len == 64 { 3309 } else { 64 };
        assert!(UnverifiedToken::parse(&assemble(&signed, &vec![7; other])).is_err());
    }
}

#[test]
fn critical_extensions_are_refused() {
    let text = token(r#"{"alg":"ES256","crit":["b64"],"b64":false}"#, LEAST);
    assert!(matches!(
        UnverifiedToken::parse(&text),
        Err(TokenError::CriticalExtension)
    ));
}

#[test]
fn a_header_or_claim_named_twice_is_refused() {
    let text = token(r#"{"alg":"none","alg":"ES256"}"#, LEAST);
    assert!(matches!(
        UnverifiedToken::parse(&text),
        Err(TokenError::Json(_))
    ));
    assert!(claims_of(&LEAST.replace(r#""iat":1"#, r#""iat":1,"iat":1"#)).is_err());
    let twice = LEAST.replace(
        r#""submods":{}"#,
        r#""submods":{"cpu0":{"ear.status":"affirming"},"cpu0":{"ear.status":"affirming"}}"#,
    );
    assert!(claims_of(&twice).is_err());
}

#[test]
fn another_number_of_parts_is_refused() {
    for text in [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d",
        OURS.split_once('.').unwrap().0,
    ] {
        assert!(UnverifiedToken::parse(text).is_err(), "{text}");
    }
    let four = format!("{}.AA", OURS.trim());
    assert!(matches!(
        UnverifiedToken::parse(&four),
        Err(TokenError::WrongParts)
    ));
}

#[test]
fn a_signature_of_another_length_or_spelling_is_refused() {
    let (input, signature) = OURS.trim().rsplit_once('.').unwrap();
    for text in [
        format!("{input}."),
        format!("{input}.{signature}AA"),
        format!("{input}.{}", &signature[..85]),
        format!("{input}.{signature}="),
        format!("{input}.{}B", &signature[..85]),
    ] {
        assert!(
            matches!(
                UnverifiedToken::parse(&text),
                Err(TokenError::BadPart { part: "signature" })
            ),
            "{text}"
        );
    }
}

#[test]
fn bounds_hold() {
    let long = "a".repeat(MAX_TOKEN_LEN + 1);
    assert!(matches!(
        UnverifiedToken::parse(&long),
        Err(TokenError::TooLong { .. })
    ));
    let many: Vec<_> = (0..=MAX_SUBMODS)
        .map(|at| format!(r#""gpu{at}":{{"ear.status":2}}"#))
        .collect();
    let many = LEAST.replace("{}", &format!("{{{}}}", many.join(",")));
    assert!(matches!(
        claims_of(&many),
        Err(TokenError::TooManySubmods { found: 65 })
    ));
}

#[test]
fn claims_that_are_judged_have_their_type() {
    assert!(claims_of(LEAST).is_ok());
    for (from, to) in [
        (r#""iss":"i","#, ""),
        (r#""iss":"i""#, r#""iss":["i"]"#),
        (r#""exp":2,"#, ""),
        (r#""exp":2"#, r#""exp":2.5"#),
        (r#""exp":2"#, r#""exp":"2""#),
        (r#""exp":2"#, r#""exp":-2"#),
        (r#""iss":"i""#, r#""iss":"i","aud":["a"]"#),
        (r#","submods":{}"#, ""),
        (r#""submods":{}"#, r#""submods":[]"#),
        (r#""submods":{}"#, r#""submods":{"cpu0":{}}"#),
        (
            r#""submods":{}"#,
            r#""submods":{"cpu0":{"ear.status":"Affirming"}}"#,
        ),
        (r#""submods":{}"#, r#""submods":{"cpu0":{"ear.status":1}}"#),
        (
            r#""submods":{}"#,
            r#""submods":{"cpu0":{"ear.status":2.0}}"#,
        ),
        (
            r#""submods":{}"#,
            r#""submods":{},"nitride.simulated":"no""#,
        ),
        (r#""submods":{}"#, r#""submods":{},"nitride.debug":0"#),
    ] {
        let changed = LEAST.replace(from, to);
        assert_ne!(changed, LEAST);
        assert!(claims_of(&changed).is_err(), "{to}");
    }
}

#[test]
fn a_verdict_reads_as_text_and_as_number() {
    for (status, number) in [
        (EarStatus::None, 0),
        (EarStatus::Affirming, 2),
        (EarStatus::Warning, 32),
        (EarStatus::Contraindicated, 96),
    ] {
        let read = |text: &str| serde_json::from_str::<EarStatus>(text).unwrap();
        assert_eq!(read(&number.to_string()), status);
        assert_eq!(read(&serde_json::to_string(&status).unwrap()), status);
    }
}

#[test]
fn a_tee_key_in_the_claims_is_read_as_strictly_as_anywhere() {
    let with_key = |jwk: &str| {
        claims_of(&LEAST.replace(
            "{}",
            &format!(
                r#"{{"cpu0":{{"ear.status":2,"ear.veraison.annotated-evidence":{{"runtime_data_claims":{{"tee-pubkey":{jwk},"else":1}}}}}}}}"#
            ),
        ))
    };
    let jwk = tee_key().to_jwk_json();
    assert!(with_key(&jwk).is_ok());
    assert!(with_key(&jwk.replace("\"EC\"", "\"EC\",\"use\":\"enc\"")).is_err());
    assert!(with_key("\"text\"").is_err());
}

proptest! {
    #[test]
    fn any_text_gives_a_token_or_a_named_error(text in "\\PC{0,80}|[A-Za-z0-9_.-]{0,200}") {
        let _ = UnverifiedToken::parse(&text).and_then(|token| token.verified_by(|_, _| true));
    }

    #[test]
    fn any_claims_give_a_value_or_a_named_error(text in "\\PC{0,80}") {
        let _ = claims_of(&text);
    }

    #[test]
    fn a_damaged_token_never_has_other_claims(at in 0usize..1163, letter in "[A-Za-z0-9_.-]") {
        let golden = OURS.trim();
        let damaged = format!("{}{letter}{}", &golden[..at], &golden[at + 1..]);
        let accepted = UnverifiedToken::parse(&damaged).and_then(|token| {
            token.verified_by(|input, signature| {
                Signature::from_slice(signature).is_ok() && genuine(input, signature)
            })
        });
        if let Ok(token) = accepted {
            prop_assert_eq!(damaged.as_str(), golden);
            prop_assert_eq!(token.claims(), &our_claims());
        }
    }
}
