//! How often one thing is asked for, and how long is waited in between. Pure: time is an argument.

use super::Limits;
use std::time::Duration;

/// What the first wait is, where the service names none; each one doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// What is left of it for one request.
#[derive(Debug)]
pub(crate) struct Patience {
    attempts_left: u32,
    wait_left: Duration,
    next_wait: Duration,
}

impl Patience {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            attempts_left: limits.attempts,
            wait_left: limits.max_wait,
            next_wait: FIRST_WAIT.min(limits.max_wait),
        }
    }

    /// How long to wait before the next attempt, after one that failed in a way that passes; `None`
    /// to give up. A service that wants us to wait for longer than there is patience is not asked
    /// again early: that is what it does not want.
    pub(crate) fn after_failure(&mut self, retry_after: Option<Duration>) -> Option<Duration> {
        self.attempts_left = self.attempts_left.saturating_sub(1);
        if self.attempts_left == 0 {
            return None;
        }
        let wait = retry_after.unwrap_or(self.next_wait);
        self.wait_left = self.wait_left.checked_sub(wait)?;
        self.next_wait = self.next_wait.saturating_mul(2);
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(attempts: u32, max_wait_secs: u64) -> Patience {
        Patience::new(&Limits {
            attempts,
            max_wait: Duration::from_secs(max_wait_secs),
            ..Limits::default()
        })
    }

    #[test]
    fn waits_double_until_attempts_or_patience_end() {
        let mut many = patience(4, 100);
        let waits: Vec<_> = (0..4).map(|_| many.after_failure(None)).collect();
        let secs = |secs| Some(Duration::from_secs(secs));
        assert_eq!(waits, [secs(1), secs(2), secs(4), None]);
        let mut short = patience(100, 2);
        assert_eq!(short.after_failure(None), secs(1));
        assert_eq!(short.after_failure(None), None);
    }

    #[test]
    fn what_the_service_says_is_waited_for_within_the_bound_and_not_cut_short() {
        let mut patience = patience(9, 60);
        let asked = Some(Duration::from_secs(45));
        assert_eq!(patience.after_failure(asked), asked);
        assert_eq!(patience.after_failure(asked), None);
        let mut never = self::patience(9, 60);
        assert_eq!(never.after_failure(Some(Duration::MAX)), None);
    }
}
