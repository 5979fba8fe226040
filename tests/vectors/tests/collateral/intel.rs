//! Intel's: verified before it replaces anything, and never replaced by what is older.

use crate::{Place, StandIn, run, sha256};
use nitride_collateral::{IntelWanted, PckCa};
use nitride_dcap::PlatformCollateral;
use nitride_vectors::tdx::pki::{FMSPC, Pki, PkiSpec};
use nitride_vectors::tdx::{self, Made, Spec};
use nitride_verify::Collateral;
use serde_json::{Value, json};

fn member<'a>(bundle: &'a Value, name: &str) -> &'a str {
    bundle[name].as_str().expect(name)
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn has_intel_of(stand_in: &StandIn, bundle: &Value, fmspc: &str) {
    let signed = |name: &str, object: &str, signature: &str| {
        let (object, signature) = (member(bundle, object), member(bundle, signature));
        format!("{{\"{name}\":{object},\"signature\":\"{signature}\"}}").into_bytes()
    };
    let chain = |header: &str, name: &str| {
        format!("{header}: {}\r\n", percent_encoded(member(bundle, name)))
    };
    stand_in.has(
        &format!("/tdx/certification/v4/tcb?fmspc={fmspc}"),
        &chain("TCB-Info-Issuer-Chain", "tcb_info_issuer_chain"),
        &signed("tcbInfo", "tcb_info", "tcb_info_signature"),
    );
    stand_in.has(
        "/tdx/certification/v4/qe/identity",
        &chain(
            "SGX-Enclave-Identity-Issuer-Chain",
            "qe_identity_issuer_chain",
        ),
        &signed("enclaveIdentity", "qe_identity", "qe_identity_signature"),
    );
    let der = base16ct::mixed::decode_vec(member(bundle, "pck_crl")).expect("hex");
    stand_in.has(
        "/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
        &chain("SGX-PCK-CRL-Issuer-Chain", "pck_crl_issuer_chain"),
        &der,
    );
    // As a PCCS has it.
    stand_in.has("/root-crl", "", member(bundle, "root_ca_crl").as_bytes());
}

#[test]
fn a_quote_is_judged_by_what_intels_service_answers() {
    let made = Spec::good().make().expect("a quote");
    let bundle: Value = serde_json::from_str(&made.bundle).expect("JSON");
    let platform = PlatformCollateral::from_bundle(&made.bundle).expect("a bundle");
    let ca = PckCa::Platform;
    let fmspc = *platform.fmspc();
    let hex = base16ct::lower::encode_string(&fmspc);
    let (stand_in, place) = (StandIn::start(), Place::make());
    has_intel_of(&stand_in, &bundle, &hex);
    let now_secs = tdx::NOW_SECS;
    let anchors = vec![sha256(&made.root)];
    for asked in [4, 0] {
        let mut fetch = place.fetch(&stand_in, now_secs, anchors.clone());
        run(fetch.intel(&IntelWanted { fmspc, ca })).expect("all of it is there");
        assert_eq!(stand_in.asked().len(), asked);
    }
    let shelf = place.shelf().expect("what was fetched is read");
    let collateral: Collateral<'_> = shelf.as_collateral();
    let intel = collateral.intel.expect("Intel's");
    assert_eq!(format!("{intel:?}"), format!("{:?}", made.collateral));

    let other = IntelWanted { fmspc: [9; 6], ca };
    let path = "/tdx/certification/v4/tcb?fmspc=090909090909";
    let page = {
        let pages = stand_in.pages.lock().expect("nobody panics");
        pages.pages[&format!("/tdx/certification/v4/tcb?fmspc={hex}")].clone()
    };
    let mut fetch = place.fetch(&stand_in, now_secs, anchors);
    let absent = run(fetch.intel(&other));
    assert!(absent.expect_err("absent").to_string().contains("404"));
    let mut pages = stand_in.pages.lock().expect("nobody panics");
    pages.pages.insert(path.to_owned(), page);
    drop(pages);
    let wrong = run(fetch.intel(&other));
    let told = wrong.expect_err("another platform's").to_string();
    assert!(told.contains("another FMSPC"), "{told}");
    assert!(!place.collateral().join("intel/090909090909.json").exists());
}

/// Fetches what `made` has; in words why not.
fn fetched(place: &Place, made: &Made, now_secs: u64, anchors: &[[u8; 32]]) -> Result<(), String> {
    let stand_in = StandIn::start();
    let bundle: Value = serde_json::from_str(&made.bundle).expect("JSON");
    let platform = PlatformCollateral::from_bundle(&made.bundle).expect("a bundle");
    let (fmspc, ca) = (*platform.fmspc(), PckCa::Platform);
    has_intel_of(&stand_in, &bundle, &base16ct::lower::encode_string(&fmspc));
    let mut fetch = place.fetch(&stand_in, now_secs, anchors.to_vec());
    run(fetch.intel(&IntelWanted { fmspc, ca })).map_err(|told| told.to_string())
}

fn at_hand(place: &Place) -> Option<Vec<u8>> {
    let fmspc = base16ct::lower::encode_string(&FMSPC);
    std::fs::read(place.collateral().join(format!("intel/{fmspc}.json"))).ok()
}

#[test]
fn what_intel_did_not_sign_replaces_nothing() {
    let good = Spec::good().make().expect("collateral");
    type Change = fn(&mut Spec);
    let cases: &[(&str, Change)] = &[
        ("TCB information", |spec| {
            spec.collateral.tcb_info_by_another = true;
        }),
        ("QE identity", |spec| {
            spec.collateral.qe_identity_by_another = true;
        }),
        ("root's revocation list", |spec| {
            spec.pki.root_crl_by_another = true;
        }),
        ("PCK revocation list", |spec| {
            spec.pki.pck_crl_by_another = true;
        }),
        ("its signer is revoked", |spec| {
            spec.pki.revokes_signer = true;
        }),
        ("its signer is revoked", |spec| {
            spec.pki.revokes_authority = true;
        }),
        (
            "root's revocation list of Intel's collateral does not hold: its dates",
            |spec| {
                spec.pki.root_crl_until = 5;
            },
        ),
        (
            "PCK revocation list of Intel's collateral does not hold: its dates",
            |spec| {
                spec.pki.pck_crl_from = 8;
            },
        ),
        ("another authority", |spec| {
            spec.pki.authority_name = "Intel SGX PCK Processor CA";
        }),
        ("not \"TD_QE\"", |spec| {
            spec.collateral.qe_identity["id"] = json!("QE");
        }),
        ("not \"TDX\"", |spec| {
            spec.collateral.tcb_info["id"] = json!("SGX");
        }),
        ("issueDate", |spec| {
            spec.collateral.tcb_info["issueDate"] = json!("2027");
        }),
    ];
    for (word, change) in cases {
        let place = Place::make();
        let mut spec = Spec::good();
        change(&mut spec);
        let bad = spec.make().expect("collateral");
        let anchors = [sha256(&good.root), sha256(&bad.root)];
        let later = tdx::NOW_SECS + 3600;
        fetched(&place, &good, tdx::NOW_SECS, &anchors).expect("all of it holds");
        let before = at_hand(&place);
        assert!(before.is_some());
        let told = fetched(&place, &bad, later, &anchors).expect_err(word);
        assert!(told.contains(word), "{word}: {told}");
        assert_eq!(at_hand(&place), before, "{word}");
    }
    let place = Place::make();
    let told = fetched(&place, &good, tdx::NOW_SECS, &[]).expect_err("another root");
    assert!(told.contains("its root is not Intel's"), "{told}");
    assert_eq!(at_hand(&place), None);
}

#[test]
fn nothing_of_intels_is_replaced_by_what_is_older() {
    let pki = Pki::make(&PkiSpec::good()).expect("a PKI");
    type Change = fn(&mut Spec);
    let cases: &[(&str, Change)] = &[
        ("TCB information", |spec| {
            spec.collateral.tcb_info["tcbEvaluationDataNumber"] = json!(19);
        }),
        ("TCB information", |spec| {
            spec.collateral.tcb_info["issueDate"] = json!("2026-06-01T00:00:01Z");
        }),
        ("QE identity", |spec| {
            spec.collateral.qe_identity["tcbEvaluationDataNumber"] = json!(19);
        }),
        ("QE identity", |spec| {
            spec.collateral.qe_identity["issueDate"] = json!("2026-06-01T00:00:01Z");
        }),
    ];
    let older = Spec::good().make_by(&pki).expect("collateral");
    for (word, change) in cases {
        let mut spec = Spec::good();
        change(&mut spec);
        let newer = spec.make_by(&pki).expect("collateral");
        not_replaced(word, &newer, &older);
    }
    // Lists of other keys under the same names: a test has no Intel to sign two of one key.
    let cases: &[(&str, Change)] = &[
        ("root's revocation list", |spec| spec.pki.root_crl_from = 2),
        ("PCK revocation list", |spec| spec.pki.pck_crl_from = 2),
    ];
    for (word, change) in cases {
        let mut spec = Spec::good();
        change(&mut spec);
        not_replaced(word, &spec.make().expect("collateral"), &older);
    }
}

fn not_replaced(word: &str, newer: &Made, older: &Made) {
    let place = Place::make();
    let anchors = [sha256(&newer.root), sha256(&older.root)];
    fetched(&place, newer, tdx::NOW_SECS, &anchors).expect("all of it holds");
    let before = at_hand(&place);
    let later = tdx::NOW_SECS + 3600;
    let told = fetched(&place, older, later, &anchors).expect_err(word);
    assert!(
        told.contains(word) && told.contains("older than the one"),
        "{told}"
    );
    assert_eq!(at_hand(&place), before);
    // The other way round it is an update, and what nobody signed keeps no update away.
    let place = Place::make();
    fetched(&place, older, tdx::NOW_SECS, &anchors).expect("all of it holds");
    fetched(&place, newer, later, &anchors).expect("an update");
    assert_ne!(at_hand(&place), None);
    let only_older = [sha256(&older.root)];
    if newer.root != older.root {
        fetched(&place, older, later + 3600, &only_older).expect("what is there is nobody's");
    }
}

#[test]
fn what_a_revoked_signer_said_keeps_no_update_away() {
    let mut forged = Spec::good();
    forged.collateral.tcb_info["tcbEvaluationDataNumber"] = json!(4_000_000_000_u32);
    let forged = forged.make().expect("collateral");
    let mut update = Spec::good();
    // Its list names the serial number of the signer before.
    update.pki.signer_serial = 5;
    update.pki.revokes_signer = true;
    let update = update.make().expect("collateral");
    let place = Place::make();
    let anchors = [sha256(&forged.root), sha256(&update.root)];
    fetched(&place, &forged, tdx::NOW_SECS, &anchors).expect("signed");
    fetched(&place, &update, tdx::NOW_SECS + 3600, &anchors).expect("an update");
}
