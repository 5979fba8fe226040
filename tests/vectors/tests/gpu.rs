//! Every vector of NVIDIA's devices fails the check that it is made for, and no other.
#![forbid(unsafe_code)]

use nitride_kbs::token::{EarStatus, RuntimeDataClaims};
use nitride_vectors::gpu::{DEFECTS, Draft};
use nitride_vectors::unexpected;
use nitride_verify::checks::gpu::CHECKS;
use nitride_verify::{
    Anchor, Check, CheckName, CheckOutcome, GpuAllegation, Refusal, Refused, Tee,
};
use std::collections::BTreeSet;

fn failed(checks: &[Check]) -> Vec<&'static str> {
    let failed = checks.iter();
    failed
        .filter(|check| matches!(check.outcome, CheckOutcome::Failed(_)))
        .map(|check| check.name.name)
        .collect()
}

#[test]
fn a_good_device_passes_every_check_of_the_list_once_and_in_order() {
    let composite = Draft::good().judge().unwrap();
    assert_eq!(composite.devices().len(), 1);
    let device = &composite.devices()[0];
    let made: Vec<CheckName> = device.checks().iter().map(|check| check.name).collect();
    assert_eq!(made, CHECKS);
    assert_eq!(device.failures().collect::<Vec<_>>(), []);
    assert_eq!(device.status(), EarStatus::Affirming);
    assert_eq!(device.vector().executables, 3);
    assert_eq!(device.vector().instance_identity, 2);
    assert_eq!(device.anchor(), Anchor::Test);
    assert!(!device.is_genuine(), "a test anchor vouches for it");
    let names: Vec<String> = composite.submods().map(|(name, _)| name).collect();
    assert_eq!(names, ["cpu0", "gpu0"]);
    assert!(composite.is_simulated());
}

#[test]
fn a_device_has_a_submodule_of_its_own_over_the_nonce_that_was_compared() {
    let composite = Draft::good().judge().unwrap();
    let runtime = RuntimeDataClaims {
        tee_pubkey: None,
        nonce: Some("nonce".to_owned()),
    };
    let submod = composite.devices()[0].submod("policy", runtime);
    assert_eq!(submod.status, EarStatus::Affirming);
    let evidence = submod.annotated_evidence.unwrap();
    assert_eq!(evidence.report_data, Some("06".repeat(32)));
    let claims = &evidence.tee_claims["nvidia"];
    assert_eq!(claims["device_id"], "11");
    assert_eq!(claims["model"], "GH100");
    assert_eq!(claims["reference_value"], "driver");
    assert_eq!(claims["test-anchor"], true);
}

#[test]
fn each_defect_fails_its_check_and_no_other() {
    let mut wrong = Vec::new();
    for defect in DEFECTS {
        let mut draft = Draft::good();
        (defect.make)(&mut draft);
        let failed = match draft.judge() {
            Ok(composite) => {
                assert_eq!(composite.primary().failures().count(), 0);
                let device = &composite.devices()[0];
                let is_unwanted = device.status() == EarStatus::Contraindicated;
                let failed = failed(device.checks());
                assert_eq!(is_unwanted, !failed.is_empty(), "{}", defect.name);
                failed
            }
            Err(refused) => {
                assert_eq!(refused.tee, Tee::Nvidia, "{}", defect.name);
                failed(&refused.checks)
            }
        };
        wrong.extend(unexpected(defect.name, defect.check, &failed));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_numbered_check_has_a_vector() {
    let found: BTreeSet<&str> = DEFECTS.iter().map(|defect| defect.check).collect();
    for check in CHECKS {
        assert!(
            check.number == 0 || found.contains(check.name),
            "{}",
            check.name
        );
    }
}

#[test]
fn what_is_not_wanted_need_not_be_there() {
    let mut draft = Draft::good();
    draft.opaque.clear();
    draft.measurements.clear();
    for field in [
        "models",
        "device-ids",
        "vbios-versions",
        "driver-versions",
        "firmware-ids",
    ] {
        let (before, rest) = draft.policy.split_once(field).unwrap();
        let (_, after) = rest.split_once('\n').unwrap();
        draft.policy = format!("{before}{field} = \"any\"\n{after}");
    }
    draft.policy = draft.policy.replace("\"reference\"", "\"any\"");
    let composite = draft.judge().unwrap();
    let device = &composite.devices()[0];
    assert_eq!(device.failures().collect::<Vec<_>>(), []);
    assert_eq!(device.vector().executables, 0, "nothing is known of it");
    assert_eq!(device.vector().runtime_opaque, 32, "its host may look in");
    assert_eq!(device.status(), EarStatus::Warning);
}

fn primary_refused(refused: &Refused) -> &Refusal {
    assert_eq!(refused.tee, Tee::Sample);
    assert_eq!(failed(&refused.checks), ["sample.additional-evidence"]);
    &refused.cause
}

#[test]
fn a_policy_says_how_many_devices_there_are_and_whether_any_are() {
    let mut draft = Draft::good();
    draft.times = 0;
    let refused = draft.judge().unwrap_err();
    let refusal = primary_refused(&refused);
    assert!(matches!(
        refusal,
        Refusal::DevicesMissing {
            found: 0,
            wanted: 1,
            ..
        }
    ));
    draft.policy = draft.policy.replace("min-devices = 1", "min-devices = 0");
    let composite = draft.judge().unwrap();
    assert_eq!(composite.devices().len(), 0);
    assert_eq!(composite.submods().count(), 1);

    draft.times = 1;
    draft.policy = draft.policy.replace("min-devices = 0", "min-devices = 2");
    let refused = draft.judge().unwrap_err();
    let refusal = primary_refused(&refused);
    assert!(matches!(refusal, Refusal::DevicesMissing { found: 1, .. }));
}

#[test]
fn a_policy_without_the_section_refuses_every_device() {
    let mut made = Draft::good().build();
    let text = GpuAllegation::to_kbs_form(&[("HOPPER", made.evidence.clone())]);
    assert!(made.judge(&text).is_ok());
    let refused = made.judge("{\"nvidia\":{}}").unwrap_err();
    assert!(matches!(primary_refused(&refused), Refusal::Malformed(_)));
    let (without, _) = made.policy.split_once("[gpu]").unwrap();
    made.policy = without.to_owned();
    let refused = made.judge(&text).unwrap_err();
    assert!(matches!(
        primary_refused(&refused),
        Refusal::DevicesNotInPolicy
    ));
}
