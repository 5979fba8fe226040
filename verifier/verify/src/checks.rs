//! The names of all checks, one list a TEE: what a verdict may say, in the order of
//! `docs/verification.md`.
//!
//! Every check of a list stands in every verdict of its TEE exactly once, if only as not
//! applicable or waived: nothing is skipped by being left out.

pub mod azure;
pub mod gpu;
pub mod sample;
pub mod snp;
pub mod tdx;
pub mod tpm;

use crate::evidence::Tee;

/// A check's place in `docs/verification.md`, and its stable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckName {
    /// The number in the table of its TEE; several names may share one. 0 where it has none.
    pub number: u8,
    /// The TEE first: `sample.report-data`.
    pub name: &'static str,
}

impl CheckName {
    /// A check that the tables do not number.
    pub(crate) const fn unnumbered(name: &'static str) -> Self {
        Self { number: 0, name }
    }
}

/// The names of the checks of a TPM's quote.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QuoteChecks {
    pub(crate) magic: CheckName,
    pub(crate) kind: CheckName,
    pub(crate) form: CheckName,
    pub(crate) signature: CheckName,
    pub(crate) nonce: CheckName,
    pub(crate) selection: CheckName,
    pub(crate) digest: CheckName,
}

/// What is asked of evidence of any kind before its TEE's own checks.
pub(crate) struct Gate {
    pub(crate) in_policy: CheckName,
    pub(crate) form: CheckName,
    pub(crate) additional_evidence: CheckName,
}

impl Gate {
    const fn of(in_policy: CheckName, form: CheckName, additional_evidence: CheckName) -> Self {
        Self {
            in_policy,
            form,
            additional_evidence,
        }
    }
}

/// The gate of each TEE.
pub(crate) const fn gate(tee: Tee) -> Gate {
    const fn azure_gate(names: &azure::AzureChecks) -> Gate {
        Gate::of(names.in_policy, names.form, names.additional_evidence)
    }
    match tee {
        Tee::Sample => Gate::of(sample::ACCEPTED, sample::FORM, sample::ADDITIONAL_EVIDENCE),
        Tee::Snp => Gate::of(snp::IN_POLICY, snp::FORM, snp::ADDITIONAL_EVIDENCE),
        Tee::Tdx => Gate::of(tdx::IN_POLICY, tdx::FORM, tdx::ADDITIONAL_EVIDENCE),
        Tee::Tpm => Gate::of(tpm::IN_POLICY, tpm::FORM, tpm::ADDITIONAL_EVIDENCE),
        Tee::AzSnpVtpm => azure_gate(&azure::AZ_SNP),
        Tee::AzTdxVtpm => azure_gate(&azure::AZ_TDX),
        Tee::Nvidia => Gate::of(gpu::IN_POLICY, gpu::FORM, gpu::ADDITIONAL_EVIDENCE),
    }
}

/// Every check that a verdict on evidence of `tee` has, in order; empty where none is judged.
#[must_use]
pub const fn all(tee: Tee) -> &'static [CheckName] {
    match tee {
        Tee::Sample => sample::CHECKS,
        Tee::Snp => snp::CHECKS,
        Tee::Tdx => tdx::CHECKS,
        Tee::AzSnpVtpm => azure::SNP_CHECKS,
        Tee::AzTdxVtpm => azure::TDX_CHECKS,
        Tee::Nvidia => gpu::CHECKS,
        Tee::Tpm => tpm::CHECKS,
    }
}
