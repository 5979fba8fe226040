//! The whole judgement of `sample` evidence.

use crate::*;
use base64ct::{Base64, Encoding};
use nitride_kbs::tee_key::TeePublicKey;
use nitride_kbs::token::{EarStatus, RuntimeDataClaims};
use proptest::prelude::*;

const REPORT_DATA: [u8; 48] = [7; 48];

fn policy(accept: bool, svn: &str) -> AttestationPolicy {
    let text = format!(
        "version = 1\ndanger-accept-sample = {accept}\ndanger-test-anchors = []\n[sample]\nsvn = {svn}\n"
    );
    AttestationPolicy::parse(&text, "attestation.toml").unwrap()
}

#[test]
fn the_kbs_form_of_a_sample_is_read_as_it_was() {
    let sample = SampleAllegation {
        svn: "1".to_owned(),
        report_data: REPORT_DATA,
    };
    let verdict = judge_primary(&sample.to_kbs_form(), &policy(true, "[\"1\"]")).unwrap();
    assert_eq!(verdict.status(), EarStatus::Affirming);
}

fn primary(svn: &str, report_data: &[u8]) -> String {
    let report_data = Base64::encode_string(report_data);
    serde_json::json!({ "svn": svn, "report_data": report_data }).to_string()
}

/// Nothing but the primary evidence.
fn bare(primary: &str) -> UnverifiedEvidence<'_> {
    UnverifiedEvidence {
        tee: Tee::Sample,
        primary,
        additional: "",
    }
}

fn judge_within(
    evidence: &UnverifiedEvidence<'_>,
    policy: &AttestationPolicy,
    budget: &mut Budget,
) -> Result<Verdict, Refused> {
    let expected = Expected::of(REPORT_DATA);
    judge(
        evidence,
        &expected,
        policy,
        &Collateral::default(),
        0,
        budget,
    )
}

fn judge_primary(primary: &str, policy: &AttestationPolicy) -> Result<Verdict, Refused> {
    judge_within(&bare(primary), policy, &mut Budget::for_one_round())
}

fn outcome<'a>(checks: &'a [Check], name: &str) -> &'a CheckOutcome {
    &checks
        .iter()
        .find(|check| check.name.name == name)
        .expect("the check was made")
        .outcome
}

#[test]
fn wanted_sample_evidence_is_affirming_and_simulated() {
    let verdict = judge_primary(&primary("1", &REPORT_DATA), &policy(true, "[\"1\"]")).unwrap();
    assert_eq!(verdict.status(), EarStatus::Affirming);
    assert!(verdict.is_simulated());
    assert!(!verdict.is_debug());
    assert_eq!(verdict.vector().hardware, 0, "no hardware vouches for it");
    assert_eq!(
        outcome(verdict.checks(), "sample.svn"),
        &CheckOutcome::Passed
    );
    assert_eq!(
        outcome(verdict.checks(), "sample.hardware-signature"),
        &CheckOutcome::WaivedByPolicyLine(2)
    );
    assert_eq!(verdict.failures().count(), 0);
}

#[test]
fn every_check_of_the_list_is_in_the_verdict_once() {
    let verdict = judge_primary(&primary("1", &REPORT_DATA), &policy(true, "[\"1\"]")).unwrap();
    let made: Vec<CheckName> = verdict.checks().iter().map(|check| check.name).collect();
    assert_eq!(made, checks::all(Tee::Sample));
}

#[test]
fn evidence_without_json_is_judged_alike() {
    let allegation = Allegation::Sample(SampleAllegation {
        svn: "1".to_owned(),
        report_data: REPORT_DATA,
    });
    let (expected, collateral) = (Expected::of(REPORT_DATA), Collateral::default());
    let judge_raw = |policy: &AttestationPolicy| {
        let mut budget = Budget::for_one_round();
        judge_allegation(
            allegation.clone(),
            &expected,
            policy,
            &collateral,
            0,
            &mut budget,
        )
    };
    let verdict = judge_raw(&policy(true, "[\"1\"]")).unwrap();
    assert_eq!(verdict.status(), EarStatus::Affirming);
    assert!(!verdict.is_genuine());
    let made: Vec<CheckName> = verdict.checks().iter().map(|check| check.name).collect();
    assert_eq!(made, checks::all(Tee::Sample));
    let refused = judge_raw(&policy(false, "[\"1\"]")).unwrap_err();
    assert!(matches!(refused.cause, Refusal::SampleNotAccepted { .. }));
}

#[test]
fn a_machine_without_its_devices_is_refused_whatever_form_it_comes_in() {
    let text = "version = 1\ndanger-accept-sample = true\ndanger-test-anchors = []\n[sample]\n\
        svn = [\"1\"]\n[gpu]\nmin-devices = 1\nmodels = \"any\"\ndevice-ids = \"any\"\n\
        vbios-versions = \"any\"\ndriver-versions = \"any\"\nfirmware-ids = \"any\"\n\
        measurements = \"any\"\nrim-signature = \"any\"\nrevocation = \"any\"\n";
    let wants_one = AttestationPolicy::parse(text, "attestation.toml").unwrap();
    let raw = Allegation::Sample(SampleAllegation {
        svn: "1".to_owned(),
        report_data: REPORT_DATA,
    });
    let raw = judge_allegation(
        raw,
        &Expected::of(REPORT_DATA),
        &wants_one,
        &Collateral::default(),
        0,
        &mut Budget::for_one_round(),
    );
    for judged in [raw, judge_primary(&primary("1", &REPORT_DATA), &wants_one)] {
        let refused = judged.unwrap_err();
        assert!(matches!(
            refused.cause,
            Refusal::DevicesMissing {
                found: 0,
                wanted: 1,
                line: 7
            }
        ));
        let last = refused.checks.last().unwrap();
        assert_eq!(last.name.name, "sample.additional-evidence");
    }
}

#[test]
fn unwanted_svn_is_a_verdict_and_not_an_error() {
    for wanted in ["[\"2\"]", "[]", "[\"11\", \"01\"]"] {
        let verdict = judge_primary(&primary("1", &REPORT_DATA), &policy(true, wanted)).unwrap();
        assert_eq!(verdict.status(), EarStatus::Contraindicated);
        let failures: Vec<_> = verdict.failures().map(|(name, _)| name).collect();
        assert_eq!(failures, ["sample.svn"]);
    }
}

#[test]
fn sample_that_the_policy_does_not_name_is_refused() {
    let refused =
        judge_primary(&primary("1", &REPORT_DATA), &policy(false, "[\"1\"]")).unwrap_err();
    assert!(matches!(
        refused.cause,
        Refusal::SampleNotAccepted { line: 2 }
    ));
    assert_eq!(refused.checks.len(), 1);
}

#[test]
fn evidence_over_another_key_or_challenge_is_refused() {
    let mut other = REPORT_DATA;
    other[47] ^= 1;
    let refused = judge_primary(&primary("1", &other), &policy(true, "[\"1\"]")).unwrap_err();
    assert!(matches!(refused.cause, Refusal::ReportDataMismatch));
    let last = refused.checks.last().unwrap();
    assert_eq!(last.name.name, "sample.report-data");
    assert!(matches!(last.outcome, CheckOutcome::Failed(_)));
}

#[test]
fn malformed_evidence_is_refused_by_name() {
    let policy = policy(true, "[\"1\"]");
    let good = primary("1", &REPORT_DATA);
    let long_svn = primary(&"1".repeat(65), &REPORT_DATA);
    for bad in [
        "",
        "{}",
        "null",
        "[]",
        "{\"svn\":\"1\"}",
        "{\"svn\":1,\"report_data\":\"\"}",
    ] {
        let refused = judge_primary(bad, &policy).unwrap_err();
        assert!(
            matches!(refused.cause, Refusal::Malformed(_)),
            "{bad}: {refused:?}"
        );
    }
    let twice = good.replacen('{', "{\"svn\":\"1\",", 1);
    let extra = good.replacen('{', "{\"colour\":\"red\",", 1);
    for bad in [twice, extra, format!("{good} 1")] {
        let refused = judge_primary(&bad, &policy).unwrap_err();
        assert!(
            matches!(refused.cause, Refusal::Malformed(_)),
            "{bad}: {refused:?}"
        );
    }
    for bad in [
        long_svn,
        primary("", &REPORT_DATA),
        primary("1\n", &REPORT_DATA),
    ] {
        let refused = judge_primary(&bad, &policy).unwrap_err();
        assert!(
            matches!(refused.cause, Refusal::FieldMalformed { field: "svn", .. }),
            "{refused:?}"
        );
    }
    for report_data in [&REPORT_DATA[..47], &[7; 49], &[7; 64], &[]] {
        let refused = judge_primary(&primary("1", report_data), &policy).unwrap_err();
        assert!(
            matches!(
                refused.cause,
                Refusal::FieldMalformed {
                    field: "report_data",
                    ..
                }
            ),
            "{refused:?}"
        );
    }
}

#[test]
fn evidence_over_budget_is_refused_before_it_is_parsed() {
    let policy = policy(true, "[\"1\"]");
    let deep = "[".repeat(100);
    let four_bytes = Budget::new(Allowance {
        bytes: 4,
        ..Allowance::FOR_ONE_ROUND
    });
    for (primary, mut budget) in [
        (deep.as_str(), Budget::for_one_round()),
        ("{\"svn\":\"1\"}", four_bytes),
    ] {
        let refused = judge_within(&bare(primary), &policy, &mut budget).unwrap_err();
        assert!(matches!(refused.cause, Refusal::OverBudget(_)));
    }
}

#[test]
fn what_sample_evidence_cannot_bind_is_refused() {
    let policy = policy(true, "[\"1\"]");
    let primary = primary("1", &REPORT_DATA);
    let refusal = |evidence: UnverifiedEvidence<'_>, expected: &Expected| {
        let (collateral, mut budget) = (Collateral::default(), Budget::for_one_round());
        let judged = judge(&evidence, expected, &policy, &collateral, 0, &mut budget);
        judged.unwrap_err().cause
    };
    let init_data = "version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\n";
    let with_init_data = Expected {
        init_data: Some(InitDataDigest::of("toml", init_data).unwrap()),
        ..Expected::of(REPORT_DATA)
    };
    assert!(matches!(
        refusal(bare(&primary), &with_init_data),
        Refusal::InitDataUnbound { .. }
    ));
    let with_devices = UnverifiedEvidence {
        additional: "{\"nvidia\":{}}",
        ..bare(&primary)
    };
    assert!(matches!(
        refusal(with_devices, &Expected::of(REPORT_DATA)),
        Refusal::AdditionalEvidenceNotJudged
    ));
}

#[test]
fn the_ear_submodule_says_what_was_found() {
    let verdict = judge_primary(&primary("1", &REPORT_DATA), &policy(true, "[\"1\"]")).unwrap();
    let key = TeePublicKey::EcP256 {
        x: [1; 32],
        y: [2; 32],
    };
    let runtime = RuntimeDataClaims {
        tee_pubkey: Some(key.clone()),
        nonce: Some("abc".to_owned()),
    };
    let submod = verdict.submod("default", runtime);
    assert_eq!(submod.status, EarStatus::Affirming);
    assert_eq!(submod.appraisal_policy_id.as_deref(), Some("default"));
    assert_eq!(
        submod.trustworthiness_vector.as_ref().unwrap()["executables"],
        3
    );
    let evidence = submod.annotated_evidence.unwrap();
    assert_eq!(evidence.tee_claims["sample"]["svn"], "1");
    assert_eq!(evidence.report_data.unwrap(), "07".repeat(48));
    assert_eq!(evidence.runtime_data_claims.unwrap().tee_pubkey, Some(key));
}

proptest! {
    #[test]
    fn any_text_is_refused_by_name(text in "\\PC{0,200}") {
        prop_assert!(judge_primary(&text, &policy(true, "[\"1\"]")).is_err());
    }

    #[test]
    fn any_change_of_good_evidence_is_refused_or_changes_nothing(
        index in 0usize..100,
        byte in any::<u8>(),
    ) {
        let good = primary("1", &REPORT_DATA);
        let mut bytes = good.clone().into_bytes();
        let index = index % bytes.len();
        bytes[index] = byte;
        if let Ok(text) = String::from_utf8(bytes)
            && let Ok(verdict) = judge_primary(&text, &policy(true, "[\"1\"]"))
        {
            let same = verdict.status() == EarStatus::Affirming;
            prop_assert!(!same || text == good || text.contains(' '), "{text}");
        }
    }

    #[test]
    fn any_policy_text_gives_a_policy_or_an_error_with_a_line(text in "\\PC{0,20}(\n\\PC{0,20}){0,5}") {
        if let Err(error) = AttestationPolicy::parse(&text, "a") {
            prop_assert!(error.line >= 1);
        }
    }
}
