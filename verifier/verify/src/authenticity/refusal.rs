//! Why evidence is not authentic.

use super::{AzureRefusal, GpuRefusal, QuoteRefusal, SnpRefusal, TdxRefusal, TpmRefusal};
use crate::budget::BudgetExceeded;
use crate::evidence::Tee;
use crate::verdict::Check;
use thiserror::Error;

/// Evidence that is not authentic: why, and every check until then, the failed one last.
#[derive(Debug, Error)]
#[error("verify {tee} evidence")]
pub struct Refused {
    /// The TEE whose form was expected.
    pub tee: Tee,
    /// The checks made, the failed one last.
    pub checks: Vec<Check>,
    /// What is wrong.
    #[source]
    pub cause: Refusal,
}

/// Why evidence is not authentic.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The policy does not take evidence without hardware.
    #[error(
        "sample evidence is not accepted: policy line {line} says danger-accept-sample = false"
    )]
    SampleNotAccepted {
        /// The policy's line, counted from 1.
        line: u32,
    },
    /// The policy has no section for this TEE.
    #[error("{tee} evidence is not wanted: the policy has no section for it")]
    NotInPolicy {
        /// The TEE.
        tee: Tee,
    },
    /// Nobody here reads the JSON form of this TEE.
    #[error("{tee} evidence has no form that is read here")]
    FormNotKnown {
        /// The TEE.
        tee: Tee,
    },
    /// Judging it would cost more than is allowed.
    #[error("evidence is over budget")]
    OverBudget(#[from] BudgetExceeded),
    /// Not the JSON form of this TEE's evidence.
    #[error("primary evidence is not of its TEE's form")]
    Malformed(#[source] serde_json::Error),
    /// A field is not what its form says.
    #[error("evidence field {field} {fault}")]
    FieldMalformed {
        /// The field's name.
        field: &'static str,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A SEV-SNP report is not authentic.
    #[error("the SEV-SNP report is not authentic")]
    Snp(#[from] SnpRefusal),
    /// A TDX quote is not authentic.
    #[error("the TDX quote is not authentic")]
    Tdx(#[from] TdxRefusal),
    /// What Azure's paravisor says is not authentic.
    #[error("the evidence of Azure's paravisor is not authentic")]
    Azure(#[from] AzureRefusal),
    /// Nothing binds the key that signs a TPM's quote.
    #[error("the TPM's attestation key is not one that is known")]
    Tpm(#[from] TpmRefusal),
    /// A TPM's quote is not authentic.
    #[error("the TPM's quote is not authentic")]
    Quote(#[from] QuoteRefusal),
    /// The report of a further device is not authentic.
    #[error("the report of an NVIDIA device is not authentic")]
    Gpu(#[from] GpuRefusal),
    /// It does not bind this challenge and key.
    #[error("report data does not bind this challenge and TEE public key")]
    ReportDataMismatch,
    /// Init-data was sent that this evidence does not bind.
    #[error("init-data was sent, which this {tee} evidence does not bind")]
    InitDataUnbound {
        /// The TEE.
        tee: Tee,
    },
    /// Evidence of further devices was sent to a judgement of the machine alone.
    #[error("additional evidence was sent, which is not judged")]
    AdditionalEvidenceNotJudged,
    /// Evidence of further devices was sent, and the policy has no section for any.
    #[error("evidence of further devices is not wanted: the policy has no section [gpu]")]
    DevicesNotInPolicy,
    /// Fewer devices than the policy asks for.
    #[error("{found} devices beside the machine, and policy line {line} wants {wanted} or more")]
    DevicesMissing {
        /// Those that were sent.
        found: usize,
        /// Those that have to be there.
        wanted: usize,
        /// The policy's line, counted from 1.
        line: u32,
    },
}

impl Refusal {
    /// The refusal with its causes in one line, for a check's reason and for the guest's operator.
    #[must_use]
    pub fn told(&self) -> String {
        let mut told = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            told.push_str(": ");
            told.push_str(&cause.to_string());
            source = cause.source();
        }
        told
    }
}
