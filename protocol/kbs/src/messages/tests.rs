use super::*;
use crate::strict_json::JsonError;
use crate::tee_key::{TeeKeyForm, TeePublicKey};
use proptest::prelude::*;
use serde_json::json;

const REQUEST: &str = include_str!("../../golden/request.json");
const CHALLENGE: &str = include_str!("../../golden/challenge.json");
const ATTESTATION: &str = include_str!("../../golden/attestation.json");
const ATTESTATION_RESPONSE: &str = include_str!("../../golden/attestation_response.json");
const ERROR_INFORMATION: &str = include_str!("../../golden/error_information.json");

const NONCE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const JWK: &str = r#"{"alg":"ECDH-ES+A256KW","crv":"P-256","kty":"EC","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

#[test]
fn the_golden_request_is_the_one_we_send() {
    let request = Request::new("sample");
    assert_eq!(request.to_json(), REQUEST.trim());
    assert_eq!(parse_request(REQUEST.as_bytes()).unwrap(), request);
}

#[test]
fn a_request_with_extra_params_as_text_reads() {
    let text = r#"{"version":"0.4.0","tee":"az-snp-vtpm","extra-params":""}"#;
    assert_eq!(
        parse_request(text.as_bytes()).unwrap().extra_params,
        json!("")
    );
}

#[test]
fn a_request_with_another_member_or_a_bad_tee_is_refused() {
    for text in [
        r#"{"version":"0.4.0","tee":"snp"}"#,
        r#"{"version":"0.4.0","tee":"snp","extra-params":"","more":1}"#,
        r#"{"version":"0.4.0","tee":"snp","tee":"sample","extra-params":""}"#,
        r#"{"version":"0.4.0","tee":"../snp","extra-params":""}"#,
        r#"{"version":"0.4.0","tee":"","extra-params":""}"#,
        r#"{"version":4,"tee":"snp","extra-params":""}"#,
        r#"{"version":"0.4.0","tee":"snp","extra_params":""}"#,
        r#"["0.4.0","snp"]"#,
        "",
    ] {
        assert!(parse_request(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn the_golden_challenge_reads_and_is_written() {
    let challenge = Challenge {
        nonce: NONCE.into(),
        extra_params: json!(""),
    };
    assert_eq!(challenge.to_json(), CHALLENGE.trim());
    assert_eq!(parse_challenge(CHALLENGE.as_bytes()).unwrap(), challenge);
    assert_eq!(challenge.selected_hash(), None);
}

#[test]
fn a_challenge_of_another_service_may_have_more_members_and_select_a_hash() {
    let text =
        r#"{"nonce":"n","extra-params":{"selected-hash-algorithm":"sha256","x":1},"new":{}}"#;
    let challenge = parse_challenge(text.as_bytes()).unwrap();
    assert_eq!(challenge.selected_hash(), Some("sha256"));
}

#[test]
fn an_offer_of_tee_keys_reads_back_and_what_is_no_offer_offers_nothing() {
    let all = TeeKeyForm::ALL;
    let offering = Challenge::offering(NONCE.into(), &all);
    let read = parse_challenge(offering.to_json().as_bytes()).unwrap();
    assert_eq!(read.tee_keys(), all);
    assert!(read.takes_token_in_body());
    let some = [TeeKeyForm::EcP256, TeeKeyForm::X25519MlKem768];
    assert_eq!(Challenge::offering(NONCE.into(), &some).tee_keys(), some);
    for (offer, expected) in [
        (
            r#"["x","RSA-OAEP-256",1,"RSA-OAEP-256"]"#,
            &[TeeKeyForm::RsaOaep256][..],
        ),
        (r#""RSA-OAEP-256""#, &[]),
        (r#"{"RSA-OAEP-256":1}"#, &[]),
        ("null", &[]),
    ] {
        let text = format!(r#"{{"nonce":"n","extra-params":{{"nitride-tee-keys":{offer}}}}}"#);
        let challenge = parse_challenge(text.as_bytes()).unwrap();
        assert_eq!(challenge.tee_keys(), expected);
        assert!(!challenge.takes_token_in_body());
    }
}

#[test]
fn whether_a_service_witnesses_an_audits_head_is_said_in_one_way() {
    let offering = Challenge::offering(NONCE.into(), &TeeKeyForm::ALL);
    assert!(!offering.witnesses_audit_head());
    let offering = offering.witnessing();
    let read = parse_challenge(offering.to_json().as_bytes()).unwrap();
    assert!(read.witnesses_audit_head());
    assert_eq!(read.tee_keys(), TeeKeyForm::ALL);
    for other in ["false", "1", "\"true\"", "null"] {
        let text = format!(r#"{{"nonce":"n","extra-params":{{"nitride-audit-head":{other}}}}}"#);
        let challenge = parse_challenge(text.as_bytes()).unwrap();
        assert!(!challenge.witnesses_audit_head(), "{other}");
    }
}

#[test]
fn an_audits_head_is_a_member_of_what_is_bound_or_is_left_out() {
    let composed = Attestation::compose(NONCE, JWK, "{}", "", None).unwrap();
    assert!(!composed.to_json().contains("audit"));
    let head = format!("17:{}", "0a".repeat(32));
    let with = composed
        .with_audit_head(Some(head.parse().unwrap()))
        .to_json();
    let read = parse_attestation(with.as_bytes()).unwrap();
    assert_eq!(
        read.runtime_data.audit_head.map(|it| it.to_string()),
        Some(head.clone())
    );
    for other in ["null", "\"17\"", "17", "\"\"", "{}"] {
        let changed = with.replace(&format!("\"{head}\""), other);
        assert!(parse_attestation(changed.as_bytes()).is_err(), "{other}");
    }
}

#[test]
fn a_selected_hash_that_is_no_text_is_refused_and_not_passed_over() {
    for hash in ["null", "384", "[\"sha256\"]", "{}"] {
        let text =
            format!(r#"{{"nonce":"n","extra-params":{{"selected-hash-algorithm":{hash}}}}}"#);
        let error = parse_challenge(text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("selected-hash"), "{error}");
    }
}

#[test]
fn a_challenge_without_nonce_is_refused() {
    let long = "n".repeat(1025);
    for text in [
        r#"{"extra-params":""}"#.to_owned(),
        r#"{"nonce":"","extra-params":""}"#.to_owned(),
        r#"{"nonce":"a","nonce":"b","extra-params":""}"#.to_owned(),
        format!(r#"{{"nonce":"{long}","extra-params":""}}"#),
    ] {
        assert!(parse_challenge(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn the_golden_attestation_is_composed_and_reads() {
    let init_data = InitData {
        format: "toml".into(),
        body: "version = \"0.1.0\"\n".into(),
    };
    let primary = r#"{"svn":"1","report_data":"AAAA"}"#;
    let composed = Attestation::compose(NONCE, JWK, primary, "", Some(init_data.clone())).unwrap();
    assert_eq!(composed.to_json(), ATTESTATION.trim());
    let read = parse_attestation(ATTESTATION.as_bytes()).unwrap();
    assert_eq!(read.init_data, Some(init_data));
    assert_eq!(read.runtime_data.nonce, NONCE);
    assert_eq!(
        read.runtime_data.tee_pubkey,
        TeePublicKey::parse(JWK).unwrap()
    );
    assert_eq!(read.tee_evidence.primary_evidence.get(), primary);
    assert_eq!(read.tee_evidence.additional_evidence, "");
    assert_eq!(read.to_json(), ATTESTATION.trim());
}

#[test]
fn evidence_passes_verbatim() {
    let primary = r#"{ "b" : 1.0e1,"a":"\u0041" }"#;
    let composed = Attestation::compose(NONCE, JWK, primary, "{\"x\":\n1}", None).unwrap();
    let read = parse_attestation(composed.to_json().as_bytes()).unwrap();
    assert_eq!(read.tee_evidence.primary_evidence.get(), primary);
    assert_eq!(read.tee_evidence.additional_evidence, "{\"x\":\n1}");
    assert_eq!(read.init_data, None);
}

#[test]
fn an_attestation_with_other_members_is_refused() {
    let text = ATTESTATION.trim();
    for (from, to) in [
        (
            r#""init-data":{"format":"toml","body":"version = \"0.1.0\"\n"},"#,
            "",
        ),
        (r#""init-data":"#, r#""init_data":"#),
        (r#""nonce":"#, r#""more":1,"nonce":"#),
        (r#""kty":"EC""#, r#""kty":"EC","kid":"1""#),
        (r#","additional_evidence":"""#, ""),
        (r#""additional_evidence":"""#, r#""additional_evidence":{}"#),
        // A member twice, in each of its objects but the evidence.
        (r#""init-data":"#, r#""init-data":null,"init-data":"#),
        (r#""format":"#, r#""format":"toml","format":"#),
        (r#""nonce":"#, r#""nonce":"n","nonce":"#),
        (r#""crv":"P-256""#, r#""crv":"P-256","crv":"P-256""#),
        (r#""crv":"P-256""#, r#""crv":"P-256","\u0063rv":"P-256""#),
        (
            r#""additional_evidence":"""#,
            r#""additional_evidence":"","additional_evidence":"""#,
        ),
        (NONCE, ""),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        assert!(parse_attestation(changed.as_bytes()).is_err(), "{to}");
    }
}

#[test]
fn composing_names_the_part_that_is_not_json() {
    let error = Attestation::compose(NONCE, JWK, "not json", "", None).unwrap_err();
    assert!(error.to_string().contains("primary evidence"), "{error}");
    let error = Attestation::compose(NONCE, "{}", "{}", "", None).unwrap_err();
    assert!(error.to_string().contains("tee public key"), "{error}");
}

#[test]
fn the_golden_response_reads_and_is_written() {
    let response = parse_attestation_response(ATTESTATION_RESPONSE.as_bytes()).unwrap();
    assert_eq!(response.token, "e30.e30.AA");
    assert_eq!(response.to_json(), ATTESTATION_RESPONSE.trim());
    assert!(parse_attestation_response(br#"{"token":""}"#).is_err());
    assert!(parse_attestation_response(br#"{"token":"a","more":1}"#).is_ok());
}

#[test]
fn the_golden_error_reads_and_is_written() {
    let error = ErrorInformation::new("PolicyDeny", "svn 1 is not in the reference values");
    assert_eq!(error.to_json(), ERROR_INFORMATION.trim());
    let read = parse_error_information(ERROR_INFORMATION.as_bytes()).unwrap();
    assert_eq!(read, error);
    assert_eq!(read.variant(), "PolicyDeny");
}

#[test]
fn a_version_is_found_in_the_words_of_a_refusal_if_it_is_one_of_ours() {
    for (detail, expected) in [
        ("this service speaks KBS 0.4.2, not 0.5.0", Some("0.4.2")),
        ("expect =0.4.1 while the request is 0.4.0.", Some("0.4.1")),
        ("expect ^0.5.0 while the request is 1.4.0", None),
        ("0.4.x, 0.4., 10.4.1.7 and 0.44.1", None),
        ("", None),
    ] {
        let error = ErrorInformation::new("ProtocolVersion", detail);
        assert_eq!(error.spoken_version(), expected, "{detail}");
    }
}

#[test]
fn an_error_of_another_protocol_keeps_its_whole_type() {
    let read = parse_error_information(br#"{"type":"about:blank","detail":""}"#).unwrap();
    assert_eq!(read.variant(), "about:blank");
}

#[test]
fn every_message_is_bounded() {
    let long = vec![b' '; (1 << 20) + 1];
    let too_long = |result: Result<(), JsonError>| matches!(result, Err(JsonError::TooLong { .. }));
    assert!(too_long(parse_request(&long).map(drop)));
    assert!(too_long(parse_challenge(&long).map(drop)));
    assert!(too_long(parse_attestation(&long).map(drop)));
    assert!(too_long(parse_attestation_response(&long).map(drop)));
    assert!(too_long(parse_error_information(&long).map(drop)));
}

proptest! {
    #[test]
    fn any_bytes_give_a_message_or_a_named_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = parse_request(&bytes);
        let _ = parse_challenge(&bytes);
        let _ = parse_attestation(&bytes);
        let _ = parse_attestation_response(&bytes);
        let _ = parse_error_information(&bytes);
    }

    #[test]
    fn a_damaged_attestation_gives_a_message_or_a_named_error(at in 0usize..392, byte: u8) {
        let mut bytes = ATTESTATION.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = parse_attestation(&bytes);
    }
}
