//! Every vector of a TPM alone fails the check that it is made for, and no other.
#![forbid(unsafe_code)]

use nitride_kbs::token::EarStatus;
use nitride_vectors::tpm::{DEFECTS, Draft, REPORT_DATA};
use nitride_vectors::unexpected;
use nitride_verify::checks::tpm::CHECKS;
use nitride_verify::{
    Allowance, Anchor, AttestationPolicy, Budget, CheckName, CheckOutcome, Collateral, Tee,
    UnverifiedEvidence, judge,
};
use std::collections::BTreeSet;

#[test]
fn good_evidence_passes_every_check_of_the_list_once_and_in_order() {
    for draft in [Draft::good(), Draft::certified()] {
        let verdict = draft.judge().unwrap();
        let made: Vec<CheckName> = verdict.checks().iter().map(|check| check.name).collect();
        assert_eq!(made, CHECKS);
        assert_eq!(verdict.failures().collect::<Vec<_>>(), []);
        assert_eq!(verdict.status(), EarStatus::Affirming);
        assert_eq!(verdict.vector().executables, 3);
    }
}

/// A host that emulates the TPM says what it likes.
#[test]
fn nothing_is_claimed_of_hardware_or_of_memory() {
    for (draft, instance) in [(Draft::good(), 2), (Draft::certified(), 0)] {
        let verdict = draft.judge().unwrap();
        let vector = verdict.vector();
        assert_eq!((vector.hardware, vector.runtime_opaque), (0, 0));
        assert_eq!(vector.instance_identity, instance);
        assert_eq!(verdict.anchor(), Anchor::Operator);
        assert!(!verdict.is_genuine() && !verdict.is_simulated());
    }
}

#[test]
fn under_a_test_anchor_it_is_simulated() {
    let draft = Draft::certified();
    let (evidence, policy) = draft.build();
    let root = policy.split("roots = [").nth(1).unwrap();
    let root = root.split(']').next().unwrap();
    let policy = policy.replace("anchors = []", &format!("anchors = [{root}]"));
    let policy = AttestationPolicy::parse(&policy, "policy.toml").unwrap();
    let verdict = nitride_verify::judge_allegation(
        nitride_verify::Allegation::Tpm(Box::new(evidence)),
        &draft.expected,
        &policy,
        &Collateral::default(),
        nitride_vectors::snp::NOW_SECS,
        &mut Budget::for_one_round(),
    );
    let verdict = verdict.unwrap();
    assert_eq!(verdict.anchor(), Anchor::Test);
    assert!(verdict.is_simulated());
}

#[test]
fn each_defect_fails_its_check_and_no_other() {
    let mut wrong = Vec::new();
    for defect in DEFECTS {
        let failed: Vec<&str> = match defect.draft().judge() {
            Ok(verdict) => {
                let is_unwanted = verdict.status() == EarStatus::Contraindicated;
                assert_eq!(is_unwanted, verdict.failures().next().is_some());
                verdict.failures().map(|(name, _)| name).collect()
            }
            Err(refused) => {
                let failed = refused.checks.iter();
                failed
                    .filter(|check| matches!(check.outcome, CheckOutcome::Failed(_)))
                    .map(|check| check.name.name)
                    .collect()
            }
        };
        wrong.extend(unexpected(defect.name, defect.check, &failed));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Revocation is looked at by nobody, and says so in every verdict.
#[test]
fn each_numbered_check_has_a_vector() {
    let found: BTreeSet<&str> = DEFECTS.iter().map(|defect| defect.check).collect();
    for check in CHECKS {
        let is_made = check.number != 0 && check.name != "tpm.ak-revocation";
        assert!(!is_made || found.contains(check.name), "{}", check.name);
    }
    let verdict = Draft::certified().judge().unwrap();
    let said = verdict.checks().iter();
    let said = said.filter(|check| check.name.name == "tpm.ak-revocation");
    let said: Vec<_> = said.map(|check| &check.outcome).collect();
    assert!(
        matches!(said[..], [CheckOutcome::WaivedByPolicyLine(7)]),
        "{said:?}"
    );
}

#[test]
fn of_firmware_alone_nothing_is_claimed_about_the_boot() {
    let verdict = Draft::good().judge().unwrap();
    let flag = |verdict: &nitride_verify::Verdict, part: &str| {
        let claim = verdict.claims().claim(part);
        claim.and_then(serde_json::Value::as_bool)
    };
    assert_eq!(flag(&verdict, "covers_kernel"), Some(true));
    assert_eq!(flag(&verdict, "covers_disk"), Some(false));
    let mut draft = Draft::good();
    draft.policy = draft
        .policy
        .replace("[\"firmware\", \"kernel\"]\n[[", "[\"firmware\"]\n[[")
        .replace(
            "[\"firmware\", \"kernel\", \"initrd\", \"command-line\"]",
            "[\"firmware\"]",
        );
    let verdict = draft.judge().unwrap();
    assert_eq!(verdict.failures().collect::<Vec<_>>(), []);
    assert_eq!(verdict.vector().executables, 0);
    assert_eq!(flag(&verdict, "covers_firmware"), Some(true));
    assert_eq!(flag(&verdict, "covers_kernel"), Some(false));
}

/// Which init-data are wanted, a rule can ask by it alone.
#[test]
fn the_register_of_init_data_is_a_claim_of_its_own() {
    let draft = Draft::good();
    let verdict = draft.judge().unwrap();
    let pcr = base16ct::lower::encode_string(&draft.pcrs[8]);
    assert_eq!(verdict.claims().claim("pcr08"), Some(&pcr.into()));
}

#[test]
fn an_event_log_is_replayed_within_the_budget() {
    let draft = Draft::good();
    let failures = |events: usize| {
        let budget = Budget::new(Allowance {
            events,
            ..Allowance::FOR_ONE_ROUND
        });
        let verdict = draft.judge_within(budget).unwrap();
        let failures = verdict.failures();
        failures
            .map(|(name, why)| format!("{name}: {why}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(failures(draft.events.len()), [""; 0]);
    let [failure] = &failures(draft.events.len() - 1)[..] else {
        panic!("one check fails")
    };
    assert!(
        failure.starts_with("tpm.event-log: replay events"),
        "{failure}"
    );
}

/// A key whose certificate says what it is for, and one whose certificate says nothing (Google's).
#[test]
fn a_certificate_for_attestation_is_one() {
    let mut draft = Draft::certified();
    draft.chain = draft
        .chain
        .map(nitride_vectors::tpm::ChainDraft::for_attestation);
    let verdict = draft.judge().unwrap();
    assert_eq!(verdict.failures().collect::<Vec<_>>(), []);
}

#[test]
fn a_key_may_be_pinned_alone_and_a_nonce_be_padded() {
    let mut draft = Draft::good();
    draft.policy = draft.policy.replace("{name}", "{key}");
    draft.nonce.extend([0; 16]);
    draft.spoil = Some(|evidence| evidence.public_area = None);
    let verdict = draft.judge().unwrap();
    assert_eq!(verdict.failures().collect::<Vec<_>>(), []);
    let bound_by = verdict.claims().claim("ak_bound_by");
    assert_eq!(bound_by.and_then(|claim| claim.as_str()), Some("key"));
}

#[test]
fn what_is_not_wanted_need_not_be_there() {
    let mut draft = Draft::good();
    draft.expected.init_data = None;
    // Whatever PCR 8 has, a reference value states it then.
    let pcr = base16ct::lower::encode_string(&draft.pcrs[8]);
    draft.policy = draft
        .policy
        .replace("\"bound\"", "\"any\"")
        .replace("[0, 4]", "\"any\"")
        .replace("pcrs = { 0", &format!("pcrs = {{ 8 = \"{pcr}\", 0"));
    draft.spoil = Some(|evidence| evidence.event_log = None);
    let verdict = draft.judge().unwrap();
    assert_eq!(verdict.failures().collect::<Vec<_>>(), []);
}

#[test]
fn the_kbs_form_is_judged_as_the_raw_evidence_is() {
    let draft = Draft::certified();
    let (evidence, policy) = draft.build();
    let primary = evidence.to_kbs_form(&REPORT_DATA);
    let policy = AttestationPolicy::parse(&policy, "policy.toml").unwrap();
    let evidence = UnverifiedEvidence {
        tee: Tee::Tpm,
        primary: &primary,
        additional: "",
    };
    let verdict = judge(
        &evidence,
        &draft.expected,
        &policy,
        &Collateral::default(),
        nitride_vectors::snp::NOW_SECS,
        &mut Budget::for_one_round(),
    );
    let verdict = verdict.unwrap();
    assert_eq!(verdict.failures().collect::<Vec<_>>(), []);
    assert_eq!(
        verdict.claims().claim("ak_bound_by").unwrap(),
        "certificate"
    );
}
