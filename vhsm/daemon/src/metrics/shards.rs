use nitride_protocol::{KeyType, Operation, Status};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// More than processors that serve at a time would be of no use; each takes some 13 KiB, and half
/// of one for what is asked of it.
const SHARDS: usize = 8;
/// The operations, and one place for numbers that are none.
const OPERATIONS: usize = Operation::ALL.len() + 1;
const STATUSES: usize = Status::ALL.len();
/// The types of keys, and one place for what no key was used for.
const KEY_TYPES: usize = KeyType::ALL.len() + 1;

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
struct Shard {
    of_operation: [[OnceLock<Box<Counts>>; KEY_TYPES]; OPERATIONS],
}

/// The counts of one operation with one type of keys; made when it is asked for first, since of all
/// that there could be few ever are.
#[derive(Debug)]
#[repr(align(128))]
struct Counts {
    statuses: [AtomicU64; STATUSES],
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

/// The same over all shards.
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
            of_operation: std::array::from_fn(|_| std::array::from_fn(|_| OnceLock::new())),
        };
        Self {
            shards: (0..SHARDS).map(shard).collect(),
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            statuses: std::array::from_fn(|_| AtomicU64::new(0)),
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            sum_ns: AtomicU64::new(0),
        }
    }
}

impl Shards {
    pub(super) fn count(
        &self,
        link: u64,
        (operation, key_type): (Option<Operation>, Option<KeyType>),
        status: Status,
        took: Duration,
    ) {
        let shard = usize::try_from(link % SHARDS as u64).unwrap_or(0);
        let place = operation.map_or(OPERATIONS - 1, |known| usize::from(known.to_wire()));
        let of_type = key_type.map_or(KEY_TYPES - 1, |known| known as usize);
        let shard = self.shards.get(shard);
        let of_operation = shard.and_then(|shard| shard.of_operation.get(place));
        let Some(counts) = of_operation.and_then(|of_types| of_types.get(of_type)) else {
            return;
        };
        let counts = counts.get_or_init(Box::default);
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

    /// Every operation that was asked for, by the type of the keys that it used, with its counts.
    pub(super) fn collect(&self) -> impl Iterator<Item = (Named, Counted)> + '_ {
        let operations = Operation::ALL.into_iter().map(Operation::as_str);
        let all = operations.chain(["unknown"]).enumerate();
        all.flat_map(move |(place, operation)| {
            let types = KeyType::ALL.into_iter().map(KeyType::as_str);
            types
                .chain(["none"])
                .enumerate()
                .map(move |(of_type, key_type)| {
                    let named = Named {
                        operation,
                        key_type,
                    };
                    (named, self.counted(place, of_type))
                })
        })
        .filter(|(_, counted)| counted.buckets.iter().any(|count| *count > 0))
    }

    fn counted(&self, place: usize, of_type: usize) -> Counted {
        let all = || {
            let of_operation = self
                .shards
                .iter()
                .filter_map(move |shard| shard.of_operation.get(place));
            of_operation.filter_map(move |of_types| of_types.get(of_type)?.get().map(|it| &**it))
        };
        Counted {
            statuses: std::array::from_fn(|at| sum(all(), |counts| counts.statuses.get(at))),
            buckets: std::array::from_fn(|at| sum(all(), |counts| counts.buckets.get(at))),
            sum_ns: sum(all(), |counts| Some(&counts.sum_ns)),
        }
    }
}

/// What counts are of, as labels have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) operation: &'static str,
    /// The type of the key that was used; `none` where no key was.
    pub(super) key_type: &'static str,
}

fn sum<'a>(
    all: impl Iterator<Item = &'a Counts>,
    count: impl Fn(&'a Counts) -> Option<&'a AtomicU64>,
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
            let signed = (Some(Operation::Sign), Some(KeyType::EcP256));
            shards.count(link, signed, Status::Ok, took);
        }
        let refused = (Some(Operation::Sign), None);
        shards.count(1, refused, Status::Denied, Duration::ZERO);
        shards.count(0, (None, None), Status::UnknownOperation, Duration::MAX);
        let counted: Vec<_> = shards.collect().collect();
        assert_eq!(counted.len(), 3);
        let (named, sign) = &counted[0];
        assert_eq!((named.operation, named.key_type), ("sign", "ec-p256"));
        assert_eq!(sign.statuses[0], 100);
        assert_eq!(sign.buckets[..2], [50, 50]);
        assert_eq!(sign.sum_ns, 200_050);
        let (named, refused) = &counted[1];
        assert_eq!((named.operation, named.key_type), ("sign", "none"));
        assert_eq!(refused.statuses.iter().sum::<u64>(), 1);
        assert_eq!(counted[2].0.operation, "unknown");
        assert_eq!(counted[2].1.buckets[BUCKETS - 1], 1);
    }

    #[test]
    fn every_type_of_keys_has_its_place() {
        for (place, key_type) in KeyType::ALL.into_iter().enumerate() {
            assert_eq!(key_type as usize, place);
        }
    }
}
