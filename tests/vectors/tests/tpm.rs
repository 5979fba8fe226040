//! Every vector of a TPM alone fails the check that it is made for, and no other.
#![forbid(unsafe_code)]

use nitride_kbs::token::EarStatus;
use nitride_vectors::tpm::{DEFECTS, Draft, REPORT_DATA};
use nitride_verify::checks::tpm::CHECKS;
use nitride_verify::{
    Anchor, AttestationPolicy, Budget, CheckName, CheckOutcome, Collateral, Tee,
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
        if failed != [defect.check] {
            wrong.push(format!("{}: {failed:?} failed", defect.name));
        }
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
    draft.policy = draft
        .policy
        .replace("\"bound\"", "\"any\"")
        .replace("[0, 4]", "\"any\"");
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
