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

pub mod appraisal;
pub mod authenticity;
mod budget;
mod ear;
mod evidence;
pub mod policy;
pub mod strict_toml;
mod trust_vector;
mod verdict;

pub use authenticity::{Refusal, Refused, VerifiedEvidence};
pub use budget::{Budget, BudgetExceeded};
pub use evidence::{Expected, Tee, UnverifiedEvidence};
pub use policy::AttestationPolicy;
pub use trust_vector::TrustVector;
pub use verdict::{Check, CheckOutcome, Claims, Verdict};

/// Verifies and appraises `evidence` in one step.
///
/// `now_secs` is the caller's wall clock in seconds since 1970; `sample` evidence carries no dates,
/// so that nothing compares it yet, but every kind with certificates will.
///
/// # Errors
///
/// [`Refused`] when the evidence is not authentic, with the list of checks made until then. What is
/// authentic but not wanted is `Ok` with [`nitride_kbs::token::EarStatus::Contraindicated`].
pub fn judge(
    evidence: &UnverifiedEvidence<'_>,
    expected: &Expected,
    policy: &AttestationPolicy,
    now_secs: u64,
    budget: &mut Budget,
) -> Result<Verdict, Refused> {
    let verified = authenticity::verify(evidence, expected, &policy.anchors(), now_secs, budget)?;
    Ok(appraisal::appraise(verified, policy))
}

#[cfg(test)]
mod tests;
