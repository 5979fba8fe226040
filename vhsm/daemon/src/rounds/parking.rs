//! Who waits for what, and until when. Pure: the moment is an argument.

use nitride_vault::Want;
use std::collections::{BTreeSet, HashMap};

/// Requests that hold no thread while they wait, found by what they wait for and by their
/// deadline.
///
/// `T` is what has to be kept of a request. Milliseconds are of CLOCK_BOOTTIME.
#[derive(Debug)]
pub(crate) struct ParkingLot<T> {
    waiting: HashMap<Want, BTreeSet<u64>>,
    parked: HashMap<u64, Parked<T>>,
    /// Deadline and ticket.
    deadlines: BTreeSet<(u64, u64)>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Parked<T> {
    want: Want,
    deadline_ms: u64,
    kept: T,
}

impl<T> Default for ParkingLot<T> {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            parked: HashMap::new(),
            deadlines: BTreeSet::new(),
            next_ticket: 0,
        }
    }
}

impl<T> ParkingLot<T> {
    /// Keeps `kept` until `want` settles or the deadline passes.
    pub(crate) fn park(&mut self, want: Want, deadline_ms: u64, kept: T) {
        let ticket = self.next_ticket;
        // Never reached: at a million a second it would take half a million years.
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.waiting.entry(want.clone()).or_default().insert(ticket);
        self.deadlines.insert((deadline_ms, ticket));
        let parked = Parked {
            want,
            deadline_ms,
            kept,
        };
        self.parked.insert(ticket, parked);
    }

    /// Everyone who waited for `want`, in the order they came.
    pub(crate) fn settle(&mut self, want: &Want) -> Vec<T> {
        let tickets = self.waiting.remove(want).unwrap_or_default();
        tickets
            .into_iter()
            .filter_map(|ticket| self.take(ticket))
            .collect()
    }

    /// Everyone whose deadline has come, earliest first.
    pub(crate) fn expire(&mut self, now_ms: u64) -> Vec<T> {
        let mut expired = Vec::new();
        while let Some(&(deadline_ms, ticket)) = self.deadlines.first() {
            if deadline_ms > now_ms {
                break;
            }
            // Always there: both are written and removed together. Were it not, this ends anyway.
            self.deadlines.remove(&(deadline_ms, ticket));
            expired.extend(self.take(ticket));
        }
        expired
    }

    /// Everyone, in the order they came.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        self.remove_where(|_| true)
    }

    /// Everyone of whom `gone` says so, in the order they came.
    pub(crate) fn remove_where(&mut self, gone: impl Fn(&T) -> bool) -> Vec<T> {
        let mut tickets: Vec<u64> = self
            .parked
            .iter()
            .filter(|(_, parked)| gone(&parked.kept))
            .map(|(ticket, _)| *ticket)
            .collect();
        tickets.sort_unstable();
        tickets
            .into_iter()
            .filter_map(|ticket| self.take(ticket))
            .collect()
    }

    /// When [`ParkingLot::expire`] has something to do next.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.parked.len()
    }

    fn take(&mut self, ticket: u64) -> Option<T> {
        let parked = self.parked.remove(&ticket)?;
        self.deadlines.remove(&(parked.deadline_ms, ticket));
        if let Some(tickets) = self.waiting.get_mut(&parked.want) {
            tickets.remove(&ticket);
            if tickets.is_empty() {
                self.waiting.remove(&parked.want);
            }
        }
        Some(parked.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(name: &str) -> Want {
        Want::Gate { name: name.into() }
    }

    #[test]
    fn settling_wakes_those_who_waited_for_it_in_order() {
        let mut lot = ParkingLot::default();
        lot.park(gate("a"), 100, 1);
        lot.park(gate("b"), 100, 2);
        lot.park(gate("a"), 50, 3);
        assert_eq!(lot.settle(&gate("a")), [1, 3]);
        assert_eq!(lot.settle(&gate("a")), Vec::<i32>::new());
        assert_eq!(lot.len(), 1);
        assert_eq!(lot.next_deadline_ms(), Some(100));
    }

    #[test]
    fn each_waits_until_its_own_deadline() {
        let mut lot = ParkingLot::default();
        lot.park(gate("a"), 300, "late");
        lot.park(gate("a"), 100, "early");
        lot.park(gate("b"), 200, "middle");
        assert_eq!(lot.next_deadline_ms(), Some(100));
        assert_eq!(lot.expire(99), Vec::<&str>::new());
        assert_eq!(lot.expire(200), ["early", "middle"]);
        assert_eq!(lot.next_deadline_ms(), Some(300));
        assert_eq!(lot.settle(&gate("a")), ["late"]);
        assert_eq!(lot.next_deadline_ms(), None);
    }

    #[test]
    fn equal_deadlines_do_not_hide_each_other() {
        let mut lot = ParkingLot::default();
        for number in 0..100 {
            lot.park(gate("a"), 10, number);
        }
        assert_eq!(lot.expire(10), (0..100).collect::<Vec<_>>());
        assert_eq!(lot.len(), 0);
    }

    #[test]
    fn who_left_is_not_woken() {
        let mut lot = ParkingLot::default();
        for number in 0..10 {
            lot.park(gate("a"), 10, number);
        }
        assert_eq!(lot.remove_where(|number| number % 2 == 0).len(), 5);
        assert_eq!(lot.settle(&gate("a")), [1, 3, 5, 7, 9]);
    }

    #[test]
    fn drained_lot_is_empty_and_usable() {
        let mut lot = ParkingLot::default();
        lot.park(gate("a"), 10, 1);
        lot.park(gate("b"), 20, 2);
        assert_eq!(lot.drain(), [1, 2]);
        assert_eq!((lot.len(), lot.next_deadline_ms()), (0, None));
        lot.park(gate("a"), 30, 3);
        assert_eq!(lot.settle(&gate("a")), [3]);
    }
}
