//! The outcome of a judgement: every check by name, the normalised claims, and the trust vector.

use crate::checks::CheckName;
use crate::evidence::{ReportData, Tee};
use crate::policy::{Coverage, SetOf};
use crate::trust_vector::TrustVector;
use nitride_kbs::token::EarStatus;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One named check and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its number and stable name.
    pub name: CheckName,
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

/// What the evidence says, in the words of the token: the members of its `"<tee>"` object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims(pub(crate) BTreeMap<&'static str, Value>);

impl Claims {
    /// The claims by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    /// One claim.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(crate) fn state(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.insert(name, value.into());
    }

    /// The set of the reference value that matched, where the policy has sets.
    pub(crate) fn state_set(&mut self, set: &SetOf) {
        if let Some(name) = set.name() {
            self.state("reference_set", name);
        }
    }

    /// Which reference value matched, and what it covers: as a list, and one flag a part, since rules
    /// compare no lists.
    pub(crate) fn state_reference(&mut self, name: &str, set: &SetOf, covers: &BTreeSet<Coverage>) {
        self.state("reference_value", name);
        self.state_set(set);
        let list = covers.iter().map(|part| Value::from(part.to_string()));
        self.state("covers", list.collect::<Vec<_>>());
        for (flag, part) in [
            ("covers_firmware", Coverage::Firmware),
            ("covers_kernel", Coverage::Kernel),
            ("covers_initrd", Coverage::Initrd),
            ("covers_command_line", Coverage::CommandLine),
            ("covers_disk", Coverage::Disk),
        ] {
            self.state(flag, covers.contains(&part));
        }
    }
}

/// What vouches for a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// A pinned root of the vendor.
    Vendor,
    /// A key or a root that the policy names: that of a TPM whose maker or host the operator trusts
    /// to say what was booted. It vouches for no hardware.
    Operator,
    /// A root that the policy's `danger-test-anchors` names: it proves nothing.
    Test,
    /// Nothing at all.
    Nobody,
}

/// The one verdict type, whatever the TEE. Only [`crate::appraisal::appraise`] makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub(crate) tee: Tee,
    pub(crate) checks: Vec<Check>,
    pub(crate) claims: Claims,
    pub(crate) vector: TrustVector,
    pub(crate) report_data: ReportData,
    pub(crate) anchor: Anchor,
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
    pub fn report_data(&self) -> &ReportData {
        &self.report_data
    }

    /// What vouches for it.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// Whether anybody can make it: sample evidence, and evidence under a test anchor, which whoever
    /// has its key can make for anything. What is not simulated need not be genuine: a TPM alone is
    /// neither.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        matches!(self.anchor, Anchor::Test | Anchor::Nobody)
    }

    /// Whether the host may look into this TEE (debug policy).
    #[must_use]
    pub fn is_debug(&self) -> bool {
        self.debug
    }

    /// Whether a vendor's hardware vouches for it, it is hidden from its host, and all of it is
    /// wanted. What is simulated, under a test anchor, or open to debugging never is.
    #[must_use]
    pub fn is_genuine(&self) -> bool {
        self.anchor == Anchor::Vendor && !self.debug && self.status() == EarStatus::Affirming
    }

    /// The checks that failed, with their reasons.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.checks.iter().filter_map(|check| match &check.outcome {
            CheckOutcome::Failed(reason) => Some((check.name.name, reason.as_str())),
            _ => None,
        })
    }
}
