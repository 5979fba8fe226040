use nitride_protocol::{KeyNameBuf, Operation, Status};
use std::collections::HashMap;
use std::sync::Arc;

/// Different uses of one second; beyond, a user's are added up without their keys.
const MAX_DIFFERENT: usize = 4096;
/// Of these, of one user.
const MAX_OF_USER: usize = 1024;

/// Who used keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UsePeer {
    /// The user.
    pub uid: u32,
    /// The process; 0 where uses of several are added up.
    pub pid: u32,
    /// The system unit.
    pub unit: Option<String>,
}

/// Uses that are added up: of one version of one key, by one peer, for one thing, ended one way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Use {
    /// Who.
    pub peer: Arc<UsePeer>,
    /// The key; `None` is no key, or keys that are too many to be told apart.
    pub key: Option<KeyNameBuf>,
    /// The version.
    pub version: Option<u32>,
    /// What for.
    pub operation: Operation,
    /// How they ended.
    pub status: Status,
}

/// The uses of one second.
#[derive(Debug, Default)]
pub struct Uses {
    counts: HashMap<Use, u64>,
    of_user: HashMap<u32, usize>,
}

impl Uses {
    /// Adds `count` uses.
    pub fn add(&mut self, used: &Use, count: u64) {
        if let Some(counted) = self.counts.get_mut(used) {
            *counted = counted.saturating_add(count);
            return;
        }
        let of_user = self.of_user.entry(used.peer.uid).or_default();
        if self.counts.len() < MAX_DIFFERENT && *of_user < MAX_OF_USER {
            *of_user += 1;
            self.counts.insert(used.clone(), count);
            return;
        }
        let counted = self.counts.entry(used.without_key()).or_default();
        *counted = counted.saturating_add(count);
    }

    /// All of them, in an order that is the same each time.
    pub fn into_sorted(self) -> Vec<(Use, u64)> {
        let mut uses: Vec<(Use, u64)> = self.counts.into_iter().collect();
        uses.sort_by(|(one, _), (other, _)| one.rank().cmp(&other.rank()));
        uses
    }

    /// Each of them, in any order.
    pub fn iter(&self) -> impl Iterator<Item = (&Use, u64)> {
        self.counts.iter().map(|(used, count)| (used, *count))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

impl Use {
    /// The same without what there may be any number of.
    pub fn without_key(&self) -> Self {
        Self {
            peer: Arc::new(UsePeer {
                uid: self.peer.uid,
                pid: 0,
                unit: None,
            }),
            key: None,
            version: None,
            operation: self.operation,
            status: self.status,
        }
    }

    fn rank(&self) -> impl Ord + '_ {
        let key = self.key.as_ref().map(KeyNameBuf::as_str);
        let (operation, status) = (self.operation.to_wire(), self.status.to_wire());
        (&self.peer, key, self.version, operation, status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(uid: u32, key: &str) -> Use {
        Use {
            peer: Arc::new(UsePeer {
                uid,
                pid: 1,
                unit: None,
            }),
            key: Some(nitride_protocol::KeyName::parse(key).unwrap().to_owned()),
            version: Some(1),
            operation: Operation::Sign,
            status: Status::Ok,
        }
    }

    #[test]
    fn uses_of_one_key_by_one_peer_are_added_up() {
        let mut uses = Uses::default();
        for _ in 0..1000 {
            uses.add(&used(1, "a"), 3);
            uses.add(&used(1, "b"), 1);
            uses.add(&used(2, "a"), 1);
        }
        let counts: Vec<u64> = uses.into_sorted().iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [3000, 1000, 1000]);
    }

    #[test]
    fn a_user_of_any_number_of_keys_is_bounded_and_nothing_is_lost() {
        let mut uses = Uses::default();
        for number in 0..100_000 {
            uses.add(&used(1, &format!("k{number}")), 1);
        }
        uses.add(&used(2, "a"), 1);
        let sorted = uses.into_sorted();
        assert_eq!(sorted.len(), MAX_OF_USER + 2);
        assert_eq!(sorted.iter().map(|(_, count)| count).sum::<u64>(), 100_001);
        let without = sorted.iter().find(|(used, _)| used.key.is_none()).unwrap();
        assert_eq!(without.1, 100_000 - MAX_OF_USER as u64);
        assert!(
            sorted
                .iter()
                .any(|(used, _)| used.peer.uid == 2 && used.key.is_some())
        );
    }
}
