//! Figures for whoever looks after the machine, in OpenMetrics, over HTTP on a Unix socket.
//!
//! What every request adds to is spread over shards, so that two threads seldom write to one cache
//! line; everything else is read when somebody asks.

mod exposition;
mod serve;
mod shards;
mod text;

pub(crate) use serve::serve_metrics;

use nitride_protocol::{KeyType, Operation, Status};
use nitride_vault::audit::{Use, Uses};
use shards::Shards;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Keys whose uses are counted by name, where that is configured; those beyond are not named.
const MAX_NAMES: usize = 1024;

/// Everything that is counted as it happens.
#[derive(Debug)]
pub(crate) struct Metrics {
    shards: Shards,
    orders: AtomicU64,
    settled: [AtomicU64; Status::ALL.len()],
    /// `None` where keys are not named.
    names: Option<Mutex<BTreeMap<NamedUse, u64>>>,
}

/// Uses that are counted by the key's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct NamedUse {
    key: String,
    operation: &'static str,
    outcome: &'static str,
}

impl Metrics {
    /// Nothing counted yet.
    pub(crate) fn new(key_names: bool) -> Self {
        Self {
            shards: Shards::default(),
            orders: AtomicU64::new(0),
            settled: std::array::from_fn(|_| AtomicU64::new(0)),
            names: key_names.then(Mutex::default),
        }
    }

    /// Counts a request of the connection `link`: what was asked, and the type of the key that was
    /// used for it.
    pub(crate) fn count(
        &self,
        link: u64,
        asked: (Option<Operation>, Option<KeyType>),
        status: Status,
        took: Duration,
    ) {
        self.shards.count(link, asked, status, took);
    }

    /// Counts a round that was ordered.
    pub(crate) fn count_order(&self) {
        self.orders.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what a round brought, or not.
    pub(crate) fn count_settled(&self, status: Status) {
        if let Some(count) = self.settled.get(usize::from(status.to_wire())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts uses by name, where names are wanted.
    pub(crate) fn add_uses(&self, uses: &Uses) {
        let Some(mut names) = self.names() else {
            return;
        };
        for (used, count) in uses.iter() {
            let named = NamedUse::of(used);
            if names.len() < MAX_NAMES || names.contains_key(&named) {
                *names.entry(named).or_default() += count;
            }
        }
    }

    fn names(&self) -> Option<MutexGuard<'_, BTreeMap<NamedUse, u64>>> {
        let names = self.names.as_ref()?;
        Some(names.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl NamedUse {
    fn of(used: &Use) -> Self {
        let key = used.key.as_ref();
        Self {
            key: key.map_or("", |key| key.as_str()).to_owned(),
            operation: used.operation.as_str(),
            outcome: used.status.as_str(),
        }
    }
}
