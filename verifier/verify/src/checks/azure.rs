//! The checks of evidence from Azure's confidential VMs, by the virtual TPM's key, besides those of
//! the hardware below it, which keep their own names. Numbers are those of `docs/verification.md`.

use super::{CheckName, QuoteChecks, snp, tdx};

/// The names, one set for each hardware.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AzureChecks {
    pub(crate) in_policy: CheckName,
    pub(crate) form: CheckName,
    pub(crate) additional_evidence: CheckName,
    pub(crate) hcl_report: CheckName,
    pub(crate) runtime_data: CheckName,
    pub(crate) paravisor: CheckName,
    pub(crate) attestation_key: CheckName,
    pub(crate) quote: QuoteChecks,
    pub(crate) user_data: CheckName,
    pub(crate) init_data: CheckName,
    pub(crate) user_data_wanted: CheckName,
    pub(crate) init_data_wanted: CheckName,
    pub(crate) secure_boot: CheckName,
    pub(crate) console: CheckName,
    pub(crate) vm_id: CheckName,
    pub(crate) pcrs: CheckName,
}

const fn numbered(number: u8, name: &'static str) -> CheckName {
    CheckName { number, name }
}

macro_rules! azure_checks {
    ($tee:literal) => {
        AzureChecks {
            in_policy: numbered(0, concat!($tee, ".in-policy")),
            form: numbered(0, concat!($tee, ".form")),
            additional_evidence: numbered(0, concat!($tee, ".additional-evidence")),
            hcl_report: numbered(1, concat!($tee, ".hcl-report")),
            runtime_data: numbered(2, concat!($tee, ".runtime-data")),
            paravisor: numbered(2, concat!($tee, ".paravisor")),
            attestation_key: numbered(3, concat!($tee, ".attestation-key")),
            quote: QuoteChecks {
                magic: numbered(4, concat!($tee, ".quote-magic")),
                kind: numbered(5, concat!($tee, ".quote-type")),
                form: numbered(6, concat!($tee, ".quote-form")),
                signature: numbered(7, concat!($tee, ".quote-signature")),
                nonce: numbered(8, concat!($tee, ".quote-nonce")),
                selection: numbered(9, concat!($tee, ".pcr-selection")),
                digest: numbered(10, concat!($tee, ".pcr-digest")),
            },
            user_data: numbered(11, concat!($tee, ".user-data")),
            init_data: numbered(12, concat!($tee, ".init-data")),
            user_data_wanted: numbered(11, concat!($tee, ".user-data-wanted")),
            init_data_wanted: numbered(12, concat!($tee, ".init-data-wanted")),
            secure_boot: numbered(13, concat!($tee, ".secure-boot")),
            console: numbered(14, concat!($tee, ".console")),
            vm_id: numbered(15, concat!($tee, ".vm-id")),
            pcrs: numbered(16, concat!($tee, ".pcrs")),
        }
    };
}

pub(crate) const AZ_SNP: AzureChecks = azure_checks!("az-snp");
pub(crate) const AZ_TDX: AzureChecks = azure_checks!("az-tdx");

/// What is asked before the hardware's own checks, and what after.
const BEFORE: usize = 16;
const AFTER: usize = 6;
/// Form, policy and further devices are asked once.
const GATE: usize = 3;

/// All of them, with those of the SEV-SNP report below, in the order in which they are made.
pub const SNP_CHECKS: &[CheckName] =
    &all::<{ BEFORE + AFTER + snp::CHECKS.len() - GATE }>(AZ_SNP, snp::CHECKS);
/// All of them, with those of the TD quote below, in the order in which they are made.
pub const TDX_CHECKS: &[CheckName] =
    &all::<{ BEFORE + AFTER + tdx::CHECKS.len() - GATE }>(AZ_TDX, tdx::CHECKS);

const fn all<const N: usize>(own: AzureChecks, below: &[CheckName]) -> [CheckName; N] {
    let before: [CheckName; BEFORE] = [
        own.in_policy,
        own.form,
        own.additional_evidence,
        own.hcl_report,
        own.runtime_data,
        own.paravisor,
        own.attestation_key,
        own.quote.magic,
        own.quote.kind,
        own.quote.form,
        own.quote.signature,
        own.quote.nonce,
        own.quote.selection,
        own.quote.digest,
        own.user_data,
        own.init_data,
    ];
    let after: [CheckName; AFTER] = [
        own.user_data_wanted,
        own.init_data_wanted,
        own.secure_boot,
        own.console,
        own.vm_id,
        own.pcrs,
    ];
    let mut all = [own.in_policy; N];
    let mut at = 0;
    while at < N {
        all[at] = if at < BEFORE {
            before[at]
        } else if at < N - AFTER {
            below[at - BEFORE + GATE]
        } else {
            after[at + AFTER - N]
        };
        at += 1;
    }
    all
}
