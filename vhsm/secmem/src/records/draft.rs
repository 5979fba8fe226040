//! A record before it is one.

use super::record::{COUNTERS, Record, RecordId, RecordKind, give_back};
use super::slot::{Slot, slot_len};
use crate::arena::Draw;
use crate::arenas::arenas;
use crate::secret::ArenaFull;
use std::fmt;
use std::sync::atomic::Ordering;

/// A record that is being written: no later process finds it, and dropped it is wiped, until
/// [`Draft::commit`].
pub struct Draft {
    slot: Slot,
    public_len: u32,
    secret_len: u32,
}

impl Draft {
    /// Room for a record of this kind and id, with parts of `public_len` and `secret_len` zero
    /// bytes, counters and a state of zero.
    ///
    /// At most one record of a kind and id may be committed at a time: of two, a later process
    /// takes the younger for the replacement of the other.
    ///
    /// # Errors
    /// [`ArenaFull`].
    pub fn new(
        kind: RecordKind,
        id: RecordId,
        public_len: usize,
        secret_len: usize,
    ) -> Result<Self, ArenaFull> {
        Self::drawn(Draw::Ordinary, kind, id, public_len, secret_len)
    }

    /// The same, from what is kept for changes of records that are there.
    pub(super) fn in_reserve(
        kind: RecordKind,
        id: RecordId,
        public_len: usize,
        secret_len: usize,
    ) -> Result<Self, ArenaFull> {
        Self::drawn(Draw::Reserve, kind, id, public_len, secret_len)
    }

    fn drawn(
        draw: Draw,
        kind: RecordKind,
        id: RecordId,
        public_len: usize,
        secret_len: usize,
    ) -> Result<Self, ArenaFull> {
        let len = slot_len(public_len, secret_len).ok_or(ArenaFull)?;
        let store = &arenas().ok_or(ArenaFull)?.records;
        let public_len = u32::try_from(public_len).map_err(|_| ArenaFull)?;
        let secret_len = u32::try_from(secret_len).map_err(|_| ArenaFull)?;
        let start = store.allocate(len, draw).ok_or(ArenaFull)?;
        // SAFETY: the arena gave us `len` zero bytes, aligned to 16, that nobody else has.
        let slot = unsafe { Slot::begin(start, kind, id, (public_len, secret_len)) };
        Ok(Self {
            slot,
            public_len,
            secret_len,
        })
    }

    /// The public part.
    pub fn public_mut(&mut self) -> &mut [u8] {
        // SAFETY: the slot is ours, begins with that many initialised bytes, and self is borrowed
        // exclusively.
        unsafe {
            std::slice::from_raw_parts_mut(self.slot.data().as_ptr(), self.public_len as usize)
        }
    }

    /// The secret part.
    pub fn secret_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; the secret part follows the public one.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.slot.data().add(self.public_len as usize).as_ptr(),
                self.secret_len as usize,
            )
        }
    }

    /// Both parts at once, the public one first.
    pub fn parts_mut(&mut self) -> (&mut [u8], &mut [u8]) {
        let len = self.public_len as usize + self.secret_len as usize;
        // SAFETY: as above: both parts, one after the other.
        let both = unsafe { std::slice::from_raw_parts_mut(self.slot.data().as_ptr(), len) };
        both.split_at_mut(self.public_len as usize)
    }

    /// Sets a counter; an index beyond the last means the last.
    pub fn set_counter(&mut self, index: usize, value: u64) {
        // SAFETY: the slot is ours, and the reference ends within this line.
        unsafe { self.slot.counter(index.min(COUNTERS - 1)) }.store(value, Ordering::Relaxed);
    }

    /// Sets the state.
    pub fn set_state(&mut self, state: u32) {
        self.slot.state().store(state, Ordering::Relaxed);
    }

    /// Makes it a record, which every later process finds; unless its kind is
    /// [`RecordKind::TRANSIENT`].
    #[must_use = "a record that is dropped is erased"]
    pub fn commit(self) -> Record {
        let (slot, public_len, secret_len) = (self.slot, self.public_len, self.secret_len);
        std::mem::forget(self);
        if slot.kind() != RecordKind::TRANSIENT
            && let Some(arenas) = arenas()
        {
            slot.commit(arenas.records.next_sequence());
        }
        Record::of_slot(slot, public_len, secret_len)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        give_back(self.slot);
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (public_len, secret_len) = (self.public_len, self.secret_len);
        write!(f, "Draft({public_len} and {secret_len} bytes, redacted)")
    }
}
