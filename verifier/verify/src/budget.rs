//! What one judgement may cost. Evidence comes from strangers, before anything about them is known.

use thiserror::Error;

/// The remaining allowance of one judgement. Made per request, spent as the work is done.
#[derive(Debug, Clone)]
pub struct Budget {
    left: Allowance,
}

/// How much of each kind of work a judgement may cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Bytes of evidence that are read: of JSON, and again of what is decoded from it.
    pub bytes: usize,
    /// Levels of nesting in JSON.
    pub json_depth: usize,
    /// Certificates and revocation lists that are parsed.
    pub certificates: usize,
    /// Signatures that are verified.
    pub signatures: usize,
    /// Entries of event logs that are replayed.
    pub events: usize,
}

/// The work asked for is more than the budget allows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BudgetExceeded {
    /// More bytes of evidence than the judgement may read.
    #[error("read evidence: {needed} bytes asked for, {left} left in the budget")]
    Bytes {
        /// Bytes that the next step needs.
        needed: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// JSON nested more deeply than any evidence form is.
    #[error("read evidence: nested more than {limit} levels deep")]
    Depth {
        /// The limit that was passed.
        limit: usize,
    },
    /// More certificates than any chain has.
    #[error("parse certificates: more than the budget allows")]
    Certificates,
    /// More signatures than any evidence has.
    #[error("verify signatures: more than the budget allows")]
    Signatures,
    /// More log entries than any boot makes.
    #[error("replay events: {needed} asked for, {left} left in the budget")]
    Events {
        /// Entries that the next step needs.
        needed: usize,
        /// Entries that were left.
        left: usize,
    },
}

impl Budget {
    /// Enough for the largest evidence that the KBS protocol carries here.
    #[must_use]
    pub fn for_one_round() -> Self {
        Self::new(Allowance::FOR_ONE_ROUND)
    }

    /// A budget of this much.
    #[must_use]
    pub fn new(allowance: Allowance) -> Self {
        Self { left: allowance }
    }

    /// Allows what `count` further devices need, whose bytes are within those of the round.
    pub(crate) fn allow_devices(&mut self, count: usize) {
        let each = |left: usize| left.saturating_add(count.saturating_mul(FOR_ONE_DEVICE));
        self.left.certificates = each(self.left.certificates);
        self.left.signatures = each(self.left.signatures);
    }

    /// What is left.
    #[must_use]
    pub fn left(&self) -> Allowance {
        self.left
    }

    /// Spends the reading of `json` before it is parsed: its length, and its nesting.
    ///
    /// # Errors
    ///
    /// [`BudgetExceeded::Bytes`] or [`BudgetExceeded::Depth`]; nothing is spent then.
    pub fn spend_json(&mut self, json: &str) -> Result<(), BudgetExceeded> {
        let limit = self.left.json_depth;
        // The length first: nesting is counted over no more than may be read.
        let before = self.left.bytes;
        self.spend_bytes(json.len())?;
        if deepest_nesting(json.as_bytes()) > limit {
            self.left.bytes = before;
            return Err(BudgetExceeded::Depth { limit });
        }
        Ok(())
    }

    /// Spends the reading or the making of `needed` bytes.
    ///
    /// # Errors
    ///
    /// [`BudgetExceeded::Bytes`]; nothing is spent then.
    pub fn spend_bytes(&mut self, needed: usize) -> Result<(), BudgetExceeded> {
        let left = self.left.bytes;
        self.left.bytes = left
            .checked_sub(needed)
            .ok_or(BudgetExceeded::Bytes { needed, left })?;
        Ok(())
    }

    /// Spends the parsing of one certificate or revocation list.
    ///
    /// # Errors
    ///
    /// [`BudgetExceeded::Certificates`].
    pub fn spend_certificate(&mut self) -> Result<(), BudgetExceeded> {
        let left = self.left.certificates.checked_sub(1);
        self.left.certificates = left.ok_or(BudgetExceeded::Certificates)?;
        Ok(())
    }

    /// Spends the verification of one signature.
    ///
    /// # Errors
    ///
    /// [`BudgetExceeded::Signatures`].
    pub fn spend_signature(&mut self) -> Result<(), BudgetExceeded> {
        let left = self.left.signatures.checked_sub(1);
        self.left.signatures = left.ok_or(BudgetExceeded::Signatures)?;
        Ok(())
    }

    /// Spends the replay of `needed` events.
    ///
    /// # Errors
    ///
    /// [`BudgetExceeded::Events`]; nothing is spent then.
    pub fn spend_events(&mut self, needed: usize) -> Result<(), BudgetExceeded> {
        let left = self.left.events;
        self.left.events = left
            .checked_sub(needed)
            .ok_or(BudgetExceeded::Events { needed, left })?;
        Ok(())
    }
}

impl Allowance {
    /// What the largest evidence in the KBS forms needs: a request has at most 1 MiB, of which an
    /// event log in base64 may be most.
    pub const FOR_ONE_ROUND: Self = Self {
        bytes: 2 << 20,
        json_depth: 8,
        certificates: 32,
        signatures: 32,
        events: 4096,
    };
}

/// A chain of five certificates, each signed, and the report's signature.
const FOR_ONE_DEVICE: usize = 6;

/// Counts brackets outside strings. Malformed text may count wrongly; the parser refuses it later.
fn deepest_nesting(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    let (mut in_string, mut escaped) = (false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth = depth.saturating_add(1);
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(bytes: usize, json_depth: usize) -> Budget {
        Budget::new(Allowance {
            bytes,
            json_depth,
            certificates: 1,
            signatures: 1,
            events: 3,
        })
    }

    #[test]
    fn bytes_are_spent_once_and_run_out() {
        let mut budget = budget(5, 8);
        assert_eq!(budget.spend_json("{}"), Ok(()));
        let spent = Err(BudgetExceeded::Bytes { needed: 5, left: 3 });
        assert_eq!(budget.spend_json("[1,2]"), spent);
        assert_eq!(budget.spend_bytes(5), spent);
        assert_eq!(budget.spend_json("{ }"), Ok(()));
    }

    #[test]
    fn deep_nesting_is_refused_before_parsing() {
        let mut budget = budget(100, 2);
        assert_eq!(budget.spend_json("{\"a\":[1]}"), Ok(()));
        let left = budget.left();
        assert_eq!(
            budget.spend_json("{\"a\":[[1]]}"),
            Err(BudgetExceeded::Depth { limit: 2 })
        );
        assert_eq!(budget.left(), left);
    }

    #[test]
    fn brackets_inside_strings_do_not_count() {
        let mut budget = budget(100, 1);
        assert_eq!(budget.spend_json("{\"a\\\"[[[[\":1}"), Ok(()));
    }

    #[test]
    fn each_device_is_allowed_its_chain_and_no_more_bytes() {
        let mut budget = budget(5, 8);
        budget.allow_devices(2);
        let left = budget.left();
        assert_eq!((left.certificates, left.signatures), (13, 13));
        assert_eq!((left.bytes, left.events), (5, 3));
    }

    #[test]
    fn each_kind_of_work_runs_out_by_its_own_name() {
        let mut budget = budget(0, 0);
        assert_eq!(budget.spend_certificate(), Ok(()));
        assert_eq!(
            budget.spend_certificate(),
            Err(BudgetExceeded::Certificates)
        );
        assert_eq!(budget.spend_signature(), Ok(()));
        assert_eq!(budget.spend_signature(), Err(BudgetExceeded::Signatures));
        assert_eq!(budget.spend_events(2), Ok(()));
        assert_eq!(
            budget.spend_events(2),
            Err(BudgetExceeded::Events { needed: 2, left: 1 })
        );
    }
}
