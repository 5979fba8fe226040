//! Is the evidence authentic: did the platform say it, about this challenge and this key?
//!
//! Nothing here knows what is wanted; that is [`crate::appraisal`].

mod sample;

use crate::budget::{Budget, BudgetExceeded};
use crate::evidence::{Expected, Tee, UnverifiedEvidence};
use crate::policy::Anchors;
use crate::verdict::{Check, Claims};
use thiserror::Error;

/// Evidence that passed every check of authenticity. It has no other constructor.
#[derive(Debug)]
pub struct VerifiedEvidence {
    tee: Tee,
    checks: Vec<Check>,
    claims: Claims,
    report_data: [u8; 48],
    debug: bool,
}

impl VerifiedEvidence {
    /// The TEE it is of.
    #[must_use]
    pub fn tee(&self) -> Tee {
        self.tee
    }

    /// What it says.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Whether the host may look into this TEE.
    #[must_use]
    pub fn is_debug(&self) -> bool {
        self.debug
    }

    pub(crate) fn into_parts(self) -> (Vec<Check>, Claims, [u8; 48]) {
        (self.checks, self.claims, self.report_data)
    }
}

/// What a TEE's own checks found. Each kind of evidence states all of it: a flag that this module
/// filled in would be right for one kind and open for the next.
struct Found {
    claims: Claims,
    debug: bool,
}

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
pub enum Refusal {
    /// The policy does not take evidence without hardware.
    #[error(
        "sample evidence is not accepted: policy line {line} says danger-accept-sample = false"
    )]
    SampleNotAccepted {
        /// The policy's line, counted from 1.
        line: u32,
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
    /// It does not bind this challenge and key.
    #[error("report data does not bind this challenge and TEE public key")]
    ReportDataMismatch,
    /// Init-data was sent that this evidence does not bind.
    #[error("init-data was sent, which {tee} evidence does not bind")]
    InitDataUnbound {
        /// The TEE.
        tee: Tee,
    },
    /// Evidence of further devices was sent, which nobody here can judge.
    #[error("additional evidence was sent, which is not judged")]
    AdditionalEvidenceNotJudged,
}

/// Verifies that `evidence` is authentic and binds what is `expected`.
///
/// `now_secs` is the wall clock for certificates; `sample` evidence has none.
///
/// # Errors
///
/// [`Refused`] with the first check that failed.
pub fn verify(
    evidence: &UnverifiedEvidence<'_>,
    expected: &Expected,
    anchors: &Anchors<'_>,
    now_secs: u64,
    budget: &mut Budget,
) -> Result<VerifiedEvidence, Refused> {
    // No certificates are judged yet; every kind that has them will compare their dates with it.
    let _ = now_secs;
    let mut checks = Vec::new();
    let verified = match evidence.tee {
        Tee::Sample => sample::verify(evidence, expected, anchors, budget, &mut checks),
    };
    match verified {
        Ok(Found { claims, debug }) => Ok(VerifiedEvidence {
            tee: evidence.tee,
            checks,
            claims,
            report_data: expected.report_data,
            debug,
        }),
        Err((name, cause)) => {
            checks.push(Check::failed(name, cause.to_string()));
            Err(Refused {
                tee: evidence.tee,
                checks,
                cause,
            })
        }
    }
}
