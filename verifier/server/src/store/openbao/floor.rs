//! The newest version of each place that this process has seen. An engine that shows an older one was
//! put back, or is a node that lags behind.
//!
//! The memory is bounded and ends with the process: what was never seen here, or so long ago that it
//! was forgotten, is believed. An operator who puts a snapshot of OpenBao back restarts the service.

use crate::store::Place;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

/// Places remembered for certain; up to twice as many are. Some 5 MiB.
const MAX_PLACES: usize = 50_000;

type Key = [u8; 16];

/// Versions by place.
#[derive(Debug, Default)]
pub(super) struct Floor(Mutex<Generations>);

/// What is asked for again stays: the older half is forgotten when the younger is full.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Key, u64>,
    old: HashMap<Key, u64>,
}

impl Floor {
    /// The newest version seen, 0 where none was.
    pub(super) fn of(&self, place: &Place) -> u64 {
        let generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        generations.of(&key(place))
    }

    pub(super) fn raise(&self, place: &Place, version: u64) {
        // What was never there is remembered as nothing, and takes no room.
        if version == 0 {
            return;
        }
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(place);
        let version = version.max(generations.of(&key));
        if generations.young.len() >= MAX_PLACES && !generations.young.contains_key(&key) {
            generations.old = mem::take(&mut generations.young);
        }
        generations.young.insert(key, version);
    }
}

impl Generations {
    fn of(&self, key: &Key) -> u64 {
        let found = self.young.get(key).or_else(|| self.old.get(key));
        found.copied().unwrap_or(0)
    }
}

fn key(place: &Place) -> Key {
    let digest: [u8; 32] = Sha256::digest(place.to_string().as_bytes()).into();
    let (key, _) = digest.split_first_chunk().unwrap_or((&[0; 16], &[]));
    *key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::RecordName;

    fn place(number: usize) -> Place {
        Place::from(&RecordName::parse(&format!("a/{number}")).unwrap())
    }

    #[test]
    fn the_newest_version_is_remembered_and_never_lowered() {
        let floor = Floor::default();
        assert_eq!(floor.of(&place(1)), 0);
        floor.raise(&place(1), 7);
        floor.raise(&place(1), 3);
        assert_eq!(floor.of(&place(1)), 7);
        assert_eq!(floor.of(&place(2)), 0);
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let floor = Floor::default();
        for number in 0..2 * MAX_PLACES + 10 {
            floor.raise(&place(number), 1);
            if number % 10_000 == 0 {
                floor.raise(&place(0), 2);
            }
        }
        assert_eq!(floor.of(&place(0)), 2);
        let generations = floor.0.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 2 * MAX_PLACES);
    }
}
