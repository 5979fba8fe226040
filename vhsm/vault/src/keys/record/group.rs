use super::{Family, commit};
use crate::{Draw, Refusal};
use nitride_secmem::{Draft, Record, RecordId, RecordKind};
use std::collections::HashSet;

/// The kind of the record that stands while keys come together.
pub(crate) const GROUP: RecordKind = RecordKind(3);

const PREFIX_LEN: usize = 8;

/// Keys that come all together or not at all: their families begin alike, and while the group's
/// record stands, a start erases them. Erasing that one is what brings them.
#[derive(Debug)]
pub(in crate::keys) struct Group {
    record: Record,
    prefix: [u8; PREFIX_LEN],
    next: u32,
}

impl Group {
    pub(in crate::keys) fn open(draw: &mut dyn Draw) -> Result<Self, Refusal> {
        let mut prefix = [0; PREFIX_LEN];
        draw.fill(&mut prefix);
        let id = Family::of_group(prefix, 0).record_id(0);
        let record = commit(Draft::new(GROUP, id, 0, 0)?);
        Ok(Self {
            record,
            prefix,
            next: 0,
        })
    }

    /// A family of its own for the next key.
    pub(in crate::keys) fn family(&mut self) -> Family {
        let family = Family::of_group(self.prefix, self.next);
        self.next = self.next.wrapping_add(1);
        family
    }

    /// From here on, all of its keys are there.
    pub(in crate::keys) fn close(self) {
        #[cfg(test)]
        super::trace::erased(&self.record);
        self.record.erase();
    }
}

impl Family {
    fn of_group(prefix: [u8; PREFIX_LEN], number: u32) -> Self {
        let mut family = [0; 12];
        let bytes = prefix.into_iter().chain(number.to_be_bytes());
        for (place, byte) in family.iter_mut().zip(bytes) {
            *place = byte;
        }
        Self(family)
    }
}

/// Groups that a kill left open.
#[derive(Debug, Default)]
pub(super) struct OpenGroups {
    prefixes: HashSet<[u8; PREFIX_LEN]>,
    records: Vec<Record>,
}

impl OpenGroups {
    pub(super) fn add(&mut self, record: Record) {
        let RecordId(id) = record.id();
        self.prefixes.extend(id.first_chunk());
        self.records.push(record);
    }

    /// Whether the family is of a key that never came to be.
    pub(super) fn have(&self, family: Family) -> bool {
        let prefix = family.0.first_chunk();
        prefix.is_some_and(|prefix| self.prefixes.contains(prefix))
    }

    /// After all of their keys are erased.
    pub(super) fn erase(self) {
        self.records.into_iter().for_each(Record::erase);
    }
}
