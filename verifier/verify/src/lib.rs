//! The relying party's side of attestation: parse evidence, find out whether it is authentic, and
//! judge it against a policy. No I/O, no clock of its own: time, policy and expectations are
//! arguments.
//!
//! ```text
//!  UnverifiedEvidence ──authenticity──▶ VerifiedEvidence ──appraisal──▶ Verdict ──▶ EAR submodule
//!        (an allegation)     │            (only the check        │       (every check, named)
//!                            ▼             can make one)         ▼
//!                        Refused                         affirming │ warning │ contraindicated
//! ```
//!
//! Principles:
//!
//! - **Authenticity and policy are apart.** [`authenticity`] answers "did the platform say this,
//!   about this challenge, now?" and has only trust anchors and expectations to go by.
//!   [`appraisal`] answers "do we want it?". What is authentic but unwanted is a verdict, not an
//!   error: it becomes a `contraindicated` attestation result.
//! - **A passed check is a value.** [`VerifiedEvidence`] has no constructor but the check.
//! - **Nothing is skipped by being left out.** Every policy field is stated; a check that a policy
//!   line waives says which line.
//! - **Simulation is loud.** A verdict on `sample` evidence is `simulated`, its hardware claim is
//!   empty, and it exists only where the policy names it.
//! - **Work is metered.** A [`Budget`] bounds the bytes and the nesting that a caller may cause.
#![forbid(unsafe_code)]

mod appraisal;
pub mod authenticity;
mod budget;
pub mod checks;
mod claim_form;
mod collateral;
mod composite;
mod ear;
pub mod enrolment;
pub mod evidence;
mod ledger;
pub mod policy;
pub mod strict_toml;
mod trust_vector;
mod verdict;
pub mod x509;

pub use authenticity::{
    AzureRefusal, ChainFault, GpuRefusal, QuoteRefusal, Refusal, Refused, SnpRefusal, TdxRefusal,
    TpmRefusal, VerifiedEvidence,
};
pub use budget::{Allowance, Budget, BudgetExceeded};
pub use checks::CheckName;
pub use claim_form::ClaimForm;
pub use collateral::{
    AMD_ROOTS, AmdCollateral, AmdCrl, Collateral, INTEL_ROOT, NVIDIA_ROOT, TcbFacts, TcbStatus,
    TdxCollateral, TdxEvidence, TdxTrust, VekFault, VekId, Veks,
};
pub use composite::{Composite, CompositeExpected, judge_composite};
pub use evidence::{
    Allegation, AzureAllegation, AzureHardware, DeviceNonce, Expected, GpuAllegation,
    InitDataDigest, InitDataFault, ReportData, ReportDataTooLong, SampleAllegation, SnpAllegation,
    TdxAllegation, Tee, TpmAllegation, UnverifiedEvidence,
};
pub use ledger::Ledger;
pub use policy::AttestationPolicy;
pub use trust_vector::{TrustVector, UnknownClaim};
pub use verdict::{Anchor, Check, CheckOutcome, Claims, Verdict};

use authenticity::Bench;

/// Verifies and appraises `evidence` of one machine in one step, without devices beside it: evidence
/// of these is refused here, and so is none of them where the policy wants some. See
/// [`judge_composite`].
///
/// `now_secs` is the caller's wall clock in seconds since 1970, with which dates are compared.
///
/// # Errors
///
/// [`Refused`] when the evidence is not authentic, with the list of checks made until then. What is
/// authentic but not wanted is `Ok` with [`nitride_kbs::token::EarStatus::Contraindicated`].
pub fn judge(
    evidence: &UnverifiedEvidence<'_>,
    expected: &Expected,
    policy: &AttestationPolicy,
    collateral: &Collateral<'_>,
    now_secs: u64,
    budget: &mut Budget,
) -> Result<Verdict, Refused> {
    let mut ledger = Ledger::new();
    let bench = Bench {
        expected,
        policy,
        collateral,
        now_secs,
        devices_before: &[],
    };
    receive(evidence, policy, budget, &mut ledger)
        .and_then(|allegation| authenticity::verify(allegation, &bench, budget, &mut ledger))
        .map_err(|cause| refused(evidence.tee, cause, &mut ledger))
        .map(|verified| appraisal::appraise(verified, policy, now_secs, budget, ledger))
}

/// As [`judge`], with evidence that came as raw bytes and not in a KBS form: of one machine, or of one
/// device by itself.
///
/// # Errors
///
/// As [`judge`].
pub fn judge_allegation(
    allegation: Allegation,
    expected: &Expected,
    policy: &AttestationPolicy,
    collateral: &Collateral<'_>,
    now_secs: u64,
    budget: &mut Budget,
) -> Result<Verdict, Refused> {
    let mut ledger = Ledger::new();
    let tee = allegation.tee();
    let gate = checks::gate(tee);
    let bench = Bench {
        expected,
        policy,
        collateral,
        now_secs,
        devices_before: &[],
    };
    ledger
        .check(gate.in_policy, policy.admits(tee))
        .and_then(|()| {
            ledger.not_applicable(gate.form);
            // A device by itself has no machine beside which others could be missing.
            if tee == Tee::Nvidia {
                ledger.not_applicable(gate.additional_evidence);
            } else {
                composite::without_devices(policy, &gate, &mut ledger)?;
            }
            authenticity::verify(allegation, &bench, budget, &mut ledger)
        })
        .map_err(|cause| refused(tee, cause, &mut ledger))
        .map(|verified| appraisal::appraise(verified, policy, now_secs, budget, ledger))
}

/// From the KBS form to an allegation, if the policy wants the TEE at all.
fn receive(
    evidence: &UnverifiedEvidence<'_>,
    policy: &AttestationPolicy,
    budget: &mut Budget,
    ledger: &mut Ledger,
) -> Result<Allegation, Refusal> {
    let gate = checks::gate(evidence.tee);
    ledger.check(gate.in_policy, policy.admits(evidence.tee))?;
    let allegation = ledger.check(gate.form, evidence::read(evidence, budget))?;
    if !evidence.additional.is_empty() {
        let refusal = Refusal::AdditionalEvidenceNotJudged;
        return ledger.check(gate.additional_evidence, Err(refusal));
    }
    composite::without_devices(policy, &gate, ledger)?;
    Ok(allegation)
}

fn refused(tee: Tee, cause: Refusal, ledger: &mut Ledger) -> Refused {
    Refused {
        tee,
        checks: std::mem::take(ledger).into_checks(),
        cause,
    }
}

#[cfg(test)]
mod tests;
