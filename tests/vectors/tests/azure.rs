//! Every vector of Azure's confidential VMs fails the check that it is made for, and no other.
#![forbid(unsafe_code)]

use nitride_kbs::token::EarStatus;
use nitride_vectors::azure::{DEFECTS, Draft};
use nitride_verify::checks::azure::SNP_CHECKS;
use nitride_verify::{Anchor, CheckName, CheckOutcome};
use std::collections::BTreeSet;

#[test]
fn good_evidence_passes_every_check_of_the_list_once_and_in_order() {
    let verdict = Draft::good().judge().unwrap();
    let made: Vec<CheckName> = verdict.checks().iter().map(|check| check.name).collect();
    assert_eq!(made, SNP_CHECKS);
    assert_eq!(verdict.failures().collect::<Vec<_>>(), []);
    assert_eq!(verdict.status(), EarStatus::Affirming);
    assert_eq!(verdict.vector().configuration, 2);
    assert_eq!(verdict.vector().executables, 3);
    assert_eq!(verdict.anchor(), Anchor::Test);
    assert!(!verdict.is_genuine(), "a test anchor vouches for it");
}

#[test]
fn each_defect_fails_its_check_and_no_other() {
    let mut wrong = Vec::new();
    for defect in DEFECTS {
        let mut draft = Draft::good();
        (defect.make)(&mut draft);
        let failed: Vec<&str> = match draft.judge() {
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

#[test]
fn each_numbered_check_of_its_own_has_a_vector() {
    let found: BTreeSet<&str> = DEFECTS.iter().map(|defect| defect.check).collect();
    for check in SNP_CHECKS {
        let is_own = check.name.starts_with("az-") && check.number != 0;
        assert!(!is_own || found.contains(check.name), "{}", check.name);
    }
}

#[test]
fn what_is_not_wanted_need_not_be_there() {
    let mut draft = Draft::good();
    draft.version = 1;
    draft.user_data = vec![0; 64];
    draft.expected.init_data = None;
    draft.policy = draft.policy.replace("\"bound\"", "\"any\"");
    let verdict = draft.judge().unwrap();
    assert_eq!(verdict.failures().collect::<Vec<_>>(), []);
}

#[test]
fn init_data_are_a_wanted_configuration_where_a_reference_value_states_their_pcr() {
    let mut draft = Draft::good();
    draft.hardware.policy.waive("host-data");
    let verdict = draft.judge().unwrap();
    assert_eq!(verdict.vector().configuration, 0);
    assert_eq!(
        verdict.claims().claim("init_data_bound"),
        Some(&true.into())
    );
    let pcr = base16ct::lower::encode_string(&draft.pcrs[8]);
    assert_eq!(
        verdict.claims().claim("pcr08"),
        Some(&pcr.as_str().into())
    );
    draft.policy = draft
        .policy
        .replace("pcrs = { 4", &format!("pcrs = {{ 8 = \"{pcr}\", 4"));
    assert_eq!(draft.judge().unwrap().vector().configuration, 2);
}

#[test]
fn a_reference_value_for_the_kernel_alone_is_no_claim_about_the_boot() {
    let mut draft = Draft::good();
    draft.policy = draft.policy.replace(
        "covers = [\"kernel\", \"initrd\", \"command-line\"]",
        "covers = [\"kernel\"]",
    );
    let verdict = draft.judge().unwrap();
    assert_eq!(verdict.failures().count(), 0);
    assert_eq!(verdict.vector().executables, 0);
}
