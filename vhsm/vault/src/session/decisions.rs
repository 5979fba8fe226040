//! What a session remembers of names.

use super::Decision;
use std::collections::HashMap;

/// Names whose decisions one session remembers; past that it starts over. Names that no rule is
/// about are not remembered, so a stranger cannot make the vault keep anything.
const MAX_DECISIONS: usize = 256;

/// Decisions by name. Most requests are about the name that the last one was about, which is found
/// by comparing; any other by a keyed hash, since peers choose the names.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    taken: Vec<(Box<str>, Decision)>,
    places: HashMap<Box<str>, usize>,
    /// The place of what was recalled last.
    last: usize,
}

impl Decisions {
    /// What was decided about `name`, which is found sooner from here on.
    pub(super) fn recall(&mut self, name: &str) -> Option<&Decision> {
        self.last = self.place(name)?;
        self.taken.get(self.last).map(|(_, decision)| decision)
    }

    /// What was decided about `name`.
    pub(super) fn get(&self, name: &str) -> Option<&Decision> {
        let place = self.place(name)?;
        self.taken.get(place).map(|(_, decision)| decision)
    }

    /// Remembers `decision`, instead of an older one about that name.
    pub(super) fn insert(&mut self, name: &str, decision: Decision) {
        let older = self.place(name).and_then(|place| self.taken.get_mut(place));
        if let Some((_, older)) = older {
            *older = decision;
            return;
        }
        if self.taken.len() >= MAX_DECISIONS {
            self.clear();
        }
        self.last = self.taken.len();
        self.places.insert(name.into(), self.last);
        self.taken.push((name.into(), decision));
    }

    /// Forgets them all.
    pub(super) fn clear(&mut self) {
        self.taken.clear();
        self.places.clear();
        self.last = 0;
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.taken.len()
    }

    fn place(&self, name: &str) -> Option<usize> {
        match self.taken.get(self.last) {
            Some((known, _)) if **known == *name => Some(self.last),
            _ => self.places.get(name).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nitride_protocol::{Operation, OperationSet};

    fn that_grants(operations: OperationSet) -> Decision {
        Decision {
            granted: operations,
            rule: None,
            gate: None,
            key: None,
        }
    }

    fn only(operation: Operation) -> OperationSet {
        [operation].into_iter().collect()
    }

    #[test]
    fn a_decision_is_of_its_own_name_whichever_was_asked_last() {
        let (encrypt, decrypt) = (only(Operation::Encrypt), only(Operation::Decrypt));
        let mut decisions = Decisions::default();
        decisions.insert("a", that_grants(encrypt));
        decisions.insert("b", that_grants(decrypt));
        for (name, granted) in [
            ("a", Some(encrypt)),
            ("b", Some(decrypt)),
            ("a", Some(encrypt)),
            ("a", Some(encrypt)),
            // Begins as the last one does, or the last one as it does.
            ("aa", None),
            ("", None),
            ("b", Some(decrypt)),
        ] {
            let found = decisions.recall(name).map(|decision| decision.granted);
            assert_eq!(found, granted, "{name}");
            let other = decisions.get("a").map(|decision| decision.granted);
            assert_eq!(other, Some(encrypt), "whatever was recalled last");
        }
    }

    #[test]
    fn a_newer_decision_takes_the_place_of_the_one_asked_last_and_of_any_other() {
        let (encrypt, decrypt) = (only(Operation::Encrypt), only(Operation::Decrypt));
        let mut decisions = Decisions::default();
        for name in ["a", "b"] {
            decisions.insert(name, that_grants(encrypt));
        }
        for name in ["b", "a"] {
            decisions.insert(name, that_grants(decrypt));
            assert_eq!(decisions.recall(name).unwrap().granted, decrypt);
        }
        assert_eq!(decisions.len(), 2);
    }

    #[test]
    fn nothing_of_what_was_forgotten_is_found() {
        let mut decisions = Decisions::default();
        decisions.insert("a", that_grants(OperationSet::ALL));
        assert!(decisions.recall("a").is_some());
        decisions.clear();
        assert!(decisions.recall("a").is_none() && decisions.get("a").is_none());
        for number in 0..=MAX_DECISIONS {
            decisions.insert(&number.to_string(), that_grants(OperationSet::ALL));
        }
        assert_eq!(decisions.len(), 1, "started over");
        assert!(decisions.get("0").is_none());
        assert!(decisions.get(&MAX_DECISIONS.to_string()).is_some());
    }
}
