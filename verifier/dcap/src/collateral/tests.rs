//! Collateral as it comes, and what is none.

use super::*;
use serde_json::{Value, json};

fn tcb_info() -> Value {
    json!({
        "id": "TDX", "version": 3, "issueDate": "", "nextUpdate": "", "fmspc": "B0C06F000000",
        "pceId": "0000", "tcbType": 0, "tcbEvaluationDataNumber": 1, "tcbLevels": [],
    })
}

fn qe_identity() -> Value {
    json!({
        "id": "TD_QE", "version": 2, "issueDate": "", "nextUpdate": "",
        "tcbEvaluationDataNumber": 1, "miscselect": "00000000", "miscselectMask": "00000000",
        "attributes": "00".repeat(16), "attributesMask": "00".repeat(16),
        "mrsigner": "00".repeat(32), "isvprodid": 2, "tcbLevels": [],
    })
}

fn body(name: &str, object: &str) -> String {
    format!(
        "{{\"{name}\":{object},\"signature\":\"{}\"}}",
        "ab".repeat(64)
    )
}

fn from_pcs(tcb_info: &str, qe_identity: &str) -> Result<PlatformCollateral, CollateralFault> {
    PlatformCollateral::from_pcs(&PcsAnswers {
        tcb_info,
        tcb_info_issuer_chain: "",
        qe_identity,
        qe_identity_issuer_chain: "",
        pck_crl: &[],
        pck_crl_issuer_chain: "",
        root_ca_crl: &[],
    })
}

fn good() -> PlatformCollateral {
    let tcb_info = body("tcbInfo", &tcb_info().to_string());
    let qe_identity = body("enclaveIdentity", &qe_identity().to_string());
    from_pcs(&tcb_info, &qe_identity).unwrap()
}

#[test]
fn what_intel_answers_is_kept_byte_for_byte() {
    // Not the spelling that a writer of JSON would choose.
    let spaced = tcb_info().to_string().replace(',', " ,");
    let tcb_info = body("tcbInfo", &spaced);
    let qe_identity = body("enclaveIdentity", &qe_identity().to_string());
    let platform = from_pcs(&tcb_info, &qe_identity).unwrap();
    assert_eq!(platform.signed.tcb_info, spaced);
    assert_eq!(platform.signed.tcb_info_signature, [0xab; 64]);
    assert_eq!(platform.fmspc(), &[0xb0, 0xc0, 0x6f, 0, 0, 0]);
}

#[test]
fn a_bundle_is_read_as_it_was_written_without_a_chain_of_some_quote() {
    let mut platform = good();
    platform.signed.pck_certificate_chain = Some("of another platform".to_owned());
    let bundle = platform.to_bundle().unwrap();
    let again = PlatformCollateral::from_bundle(&bundle).unwrap();
    assert_eq!(again.signed.pck_certificate_chain, None);
    assert_eq!(again.signed.tcb_info, platform.signed.tcb_info);
}

#[test]
fn an_answer_that_is_not_one_signed_object_is_refused() {
    let qe_identity = body("enclaveIdentity", &qe_identity().to_string());
    let good = body("tcbInfo", &tcb_info().to_string());
    for bad in [
        String::new(),
        "{}".to_owned(),
        good.replace("tcbInfo\"", "other\""),
        good.replace("ab", "ag"),
        good.replacen("ab", "", 1),
        format!("{good} more"),
    ] {
        let fault = from_pcs(&bad, &qe_identity).unwrap_err();
        assert!(
            matches!(fault, CollateralFault::Envelope { .. }),
            "{bad}: {fault}"
        );
    }
    let bad = body("tcbInfo", "{}");
    let fault = from_pcs(&bad, &qe_identity).unwrap_err();
    assert!(matches!(fault, CollateralFault::Form { .. }), "{fault}");
}

#[test]
fn collateral_of_no_platform_too_long_or_with_too_many_levels_is_refused() {
    let qe_identity = body("enclaveIdentity", &qe_identity().to_string());
    let mut info = tcb_info();
    info["fmspc"] = json!("B0C0");
    let fault = from_pcs(&body("tcbInfo", &info.to_string()), &qe_identity).unwrap_err();
    assert!(matches!(fault, CollateralFault::Fmspc), "{fault}");
    let mut info = tcb_info();
    let level = json!({
        "tcb": { "sgxtcbcomponents": [], "pcesvn": 1 }, "tcbDate": "", "tcbStatus": "UpToDate",
    });
    info["tcbLevels"] = json!(vec![level; MAX_LEVELS + 1]);
    let fault = from_pcs(&body("tcbInfo", &info.to_string()), &qe_identity).unwrap_err();
    assert!(
        matches!(fault, CollateralFault::TooManyLevels { .. }),
        "{fault}"
    );
    let fault = from_pcs(&" ".repeat(MAX_PART_LEN + 1), &qe_identity).unwrap_err();
    assert!(matches!(fault, CollateralFault::TooLong { .. }), "{fault}");
}

#[test]
fn two_sets_for_one_kind_of_platform_are_refused() {
    assert!(IntelCollateral::new(vec![good()]).is_ok());
    let fault = IntelCollateral::new(vec![good(), good()]).unwrap_err();
    assert!(fault.to_string().contains("b0c06f000000"), "{fault}");
}
