//! A bound on what one source asks: a token bucket a source, in a table of bounded size.

use crate::config::ThrottleLimits;
use crate::source::Network;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// More sources at one time share one bucket.
const MAX_SOURCES: usize = 4096;
/// A full table is searched for idle sources this often, and no more.
const SWEEP_INTERVAL_MS: u64 = 1000;
/// Requests are counted in thousandths, so that low rates fill evenly.
const UNIT: u64 = 1000;

/// Buckets by source.
#[derive(Debug)]
pub(crate) struct Throttle {
    limits: ThrottleLimits,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    buckets: HashMap<Network, Bucket>,
    overflow: Option<Bucket>,
    swept_ms: u64,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: u64,
    filled_ms: u64,
}

/// Too many requests; the seconds after which the next may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany {
    pub(crate) retry_after_secs: u64,
}

impl Throttle {
    pub(crate) fn new(limits: ThrottleLimits) -> Self {
        Self {
            limits,
            table: Mutex::default(),
        }
    }

    /// Counts one request of `source` at `now_ms`, a monotonic time.
    pub(crate) fn admit(&self, source: Network, now_ms: u64) -> Result<(), TooMany> {
        // A poisoned table is counts, not invariants.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let table = &mut *table;
        if !table.buckets.contains_key(&source) && table.buckets.len() >= MAX_SOURCES {
            self.sweep(table, now_ms);
        }
        let full = Bucket {
            left: self.capacity(),
            filled_ms: now_ms,
        };
        let has_room = table.buckets.len() < MAX_SOURCES;
        let bucket = match table.buckets.get_mut(&source) {
            Some(bucket) => bucket,
            None if has_room => table.buckets.entry(source).or_insert(full),
            None => table.overflow.get_or_insert(full),
        };
        self.take(bucket, now_ms)
    }

    fn take(&self, bucket: &mut Bucket, now_ms: u64) -> Result<(), TooMany> {
        bucket.left = self.filled(bucket, now_ms);
        bucket.filled_ms = bucket.filled_ms.max(now_ms);
        match bucket.left.checked_sub(UNIT) {
            Some(left) => {
                bucket.left = left;
                Ok(())
            }
            None => {
                let missing = UNIT - bucket.left;
                let per_second = u64::from(self.limits.requests_per_second) * UNIT;
                Err(TooMany {
                    retry_after_secs: missing.div_ceil(per_second).max(1),
                })
            }
        }
    }

    /// A rate of n a second is n thousandths a millisecond.
    fn filled(&self, bucket: &Bucket, now_ms: u64) -> u64 {
        let elapsed_ms = now_ms.saturating_sub(bucket.filled_ms);
        let gained = elapsed_ms.saturating_mul(self.limits.requests_per_second.into());
        bucket.left.saturating_add(gained).min(self.capacity())
    }

    fn capacity(&self) -> u64 {
        u64::from(self.limits.burst) * UNIT
    }

    /// A bucket that has filled up again says nothing that an absent one does not.
    fn sweep(&self, table: &mut Table, now_ms: u64) {
        if now_ms.saturating_sub(table.swept_ms) >= SWEEP_INTERVAL_MS {
            table.swept_ms = now_ms;
            let capacity = self.capacity();
            table
                .buckets
                .retain(|_, bucket| self.filled(bucket, now_ms) < capacity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn throttle() -> Throttle {
        Throttle::new(ThrottleLimits {
            requests_per_second: 2,
            burst: 3,
        })
    }

    fn source(last: u32) -> Network {
        Network::of(Ipv4Addr::from_bits(last).into())
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let throttle = throttle();
        for _ in 0..3 {
            assert_eq!(throttle.admit(source(1), 1000), Ok(()));
        }
        assert_eq!(
            throttle.admit(source(1), 1000),
            Err(TooMany {
                retry_after_secs: 1
            })
        );
        assert!(throttle.admit(source(1), 1499).is_err());
        assert_eq!(throttle.admit(source(1), 1500), Ok(()));
        assert!(throttle.admit(source(1), 1500).is_err());
        assert_eq!(
            throttle.admit(source(2), 1500),
            Ok(()),
            "another source has its own"
        );
    }

    #[test]
    fn a_bucket_never_holds_more_than_the_burst() {
        let throttle = throttle();
        throttle.admit(source(1), 0).unwrap();
        let admitted = (0..10)
            .filter(|_| throttle.admit(source(1), u64::MAX).is_ok())
            .count();
        assert_eq!(admitted, 3);
    }

    #[test]
    fn the_table_is_bounded_and_idle_sources_leave_it() {
        let throttle = throttle();
        for index in 0..10_000 {
            let _ = throttle.admit(source(index), 0);
        }
        assert_eq!(throttle.table.lock().unwrap().buckets.len(), MAX_SOURCES);
        assert!(
            throttle.admit(source(20_000), 10).is_err(),
            "the overflow is shared"
        );
        assert_eq!(throttle.admit(source(20_000), 5000), Ok(()));
        assert_eq!(throttle.table.lock().unwrap().buckets.len(), 1);
    }
}
