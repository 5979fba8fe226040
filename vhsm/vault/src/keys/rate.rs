//! How often one peer may use one key: a token bucket each.

use crate::policy::Rate;
use crate::{Now, Refusal};
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, PoisonError};

/// Buckets at a time. One that is full again says nothing and is dropped; when all say something,
/// a peer without one is refused.
const MAX_BUCKETS: usize = 65_536;
const NANOS_IN_SEC: u64 = 1_000_000_000;
const NANOS_IN_MS: u64 = 1_000_000;

/// The buckets that are not full. Not kept over a restart: then each is full once more.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    hasher: RandomState,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// By key and peer, hashed: two that meet share a bucket, and get less, not more.
    full_at: HashMap<u64, u64>,
    /// When full ones were dropped last, in milliseconds.
    cleared_boot_ms: u64,
}

impl Buckets {
    /// Takes one use out of the bucket of `whose` under `rate`.
    ///
    /// What is kept of a bucket is when it will be full again: each use moves that by one share,
    /// and is refused if it would be later than an empty bucket takes to fill (GCRA).
    pub(super) fn take(&self, whose: impl Hash, rate: Rate, now: Now) -> Result<(), Refusal> {
        if rate.uses == 0 || rate.per_secs == 0 {
            return Err(Refusal::RateLimited);
        }
        let span_nanos = u64::from(rate.per_secs).saturating_mul(NANOS_IN_SEC);
        // Rounded up: a share too long by less than a nanosecond is never a use too many.
        let share_nanos = span_nanos.div_ceil(rate.uses.into());
        let now_nanos = now.boot_ms.saturating_mul(NANOS_IN_MS);
        let end_nanos = now_nanos.saturating_add(span_nanos);
        let whose = self.hasher.hash_one(whose);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.full_at.len() >= MAX_BUCKETS && !table.full_at.contains_key(&whose) {
            table.clear_full(now);
            if table.full_at.len() >= MAX_BUCKETS {
                return Err(Refusal::RateLimited);
            }
        }
        let entry = table.full_at.entry(whose);
        let full_at = match &entry {
            Entry::Occupied(entry) => (*entry.get()).max(now_nanos),
            Entry::Vacant(_) => now_nanos,
        };
        let next = full_at.saturating_add(share_nanos);
        // A nanosecond a use is what rounding up may have added.
        if next > end_nanos.saturating_add(rate.uses.into()) {
            return Err(Refusal::RateLimited);
        }
        entry.insert_entry(next);
        Ok(())
    }

    /// Drops the buckets that are full again.
    pub(super) fn clear_full(&self, now: Now) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.clear_full(now);
    }
}

impl Table {
    /// Once in a while: whoever fills the table must not make each use look through all of it.
    fn clear_full(&mut self, now: Now) {
        const PAUSE_MS: u64 = 100;
        if now.boot_ms.saturating_sub(self.cleared_boot_ms) < PAUSE_MS {
            return;
        }
        self.cleared_boot_ms = now.boot_ms;
        let now_nanos = now.boot_ms.saturating_mul(NANOS_IN_MS);
        self.full_at.retain(|_, full_at| *full_at > now_nanos);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot_ms: u64) -> Now {
        let wall_secs = 0;
        Now { boot_ms, wall_secs }
    }

    fn rate(uses: u32, per_secs: u32) -> Rate {
        Rate { uses, per_secs }
    }

    fn taken(buckets: &Buckets, whose: u32, rate: Rate, boot_ms: u64, tries: u32) -> u32 {
        let tries = (0..tries).map(|_| buckets.take(whose, rate, at(boot_ms)));
        tries.filter(Result::is_ok).count().try_into().unwrap()
    }

    #[test]
    fn a_full_bucket_gives_its_uses_at_once_and_then_its_share() {
        for of in [rate(1, 1), rate(3, 1), rate(7, 60), rate(1000, 3600)] {
            let buckets = Buckets::default();
            let start = 5_000_000;
            assert_eq!(taken(&buckets, 1, of, start, of.uses + 5), of.uses);
            let share_ms = u64::from(of.per_secs) * 1000 / u64::from(of.uses);
            assert_eq!(taken(&buckets, 1, of, start + share_ms + 1, 5), 1, "{of:?}");
            let later = start + 10 * u64::from(of.per_secs) * 1000;
            assert_eq!(taken(&buckets, 1, of, later, of.uses + 5), of.uses);
        }
    }

    #[test]
    fn in_no_span_there_are_more_uses_than_two_buckets_hold() {
        let (buckets, of) = (Buckets::default(), rate(10, 10));
        let all: u32 = (0..10_000)
            .map(|ms| taken(&buckets, 1, of, 1_000_000 + ms, 1))
            .sum();
        assert!((19..=20).contains(&all), "{all}");
    }

    #[test]
    fn each_peer_has_its_own_bucket() {
        let buckets = Buckets::default();
        assert_eq!(taken(&buckets, 1, rate(2, 60), 1_000, 9), 2);
        assert_eq!(taken(&buckets, 2, rate(2, 60), 1_000, 9), 2);
    }

    #[test]
    fn a_rate_of_none_lets_nobody() {
        assert_eq!(taken(&Buckets::default(), 1, rate(0, 60), 1_000, 9), 0);
        assert_eq!(taken(&Buckets::default(), 1, rate(0, 0), 1_000, 9), 0);
        // No policy states it, but whoever owns a wrapping key may write it into what it wraps.
        assert_eq!(taken(&Buckets::default(), 1, rate(5, 0), 1_000, 9), 0);
    }

    #[test]
    fn a_table_that_is_full_refuses_who_has_no_bucket_until_some_are_full_again() {
        let (buckets, of) = (Buckets::default(), rate(2, 60));
        let max = u32::try_from(MAX_BUCKETS).unwrap();
        let mut refused = 0;
        for whose in 0..max + 100 {
            refused += 1 - taken(&buckets, whose, of, 1_000, 1);
        }
        assert_eq!(refused, 100);
        // Who has one goes on.
        assert_eq!(taken(&buckets, 1, of, 1_000, 1), 1);
        assert_eq!(taken(&buckets, max + 1, of, 62_000, 1), 1);
        assert!(buckets.table.lock().unwrap().full_at.len() < 10);
    }
}
