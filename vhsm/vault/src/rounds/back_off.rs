use super::RoundFailure;
use crate::{Now, Want};
use std::collections::HashMap;

/// After the first failure, in milliseconds; each further one doubles it.
const FIRST_MS: u64 = 250;
/// Never more, whatever the courier or the service says: a lie about a failure, or about when to
/// come back, must not keep a key away for long.
const CAP_MS: u64 = 30_000;
/// A failure this long ago, in milliseconds after its back-off ended, is forgotten.
const FORGET_MS: u64 = 60_000;

/// When what failed may be tried again. This is all that is remembered of a failure.
#[derive(Debug, Default)]
pub(super) struct BackOffs {
    by_want: HashMap<Want, BackOff>,
}

#[derive(Debug)]
struct BackOff {
    failures: u32,
    until_boot_ms: u64,
    last: RoundFailure,
}

impl BackOffs {
    /// When `want` may be tried again and how it failed, if that is not now.
    pub(super) fn pending(&self, want: &Want, now: Now) -> Option<(u64, RoundFailure)> {
        let back_off = self.by_want.get(want)?;
        (now.boot_ms < back_off.until_boot_ms)
            .then(|| (back_off.until_boot_ms, back_off.last.clone()))
    }

    /// How the last round for `want` failed, and when the next may begin or might have.
    pub(super) fn last(&self, want: &Want) -> Option<(u64, &RoundFailure)> {
        let back_off = self.by_want.get(want)?;
        Some((back_off.until_boot_ms, &back_off.last))
    }

    /// Notes a failure. `retry_after_ms` is what the service asks for; 0 is unsaid.
    pub(super) fn failed(&mut self, want: Want, last: RoundFailure, retry_after_ms: u32, now: Now) {
        self.by_want
            .retain(|_, old| now.boot_ms < old.until_boot_ms.saturating_add(FORGET_MS));
        let failures = self.by_want.get(&want).map_or(0, |old| old.failures);
        let wait_ms = (FIRST_MS << failures.min(16)).max(retry_after_ms.into());
        let back_off = BackOff {
            failures: failures.saturating_add(1),
            until_boot_ms: now.boot_ms.saturating_add(wait_ms.min(CAP_MS)),
            last,
        };
        self.by_want.insert(want, back_off);
    }

    /// Forgets the failures of `want`.
    pub(super) fn succeeded(&mut self, want: &Want) {
        self.by_want.remove(want);
    }

    /// Forgets every failure.
    pub(super) fn clear(&mut self) {
        self.by_want.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot_ms: u64) -> Now {
        let wall_secs = 0;
        Now { boot_ms, wall_secs }
    }

    fn want() -> Want {
        let name = "gate".into();
        Want::Gate { name }
    }

    fn wait_ms(back_offs: &BackOffs, now: u64) -> u64 {
        let pending = back_offs.pending(&want(), at(now));
        pending.map_or(0, |(until_boot_ms, _)| until_boot_ms - now)
    }

    #[test]
    fn each_failure_doubles_the_wait_up_to_the_cap() {
        let mut back_offs = BackOffs::default();
        let mut now = 1000;
        for expected in [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            back_offs.failed(want(), RoundFailure::TimedOut, 0, at(now));
            assert_eq!(wait_ms(&back_offs, now), expected);
            now += expected;
            assert_eq!(wait_ms(&back_offs, now), 0);
        }
    }

    #[test]
    fn a_courier_cannot_ask_for_more_than_the_cap() {
        let mut back_offs = BackOffs::default();
        back_offs.failed(want(), RoundFailure::TimedOut, 5000, at(0));
        assert_eq!(wait_ms(&back_offs, 0), 5000);
        back_offs.failed(want(), RoundFailure::TimedOut, u32::MAX, at(0));
        assert_eq!(wait_ms(&back_offs, 0), CAP_MS);
    }

    #[test]
    fn a_success_or_a_quiet_minute_forgets_the_failures() {
        let mut back_offs = BackOffs::default();
        for _ in 0..5 {
            back_offs.failed(want(), RoundFailure::TimedOut, 0, at(0));
        }
        back_offs.succeeded(&want());
        back_offs.failed(want(), RoundFailure::TimedOut, 0, at(0));
        assert_eq!(wait_ms(&back_offs, 0), FIRST_MS);
        let later = FIRST_MS + FORGET_MS;
        back_offs.failed(want(), RoundFailure::TimedOut, 0, at(later));
        assert_eq!(wait_ms(&back_offs, later), FIRST_MS);
    }
}
