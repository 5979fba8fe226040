//! Changes of policies that are under way, bounded: each waits for its turn with its text in memory, also
//! after its admin has hung up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const MAX_CHANGES: usize = 16;
const MAX_OF_ONE_ADMIN: usize = 4;

/// How many are under way, by admin.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes(Arc<Mutex<BTreeMap<String, usize>>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay {
    changes: Changes,
    admin: String,
}

impl Changes {
    /// One more of this admin's; `None` where he, or all together, have as many as may be.
    pub(crate) fn admit(&self, admin: &str) -> Option<UnderWay> {
        let mut by_admin = self.by_admin();
        let of_all: usize = by_admin.values().sum();
        let of_this = by_admin.get(admin).copied().unwrap_or_default();
        if of_all >= MAX_CHANGES || of_this >= MAX_OF_ONE_ADMIN {
            return None;
        }
        by_admin.insert(admin.to_owned(), of_this + 1);
        Some(UnderWay {
            changes: self.clone(),
            admin: admin.to_owned(),
        })
    }

    /// How many are under way.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.by_admin().values().sum()
    }

    fn by_admin(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        // Each change is one assignment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut by_admin = self.changes.by_admin();
        match by_admin.get_mut(&self.admin) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                by_admin.remove(&self.admin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_admin_has_four_changes_under_way_and_all_together_sixteen() {
        let changes = Changes::default();
        let admit = |admin: &str| changes.admit(admin);
        let mut held: Vec<_> = (0..4).map(|_| admit("one").unwrap()).collect();
        assert!(admit("one").is_none());
        held.pop();
        held.push(admit("one").unwrap());
        for admin in ["two", "three", "four"] {
            held.extend((0..4).map(|_| admit(admin).unwrap()));
        }
        assert!(admit("five").is_none());
        held.clear();
        assert!(admit("five").is_some());
        assert!(changes.by_admin().is_empty());
    }
}
