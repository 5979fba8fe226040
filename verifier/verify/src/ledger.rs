//! Where checks are written down while they are made.
//!
//! Authenticity ends at its first failure ([`Ledger::require`], [`Ledger::check`]); appraisal makes
//! every check, whatever the one before said ([`Ledger::want`]).

use crate::authenticity::Refusal;
use crate::checks::CheckName;
use crate::policy::Wanted;
use crate::strict_toml::Stated;
use crate::verdict::{Check, CheckOutcome};

/// The checks made so far, in order.
#[derive(Debug, Default)]
pub struct Ledger {
    checks: Vec<Check>,
}

impl Ledger {
    /// Nothing is checked yet.
    #[must_use]
    pub fn new() -> Self {
        // No TEE has many more checks; growing step by step shows in the time of a judgement.
        Self {
            checks: Vec::with_capacity(96),
        }
    }

    /// The evidence is as expected.
    pub fn pass(&mut self, name: CheckName) {
        self.enter(name, CheckOutcome::Passed);
    }

    /// It is not; `reason` is for the operator.
    pub fn fail(&mut self, name: CheckName, reason: impl Into<String>) {
        self.enter(name, CheckOutcome::Failed(reason.into()));
    }

    /// Evidence of this kind has no such property.
    pub fn not_applicable(&mut self, name: CheckName) {
        self.enter(name, CheckOutcome::NotApplicable);
    }

    /// The policy says on `line` that it does not matter.
    pub fn waive(&mut self, name: CheckName, line: u32) {
        self.enter(name, CheckOutcome::WaivedByPolicyLine(line));
    }

    /// A check of authenticity: refuses unless `holds`.
    ///
    /// # Errors
    ///
    /// The refusal, which is written down as well.
    pub fn require(
        &mut self,
        name: CheckName,
        holds: bool,
        refusal: impl FnOnce() -> Refusal,
    ) -> Result<(), Refusal> {
        self.check(name, if holds { Ok(()) } else { Err(refusal()) })
    }

    /// A check of authenticity whose work is done: its value, or the refusal.
    ///
    /// # Errors
    ///
    /// The refusal, which is written down as well.
    pub fn check<T>(
        &mut self,
        name: CheckName,
        result: Result<T, impl Into<Refusal>>,
    ) -> Result<T, Refusal> {
        match result {
            Ok(value) => {
                self.pass(name);
                Ok(value)
            }
            Err(refusal) => {
                let refusal = refusal.into();
                self.fail(name, refusal.told());
                Err(refusal)
            }
        }
    }

    /// Work that comes before a check: if it fails, the check has failed, and nothing is written
    /// down if it does not.
    ///
    /// # Errors
    ///
    /// The refusal, which is written down as well.
    pub fn before<T>(
        &mut self,
        name: CheckName,
        result: Result<T, impl Into<Refusal>>,
    ) -> Result<T, Refusal> {
        match result {
            Ok(value) => Ok(value),
            Err(refusal) => self.check(name, Err(refusal)),
        }
    }

    /// A check of appraisal: waived by its line, or held against what the policy wants. Returns
    /// whether it did not fail.
    pub fn want<T>(
        &mut self,
        name: CheckName,
        wanted: &Stated<Wanted<T>>,
        holds: impl FnOnce(&T) -> Result<(), String>,
    ) -> bool {
        match &wanted.value {
            Wanted::Any => {
                self.waive(name, wanted.line);
                true
            }
            Wanted::Is(value) => self.hold(name, wanted.line, holds(value)),
        }
    }

    /// A check of appraisal that nothing waives, against what policy line `line` says.
    pub fn hold(&mut self, name: CheckName, line: u32, result: Result<(), String>) -> bool {
        match result {
            Ok(()) => {
                self.pass(name);
                true
            }
            Err(reason) => {
                self.fail(name, format!("{reason} (policy line {line})"));
                false
            }
        }
    }

    /// What was written down.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// What was written down, at the end.
    #[must_use]
    pub fn into_checks(self) -> Vec<Check> {
        self.checks
    }

    fn enter(&mut self, name: CheckName, outcome: CheckOutcome) {
        self.checks.push(Check { name, outcome });
    }
}
