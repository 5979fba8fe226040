use nitride_protocol::{KeyNameBuf, Operation, Status};
use std::collections::HashMap;

/// Different denials of one user that are written in a row.
const BURST: u32 = 64;
/// After so long one more.
const REFILL_MS: u64 = 250;
/// Users that are counted apart.
const MAX_USERS: usize = 1024;
/// Denials of one second that are recognised when they come again.
const MAX_KNOWN: usize = 1024;

/// A denial as far as it can be equal to another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Denial {
    /// The user; `None` could not be identified.
    pub uid: Option<u32>,
    /// The process.
    pub pid: u32,
    /// The system unit.
    pub unit: Option<String>,
    /// The key.
    pub key: Option<KeyNameBuf>,
    /// What was asked.
    pub operation: Option<Operation>,
    /// How it was refused.
    pub status: Status,
}

/// How many different denials a user had beyond those told apart.
type Beyond = Vec<(Option<u32>, u64)>;

/// What to do about a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Write an entry now.
    Now,
    /// It is counted, and written with its count when the second is over.
    Later,
}

/// The denials of the second that is under way. Milliseconds are of CLOCK_BOOTTIME.
#[derive(Debug, Default)]
pub struct Denials {
    /// How often each came again after its entry.
    known: HashMap<Denial, u64>,
    users: HashMap<Option<u32>, User>,
    /// Of users beyond those counted apart.
    of_others: u64,
}

#[derive(Debug)]
struct User {
    left: u32,
    refilled_ms: u64,
    /// Denials that had no entry and are not known one by one.
    uncounted: u64,
}

impl Denials {
    /// Decides about `denial`.
    pub fn note(&mut self, denial: Denial, now_ms: u64) -> Told {
        if let Some(count) = self.known.get_mut(&denial) {
            *count += 1;
            return Told::Later;
        }
        let uid = denial.uid;
        if self.users.len() >= MAX_USERS && !self.users.contains_key(&uid) {
            self.of_others += 1;
            return Told::Later;
        }
        let user = self.users.entry(uid).or_insert_with(|| User::new(now_ms));
        user.refill(now_ms);
        if user.left == 0 || self.known.len() >= MAX_KNOWN {
            user.uncounted += 1;
            return Told::Later;
        }
        user.left -= 1;
        self.known.insert(denial, 0);
        Told::Now
    }

    /// Ends the second: every denial that came again, with how often, and for each user how many
    /// different ones there were beyond (`None` is all further users together).
    pub fn collect(&mut self, now_ms: u64) -> (Vec<(Denial, u64)>, Beyond) {
        let again = self.known.drain().filter(|(_, count)| *count > 0).collect();
        let mut beyond = Vec::new();
        self.users.retain(|uid, user| {
            user.refill(now_ms);
            if user.uncounted > 0 {
                beyond.push((*uid, std::mem::take(&mut user.uncounted)));
                return true;
            }
            user.left < BURST
        });
        if self.of_others > 0 {
            beyond.push((None, std::mem::take(&mut self.of_others)));
        }
        (again, beyond)
    }
}

impl User {
    fn new(now_ms: u64) -> Self {
        Self {
            left: BURST,
            refilled_ms: now_ms,
            uncounted: 0,
        }
    }

    fn refill(&mut self, now_ms: u64) {
        let more = now_ms.saturating_sub(self.refilled_ms) / REFILL_MS;
        self.left = u32::try_from(more)
            .map_or(BURST, |more| self.left.saturating_add(more))
            .min(BURST);
        self.refilled_ms = self
            .refilled_ms
            .saturating_add(more.saturating_mul(REFILL_MS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(uid: u32, key: &str) -> Denial {
        Denial {
            uid: Some(uid),
            pid: 1,
            unit: None,
            key: Some(nitride_protocol::KeyName::parse(key).unwrap().to_owned()),
            operation: Some(Operation::Sign),
            status: Status::Denied,
        }
    }

    #[test]
    fn equal_denials_of_a_second_are_one_entry_and_a_count() {
        let mut denials = Denials::default();
        assert_eq!(denials.note(denial(1, "a"), 0), Told::Now);
        for _ in 0..1000 {
            assert_eq!(denials.note(denial(1, "a"), 0), Told::Later);
        }
        assert_eq!(denials.note(denial(1, "b"), 0), Told::Now);
        let (again, beyond) = denials.collect(1000);
        assert_eq!(again, [(denial(1, "a"), 1000)]);
        assert_eq!(beyond, []);
        // A new second: it is news again.
        assert_eq!(denials.note(denial(1, "a"), 1000), Told::Now);
    }

    #[test]
    fn a_user_that_asks_for_any_number_of_names_has_a_bounded_part_of_the_audit() {
        let mut denials = Denials::default();
        let mut entries = 0;
        for number in 0..100_000_u64 {
            let told = denials.note(denial(1, &format!("k{number}")), number / 10);
            entries += u64::from(told == Told::Now);
        }
        assert_eq!(entries, u64::from(BURST) + 10_000 / REFILL_MS - 1);
        assert_eq!(denials.note(denial(2, "a"), 10_000), Told::Now);
        let (_, beyond) = denials.collect(10_000);
        assert_eq!(beyond, [(Some(1), 100_000 - entries)]);
    }

    #[test]
    fn what_is_kept_is_bounded_and_forgotten() {
        let mut denials = Denials::default();
        let users = u32::try_from(2 * MAX_USERS).unwrap();
        for uid in 0..users {
            for key in ["a", "b", "c"] {
                denials.note(denial(uid, key), 0);
            }
        }
        assert!(denials.known.len() <= MAX_KNOWN && denials.users.len() <= MAX_USERS);
        denials.collect(0);
        denials.collect(60_000);
        assert_eq!((denials.known.len(), denials.users.len()), (0, 0));
    }
}
