//! Every vector of Azure's confidential VMs fails the check that it is made for, and no other.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]

use aws_lc_rs::digest::{SHA256, digest};
use nitride_kbs::token::EarStatus;
use nitride_vectors::azure::{DEFECTS, Draft};
use nitride_vectors::tdx;
use nitride_vectors::unexpected;
use nitride_verify::checks::azure::SNP_CHECKS;
use nitride_verify::evidence::{PCR_COUNT, TpmQuote};
use nitride_verify::{
    Allegation, Anchor, AttestationPolicy, AzureAllegation, AzureHardware, Budget, CheckName,
    CheckOutcome, Collateral, judge_allegation,
};
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
        wrong.extend(unexpected(defect.name, defect.check, &failed));
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
    // Whatever PCR 8 has, a reference value states it then.
    let pcr = base16ct::lower::encode_string(&draft.pcrs[8]);
    draft.policy = draft
        .policy
        .replace("\"bound\"", "\"any\"")
        .replace("pcrs = { 2", &format!("pcrs = {{ 8 = \"{pcr}\", 2"));
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
    assert_eq!(verdict.claims().claim("pcr08"), Some(&pcr.as_str().into()));
    draft.policy = draft
        .policy
        .replace("pcrs = { 2", &format!("pcrs = {{ 8 = \"{pcr}\", 2"));
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

/// The paravisor's report over a quote of TDX, as far as the check of who asked for it: nothing in it
/// is signed, and its runtime data name no key.
fn refused_by(vm_id: u8) -> &'static str {
    let runtime = b"{}";
    let mut report = [0; 1184];
    report[128..160].copy_from_slice(digest(&SHA256, runtime).as_ref());
    let mut hcl_report = b"HCLA".to_vec();
    let len = u32::try_from(runtime.len()).unwrap();
    for word in [2, len + 0x4d4, 2, 0, 0, 0, 0] {
        hcl_report.extend(u32::to_le_bytes(word));
    }
    hcl_report.extend(report);
    for word in [len + 20, 1, 4, 1, len] {
        hcl_report.extend(u32::to_le_bytes(word));
    }
    hcl_report.extend(runtime);
    let mut spec = tdx::Spec::good_version_5(4);
    spec.quote.vm_id = vm_id;
    let made = spec.make().unwrap();
    let draft = Draft::good();
    let (head, section) = made.policy.split_once("[tdx]").unwrap();
    let section = section.replace("[[tdx.", "[[azure.tdx.");
    let policy = format!("{head}[azure]\n{}[azure.tdx]{section}", draft.policy);
    let refused = judge_allegation(
        Allegation::Azure(Box::new(AzureAllegation {
            version: 1,
            quote: TpmQuote {
                signature: Vec::new(),
                message: Vec::new(),
                pcrs: [[0; 32]; PCR_COUNT],
            },
            hcl_report,
            hardware: AzureHardware::Tdx {
                quote: made.evidence.quote,
            },
        })),
        &draft.expected,
        &AttestationPolicy::parse(&policy, "policy.toml").unwrap(),
        &Collateral::default(),
        tdx::NOW_SECS,
        &mut Budget::for_one_round(),
    );
    let refused = refused.unwrap_err();
    refused.checks.last().unwrap().name.name
}

#[test]
fn a_part_of_a_partitioned_trust_domain_is_not_its_paravisor() {
    assert_eq!(refused_by(0), "az-tdx.attestation-key");
    assert_eq!(refused_by(1), "az-tdx.paravisor");
    assert_eq!(refused_by(3), "az-tdx.paravisor");
}
