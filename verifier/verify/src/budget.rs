//! What one judgement may cost. Evidence comes from strangers, before anything about them is known.

use thiserror::Error;

/// The remaining allowance of one judgement. Made per request, spent as the work is done.
#[derive(Debug, Clone)]
pub struct Budget {
    bytes_left: usize,
    depth_limit: usize,
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
}

impl Budget {
    /// Enough for the largest evidence that the KBS protocol carries here: 128 KiB, 8 levels deep.
    #[must_use]
    pub fn for_one_round() -> Self {
        Self::new(128 * 1024, 8)
    }

    /// A budget of `bytes` to read and JSON nested at most `depth` levels.
    #[must_use]
    pub fn new(bytes: usize, depth: usize) -> Self {
        Self {
            bytes_left: bytes,
            depth_limit: depth,
        }
    }

    /// Spends the reading of `json` before it is parsed: its length, and its nesting.
    ///
    /// # Errors
    ///
    /// [`BudgetExceeded::Bytes`] or [`BudgetExceeded::Depth`]; nothing is spent then.
    pub(crate) fn spend_json(&mut self, json: &str) -> Result<(), BudgetExceeded> {
        let needed = json.len();
        let left = self
            .bytes_left
            .checked_sub(needed)
            .ok_or(BudgetExceeded::Bytes {
                needed,
                left: self.bytes_left,
            })?;
        if deepest_nesting(json.as_bytes()) > self.depth_limit {
            return Err(BudgetExceeded::Depth {
                limit: self.depth_limit,
            });
        }
        self.bytes_left = left;
        Ok(())
    }
}

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

    #[test]
    fn bytes_are_spent_once_and_run_out() {
        let mut budget = Budget::new(5, 8);
        assert_eq!(budget.spend_json("{}"), Ok(()));
        assert_eq!(
            budget.spend_json("[1,2]"),
            Err(BudgetExceeded::Bytes { needed: 5, left: 3 })
        );
        assert_eq!(budget.spend_json("{ }"), Ok(()));
    }

    #[test]
    fn deep_nesting_is_refused_before_parsing() {
        let mut budget = Budget::new(100, 2);
        assert_eq!(budget.spend_json("{\"a\":[1]}"), Ok(()));
        assert_eq!(
            budget.spend_json("{\"a\":[[1]]}"),
            Err(BudgetExceeded::Depth { limit: 2 })
        );
    }

    #[test]
    fn brackets_inside_strings_do_not_count() {
        let mut budget = Budget::new(100, 1);
        assert_eq!(budget.spend_json("{\"a\\\"[[[[\":1}"), Ok(()));
    }
}
