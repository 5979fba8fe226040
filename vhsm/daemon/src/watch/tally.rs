use nitride_protocol::{KeyName, KeyNameBuf, Operation, Status};
use nitride_vault::audit::{Use, UsePeer, Uses};
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Uses that one connection tells apart before it forgets the oldest.
const MAX_SLOTS: usize = 64;
/// Counters that one connection may begin in a second.
const MAX_BEGUN: usize = 256;
/// Counters of all connections; beyond, uses are counted without their keys.
const MAX_COUNTERS: usize = 16_384;

/// Every counter that is written to, or was since it was looked at last.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    counters: Mutex<Vec<(Arc<Counter>, u64)>>,
    /// How often they were collected.
    seconds: AtomicU64,
}

/// How often one thing was done. One thread writes it, without a lock and without an atomic
/// addition; one reads it, once a second.
#[derive(Debug)]
struct Counter {
    used: Use,
    count: AtomicU64,
}

/// What one connection's thread counts.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    peer: Option<Arc<UsePeer>>,
    /// The one used last is first.
    slots: Vec<Arc<Counter>>,
    /// For uses whose keys are too many.
    without_keys: Vec<Arc<Counter>>,
    /// In which second counters were begun last, and how many.
    begun: (u64, usize),
}

/// One use, as a thread has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noted<'n> {
    pub(crate) key: Option<KeyName<'n>>,
    pub(crate) version: Option<u32>,
    pub(crate) operation: Operation,
    pub(crate) status: Status,
}

impl Counter {
    fn is_of(&self, noted: &Noted<'_>) -> bool {
        let used = &self.used;
        used.operation == noted.operation
            && used.status == noted.status
            && used.version == noted.version
            && used.key.as_ref().map(KeyNameBuf::as_str) == noted.key.map(KeyName::as_str)
    }

    fn add_one(&self) {
        // Nobody else writes: no need for an addition that the processors agree on.
        let count = self.count.load(Ordering::Relaxed);
        self.count.store(count.wrapping_add(1), Ordering::Relaxed);
    }
}

impl Tally {
    /// Counts one use by the peer that `who` says, which is asked once.
    pub(crate) fn add(
        &mut self,
        counters: &Counters,
        who: impl FnOnce() -> UsePeer,
        noted: &Noted<'_>,
    ) {
        let found = self.slots.iter().position(|slot| slot.is_of(noted));
        if let Some(place) = found {
            self.slots.swap(0, place);
        } else {
            let peer = self.peer.get_or_insert_with(|| Arc::new(who()));
            let used = Use {
                peer: Arc::clone(peer),
                key: noted.key.map(KeyName::to_owned),
                version: noted.version,
                operation: noted.operation,
                status: noted.status,
            };
            if !self.may_begin(counters) {
                return self.add_without_key(counters, &used);
            }
            let counter = match counters.enter(used) {
                Ok(counter) => counter,
                Err(used) => return self.add_without_key(counters, &used),
            };
            self.slots.truncate(MAX_SLOTS - 1);
            self.slots.push(counter);
            let last = self.slots.len() - 1;
            self.slots.swap(0, last);
        }
        if let Some(slot) = self.slots.first() {
            slot.add_one();
        }
    }

    /// For when there are too many counters: one for all keys.
    fn add_without_key(&mut self, counters: &Counters, used: &Use) {
        let used = used.without_key();
        let found = self.without_keys.iter().find(|slot| slot.used == used);
        match found {
            Some(slot) => slot.add_one(),
            None => {
                let counter = counters.enter_anyway(used);
                counter.add_one();
                self.without_keys.push(counter);
            }
        }
    }

    fn may_begin(&mut self, counters: &Counters) -> bool {
        let second = counters.seconds.load(Ordering::Relaxed);
        let (seen, begun) = &mut self.begun;
        if *seen != second {
            (*seen, *begun) = (second, 0);
        }
        *begun += 1;
        *begun <= MAX_BEGUN
    }
}

impl Counters {
    fn enter(&self, used: Use) -> Result<Arc<Counter>, Use> {
        if self.all().len() >= MAX_COUNTERS {
            return Err(used);
        }
        Ok(self.enter_anyway(used))
    }

    fn enter_anyway(&self, used: Use) -> Arc<Counter> {
        let counter = Arc::new(Counter {
            used,
            count: AtomicU64::new(0),
        });
        self.all().push((Arc::clone(&counter), 0));
        counter
    }

    /// What was counted since this was called last. Counters that nobody writes any more go.
    pub(crate) fn collect(&self) -> Uses {
        let mut uses = Uses::default();
        self.seconds.fetch_add(1, Ordering::Relaxed);
        self.all().retain_mut(|(counter, seen)| {
            // Before the count: who let go of it has counted all that it will.
            let is_written = Arc::strong_count(counter) > 1;
            fence(Ordering::Acquire);
            let count = counter.count.load(Ordering::Relaxed);
            let more = count.wrapping_sub(std::mem::replace(seen, count));
            if more > 0 {
                uses.add(&counter.used, more);
            }
            is_written
        });
        uses
    }

    fn all(&self) -> MutexGuard<'_, Vec<(Arc<Counter>, u64)>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who() -> UsePeer {
        UsePeer {
            uid: 1,
            pid: 2,
            unit: None,
        }
    }

    fn noted(key: &str) -> Noted<'_> {
        Noted {
            key: Some(KeyName::parse(key).unwrap()),
            version: Some(1),
            operation: Operation::Sign,
            status: Status::Ok,
        }
    }

    fn total(uses: Uses) -> u64 {
        uses.into_sorted().iter().map(|(_, count)| count).sum()
    }

    #[test]
    fn uses_are_counted_by_what_they_are_and_once() {
        let counters = Counters::default();
        let mut tally = Tally::default();
        for _ in 0..10 {
            tally.add(&counters, who, &noted("a"));
            tally.add(&counters, who, &noted("b"));
        }
        let uses = counters.collect().into_sorted();
        let counts: Vec<u64> = uses.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [10, 10]);
        assert!(counters.collect().is_empty());
        tally.add(&counters, who, &noted("a"));
        assert_eq!(total(counters.collect()), 1);
    }

    #[test]
    fn what_a_connection_counted_before_it_ended_is_not_lost() {
        let counters = Counters::default();
        let mut tally = Tally::default();
        tally.add(&counters, who, &noted("a"));
        drop(tally);
        assert_eq!(total(counters.collect()), 1);
        assert_eq!(counters.all().len(), 0);
    }

    #[test]
    fn a_peer_that_walks_over_many_keys_is_counted_in_bounded_memory() {
        let counters = Counters::default();
        let mut tally = Tally::default();
        let uses = 2 * MAX_BEGUN as u64;
        for number in 0..uses {
            tally.add(&counters, who, &noted(&format!("k{number}")));
        }
        assert!(tally.slots.len() <= MAX_SLOTS);
        assert_eq!(counters.all().len(), MAX_BEGUN + 1);
        assert_eq!(total(counters.collect()), uses);
        assert!(counters.all().len() <= MAX_SLOTS + 1);
        // In the next second its keys are told apart again.
        tally.add(&counters, who, &noted("z"));
        let named = counters.collect().into_sorted();
        assert!(named[0].0.key.is_some());
    }

    #[test]
    fn threads_count_at_a_time_without_losing_any() {
        let counters = Counters::default();
        let sum = std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut tally = Tally::default();
                    for number in 0..10_000 {
                        tally.add(&counters, who, &noted(["a", "b", "c"][number % 3]));
                    }
                });
            }
            (0..100).map(|_| total(counters.collect())).sum::<u64>()
        });
        assert_eq!(sum + total(counters.collect()), 40_000);
    }
}
