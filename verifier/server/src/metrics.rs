//! Figures in OpenMetrics. Labels come from fixed lists alone, so that nobody who asks can make the
//! table grow.

mod exposition;
mod text;

pub(crate) use exposition::exposition;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper ends of the buckets, in microseconds: a GET takes some 300, a handshake with a fleet behind it
/// seconds.
const BOUNDS_US: [u64; 12] = [
    250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 64_000, 250_000, 1_000_000, 4_000_000, 16_000_000,
];

/// Everything that is counted as it happens.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<&'static str, Counted>>,
    attested: Mutex<BTreeMap<Attested, u64>>,
    released: AtomicU64,
    witnessed: Mutex<BTreeMap<&'static str, u64>>,
    reloads: AtomicU64,
    failed_reloads: AtomicU64,
}

/// Requests of one kind.
#[derive(Debug, Clone, Default)]
struct Counted {
    outcomes: BTreeMap<&'static str, u64>,
    buckets: [u64; BOUNDS_US.len() + 1],
    sum_us: u64,
}

/// Verdicts that are counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Attested {
    tee: &'static str,
    status: &'static str,
    simulated: bool,
}

impl Metrics {
    /// Counts a request: what was asked, how it ended (`ok`, or the fault's name), how long it took.
    pub(crate) fn count_request(&self, asked: &'static str, outcome: &'static str, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut requests = locked(&self.requests);
        let counted = requests.entry(asked).or_default();
        *counted.outcomes.entry(outcome).or_default() += 1;
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(bucket) = counted.buckets.get_mut(bucket) {
            *bucket += 1;
        }
        counted.sum_us = counted.sum_us.saturating_add(us);
    }

    /// Counts a verdict on one submodule.
    pub(crate) fn count_verdict(&self, tee: &'static str, status: &'static str, simulated: bool) {
        let attested = Attested {
            tee,
            status,
            simulated,
        };
        *locked(&self.attested).entry(attested).or_default() += 1;
    }

    /// Counts a resource that left.
    pub(crate) fn count_release(&self) {
        self.released.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a head of a vault's audit that was compared, by what was found.
    pub(crate) fn count_witness(&self, found: &'static str) {
        *locked(&self.witnessed).entry(found).or_default() += 1;
    }

    /// Counts a reload that was taken, or that changed nothing.
    pub(crate) fn count_reload(&self, is_taken: bool) {
        let counter = if is_taken {
            &self.reloads
        } else {
            &self.failed_reloads
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counts, not invariants.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
