//! The outcome of a judgement: every check by name, the normalised claims, and the trust vector.

use crate::evidence::Tee;
use crate::trust_vector::TrustVector;
use nitride_kbs::token::EarStatus;
use serde_json::Value;
use std::collections::BTreeMap;

/// One named check and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// A stable name, the TEE first: `sample.report-data`.
    pub name: &'static str,
    /// How it ended.
    pub outcome: CheckOutcome,
}

/// How a check ended. There is no "skipped": what is not compared is not applicable to this kind
/// of evidence, or waived by a line of the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckOutcome {
    /// The evidence is as expected.
    Passed,
    /// It is not; why, in words for the operator.
    Failed(String),
    /// This kind of evidence has no such property.
    NotApplicable,
    /// The policy says on this line (counted from 1) that it does not matter.
    WaivedByPolicyLine(u32),
}

impl Check {
    pub(crate) fn passed(name: &'static str) -> Self {
        Self {
            name,
            outcome: CheckOutcome::Passed,
        }
    }

    pub(crate) fn failed(name: &'static str, reason: impl Into<String>) -> Self {
        Self {
            name,
            outcome: CheckOutcome::Failed(reason.into()),
        }
    }

    pub(crate) fn not_applicable(name: &'static str) -> Self {
        Self {
            name,
            outcome: CheckOutcome::NotApplicable,
        }
    }

    pub(crate) fn waived(name: &'static str, line: u32) -> Self {
        Self {
            name,
            outcome: CheckOutcome::WaivedByPolicyLine(line),
        }
    }
}

/// What the evidence says, in the words of the token: the members of its `"<tee>"` object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims(pub(crate) BTreeMap<&'static str, Value>);

impl Claims {
    /// The claims by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }
}

/// The one verdict type, whatever the TEE. Only [`crate::appraisal::appraise`] makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub(crate) tee: Tee,
    pub(crate) checks: Vec<Check>,
    pub(crate) claims: Claims,
    pub(crate) vector: TrustVector,
    pub(crate) report_data: [u8; 48],
    pub(crate) simulated: bool,
    pub(crate) debug: bool,
}

impl Verdict {
    /// The TEE that was judged.
    #[must_use]
    pub fn tee(&self) -> Tee {
        self.tee
    }

    /// Every check, in the order in which it was made.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The normalised claims.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The trust vector.
    #[must_use]
    pub fn vector(&self) -> &TrustVector {
        &self.vector
    }

    /// The status that follows from the vector.
    #[must_use]
    pub fn status(&self) -> EarStatus {
        self.vector.status()
    }

    /// The bytes that bind challenge and TEE public key, as compared.
    #[must_use]
    pub fn report_data(&self) -> &[u8; 48] {
        &self.report_data
    }

    /// Whether no hardware vouches for any of it.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.simulated
    }

    /// Whether the host may look into this TEE (debug policy).
    #[must_use]
    pub fn is_debug(&self) -> bool {
        self.debug
    }

    /// The checks that failed, with their reasons.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.checks.iter().filter_map(|check| match &check.outcome {
            CheckOutcome::Failed(reason) => Some((check.name, reason.as_str())),
            _ => None,
        })
    }
}
