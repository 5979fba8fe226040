//! How much of the log a user may fill with what it is refused.
//!
//! A refusal costs a hostile peer microseconds and the log a line, and a log that is full of one
//! user's lines has lost those of the others. So each user has some lines in a row and a few each
//! second; what is left out is counted, and the count is logged.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Lines that may follow each other at once.
const BURST: u64 = 100;
/// After so long one more.
const REFILL_MS: u64 = 250;
/// Users that are counted apart; those beyond share one account.
const MAX_USERS: usize = 1024;

/// Counts the lines of all users. Milliseconds are of CLOCK_BOOTTIME.
#[derive(Debug, Default)]
pub(crate) struct LogBudget {
    accounts: Mutex<HashMap<Option<u32>, Account>>,
}

#[derive(Debug)]
struct Account {
    lines: u64,
    refilled_ms: u64,
    left_out: u64,
}

impl LogBudget {
    /// Whether a line of the user may be written; if not, it is counted. `None` is everybody who
    /// could not be identified.
    pub(crate) fn spend(&self, uid: Option<u32>, now_ms: u64) -> bool {
        let mut accounts = self.accounts();
        let is_counted = accounts.len() < MAX_USERS || accounts.contains_key(&uid);
        let account = accounts
            .entry(uid.filter(|_| is_counted))
            .or_insert_with(|| Account::new(now_ms));
        account.refill(now_ms);
        let left = account.lines.checked_sub(1);
        match left {
            Some(left) => account.lines = left,
            None => account.left_out += 1,
        }
        left.is_some()
    }

    /// Takes the counts of what was left out, and forgets who has been quiet for a while.
    pub(crate) fn collect(&self, now_ms: u64) -> Vec<(Option<u32>, u64)> {
        let mut left_out = Vec::new();
        self.accounts().retain(|uid, account| {
            account.refill(now_ms);
            if account.left_out > 0 {
                left_out.push((*uid, std::mem::take(&mut account.left_out)));
                return true;
            }
            account.lines < BURST
        });
        left_out
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<Option<u32>, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn new(now_ms: u64) -> Self {
        Self {
            lines: BURST,
            refilled_ms: now_ms,
            left_out: 0,
        }
    }

    fn refill(&mut self, now_ms: u64) {
        let more = now_ms.saturating_sub(self.refilled_ms) / REFILL_MS;
        self.lines = self.lines.saturating_add(more).min(BURST);
        self.refilled_ms = self
            .refilled_ms
            .saturating_add(more.saturating_mul(REFILL_MS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(budget: &LogBudget, uid: u32, lines: u64, now_ms: u64) -> u64 {
        (0..lines)
            .filter(|_| budget.spend(Some(uid), now_ms))
            .count() as u64
    }

    #[test]
    fn a_user_that_floods_is_counted_and_the_others_are_written() {
        let budget = LogBudget::default();
        assert_eq!(written(&budget, 1, 1000, 0), BURST);
        assert_eq!(written(&budget, 2, 10, 0), 10);
        assert_eq!(budget.collect(0), [(Some(1), 1000 - BURST)]);
        assert_eq!(budget.collect(0), []);
    }

    #[test]
    fn lines_come_back_with_time_and_not_beyond_the_burst() {
        let budget = LogBudget::default();
        written(&budget, 1, BURST + 1, 0);
        assert_eq!(written(&budget, 1, 10, 2 * REFILL_MS), 2);
        assert_eq!(budget.collect(2 * REFILL_MS), [(Some(1), 9)]);
        assert_eq!(written(&budget, 1, 1000, u64::MAX), BURST);
    }

    #[test]
    fn users_that_were_quiet_are_forgotten_and_no_more_than_the_bound_are_kept() {
        let budget = LogBudget::default();
        for uid in 0..2 * MAX_USERS {
            budget.spend(u32::try_from(uid).ok(), 0);
        }
        assert!(budget.accounts().len() <= MAX_USERS + 1);
        let shared: u64 = budget.collect(0).iter().map(|(_, count)| count).sum();
        assert_eq!(shared, MAX_USERS as u64 - BURST);
        budget.collect(BURST * REFILL_MS);
        assert_eq!(budget.accounts().len(), 0);
    }
}
