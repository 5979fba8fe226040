use nitride_protocol::{Operation, Status};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// More than processors that serve at a time would be of no use; each takes some 20 KiB.
const SHARDS: usize = 8;
/// The operations, and one place for numbers that are none.
const OPERATIONS: usize = Operation::ALL.len() + 1;
const STATUSES: usize = Status::ALL.len();

/// Upper ends of the latencies that are told apart, in nanoseconds; one place more is for what took
/// longer. A signature takes tens of microseconds, an RSA key to generate seconds.
pub(super) const BOUNDS_NS: [u64; 14] = [
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    5_000_000,
    20_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
];
/// The places of a latency.
pub(super) const BUCKETS: usize = BOUNDS_NS.len() + 1;

/// Counts of requests, spread so that threads do not wait for one another.
#[derive(Debug)]
pub(super) struct Shards {
    shards: Box<[Shard]>,
}

#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    of_operation: [OfOperation; OPERATIONS],
}

#[derive(Debug)]
struct OfOperation {
    statuses: [AtomicU64; STATUSES],
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

/// The counts of one operation over all shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counted {
    /// At the index of the status's number.
    pub(super) statuses: [u64; STATUSES],
    pub(super) buckets: [u64; BUCKETS],
    pub(super) sum_ns: u64,
}

impl Default for Shards {
    fn default() -> Self {
        let shard = |_| Shard {
            of_operation: std::array::from_fn(|_| OfOperation {
                statuses: std::array::from_fn(|_| AtomicU64::new(0)),
                buckets: std::array::from_fn(|_| AtomicU64::new(0)),
                sum_ns: AtomicU64::new(0),
            }),
        };
        Self {
            shards: (0..SHARDS).map(shard).collect(),
        }
    }
}

impl Shards {
    pub(super) fn count(
        &self,
        link: u64,
        operation: Option<Operation>,
        status: Status,
        took: Duration,
    ) {
        let shard = usize::try_from(link % SHARDS as u64).unwrap_or(0);
        let place = operation.map_or(OPERATIONS - 1, |known| usize::from(known.to_wire()));
        let shard = self.shards.get(shard);
        let Some(counts) = shard.and_then(|shard| shard.of_operation.get(place)) else {
            return;
        };
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_NS.partition_point(|bound| *bound < ns);
        if let Some(count) = counts.statuses.get(usize::from(status.to_wire())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(count) = counts.buckets.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        counts.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Every operation that was asked for, with its counts.
    pub(super) fn collect(&self) -> impl Iterator<Item = (&'static str, Counted)> + '_ {
        let names = Operation::ALL.into_iter().map(Operation::as_str);
        let counted = |place: usize| {
            let all = || {
                self.shards
                    .iter()
                    .filter_map(move |shard| shard.of_operation.get(place))
            };
            Counted {
                statuses: std::array::from_fn(|at| sum(all(), |counts| counts.statuses.get(at))),
                buckets: std::array::from_fn(|at| sum(all(), |counts| counts.buckets.get(at))),
                sum_ns: sum(all(), |counts| Some(&counts.sum_ns)),
            }
        };
        names
            .chain(["unknown"])
            .enumerate()
            .map(move |(place, name)| (name, counted(place)))
            .filter(|(_, counted)| counted.buckets.iter().any(|count| *count > 0))
    }
}

fn sum<'a>(
    all: impl Iterator<Item = &'a OfOperation>,
    count: impl Fn(&'a OfOperation) -> Option<&'a AtomicU64>,
) -> u64 {
    all.filter_map(count)
        .map(|count| count.load(Ordering::Relaxed))
        .fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_all_connections_are_added_up() {
        let shards = Shards::default();
        for link in 0..100 {
            let took = Duration::from_nanos(2_000 + link % 2);
            shards.count(link, Some(Operation::Sign), Status::Ok, took);
        }
        shards.count(0, None, Status::UnknownOperation, Duration::MAX);
        let counted: Vec<_> = shards.collect().collect();
        assert_eq!(counted.len(), 2);
        let (name, sign) = &counted[0];
        assert_eq!(*name, "sign");
        assert_eq!(sign.statuses[0], 100);
        assert_eq!(sign.buckets[..2], [50, 50]);
        assert_eq!(sign.sum_ns, 200_050);
        assert_eq!(counted[1].0, "unknown");
        assert_eq!(counted[1].1.buckets[BUCKETS - 1], 1);
    }
}
