//! Key material: the canonical bytes in their record, and the library's objects made of them.

mod cache;
mod expanded;
mod new;

pub(crate) use cache::{ExpandedCache, Live};
pub(crate) use expanded::{Expanded, Wrapping, curve_of};

use crate::Refusal;
use cache::Slot;
use nitride_protocol::KeyType;
use nitride_secmem::Record;
use std::sync::Arc;

/// From how many erased bytes on a record moves to a smaller place. The records of symmetric keys,
/// scalars and seeds would fit into no smaller one.
const WORTH_MOVING_LEN: usize = 256;

/// A version's key: the canonical bytes in the records arena. What the library makes of them
/// lives in the heap arena and is kept for as long as the [`ExpandedCache`] has room, so that a
/// use seldom has to expand it again.
#[derive(Debug)]
pub(crate) struct Material {
    key_type: KeyType,
    record: Record,
    slot: Arc<Slot>,
}

impl Material {
    /// Over a record whose secret part is canonical for `key_type`: written from a
    /// [`NewMaterial`]. One that is not fails at its first use.
    pub(crate) fn from_record(key_type: KeyType, record: Record) -> Self {
        Self {
            key_type,
            record,
            slot: Arc::default(),
        }
    }

    /// What operations work with.
    pub(crate) fn live(&self, cache: &ExpandedCache) -> Result<Live, Refusal> {
        cache.live(&self.slot, expanded::expanded_len(self.key_type), || {
            Ok(Expanded::new(self.key_type, self.record.expose())?)
        })
    }

    /// The canonical bytes, for what works with them themselves.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    pub(super) fn record_mut(&mut self) -> &mut Record {
        &mut self.record
    }

    pub(super) fn into_record(self) -> Record {
        self.record
    }

    /// Zeroes the canonical bytes and drops what was made of them; what else the record has stays.
    /// The room of a large secret is given back: the record moves to a smaller place, or stays
    /// where it is if there is none.
    pub(super) fn erase(&mut self) {
        let erased_len = self.record.len();
        self.slot = Arc::default();
        self.record.erase_secret();
        if erased_len >= WORTH_MOVING_LEN {
            let public = self.record.public().to_vec();
            let _ = self.record.replace_public(&public);
        }
    }
}
