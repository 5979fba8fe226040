//! What the rest of the program holds.

use super::draft::Draft;
use super::slot::Slot;
use crate::arenas::arenas;
use crate::secret::ArenaFull;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of each record.
pub const COUNTERS: usize = 8;

/// What a record is, for those who read it: a number that is theirs to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKind(pub u16);

impl RecordKind {
    /// A record that ends with the process: it is never committed, and wiped by the next one.
    pub const TRANSIENT: Self = Self(0);
}

/// Which record of its kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(pub [u8; 16]);

/// A public and a secret part in the records arena, with eight counters and a state that change
/// in place. It outlives the process unless it is dropped: then it is erased, see
/// [`crate::keep_dropped_records`].
///
/// Like a [`crate::SecretBuf`], it cannot be copied, compared with `==`, printed or serialised.
///
/// ```compile_fail,E0599
/// fn copy(record: &nitride_secmem::Record) -> nitride_secmem::Record {
///     record.clone()
/// }
/// ```
/// ```compile_fail,E0369
/// fn compare(one: &nitride_secmem::Record, other: &nitride_secmem::Record) -> bool {
///     one == other
/// }
/// ```
pub struct Record {
    slot: Slot,
    // As the slot says, but read once: a stray write in the arena cannot make slices longer.
    public_len: u32,
    secret_len: u32,
}

impl Record {
    /// A [`RecordKind::TRANSIENT`] copy of `bytes`, as the secret part; the caller answers for
    /// where those were.
    ///
    /// # Errors
    /// [`ArenaFull`].
    pub fn new(bytes: &[u8]) -> Result<Self, ArenaFull> {
        Self::from_fn(bytes.len(), |record| record.copy_from_slice(bytes))
    }

    /// A [`RecordKind::TRANSIENT`] one of `len` secret bytes that `fill` writes in place; they are
    /// zero before.
    ///
    /// # Errors
    /// [`ArenaFull`]; `fill` is not called then.
    pub fn from_fn(len: usize, fill: impl FnOnce(&mut [u8])) -> Result<Self, ArenaFull> {
        let mut draft = Draft::new(RecordKind::TRANSIENT, RecordId([0; 16]), 0, len)?;
        fill(draft.secret_mut());
        Ok(draft.commit())
    }

    /// What holds the slot from now on.
    pub(super) fn of_slot(slot: Slot, public_len: u32, secret_len: u32) -> Self {
        Self {
            slot,
            public_len,
            secret_len,
        }
    }

    /// Where it lies.
    #[cfg(test)]
    pub(super) fn slot(&self) -> Slot {
        self.slot
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> RecordKind {
        self.slot.kind()
    }

    /// Which one of its kind it is.
    #[must_use]
    pub fn id(&self) -> RecordId {
        self.slot.id()
    }

    /// The public part.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        // SAFETY: the slot is ours until drop, and begins with that many initialised bytes; they
        // are written only before the commit.
        unsafe { std::slice::from_raw_parts(self.slot.data().as_ptr(), self.public_len as usize) }
    }

    /// The secret part.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        // SAFETY: as above; the secret part follows the public one, and is written afterwards by
        // `erase_secret` alone, which borrows the one owner exclusively.
        unsafe {
            std::slice::from_raw_parts(
                self.slot.data().add(self.public_len as usize).as_ptr(),
                self.secret_len as usize,
            )
        }
    }

    /// Length of the secret part, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.secret_len as usize
    }

    /// Whether there is no secret part, or not any more.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.secret_len == 0
    }

    /// Whether the secret part is `other`, in time that depends on the lengths alone.
    #[must_use]
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        crate::crypto::constant_time_eq(self.expose(), other)
    }

    /// One of the record's counters, in the record itself: a number taken from it is taken for
    /// every later process too. An index beyond the last means the last.
    #[must_use]
    pub fn counter(&self, index: usize) -> &AtomicU64 {
        // SAFETY: the slot is ours until drop, which the borrow of self keeps away.
        unsafe { self.slot.counter(index.min(COUNTERS - 1)) }
    }

    /// The state: a number whose meaning is the reader's.
    #[must_use]
    pub fn state(&self) -> u32 {
        self.slot.state().load(Ordering::Acquire)
    }

    /// Changes the state, at once for every later process too.
    pub fn set_state(&self, state: u32) {
        self.slot.state().store(state, Ordering::SeqCst);
    }

    /// Zeroes the secret part. Once this has begun, no later process finds a byte of it.
    pub fn erase_secret(&mut self) {
        let (public_len, secret_len) = (self.public_len as usize, self.secret_len as usize);
        // SAFETY: the lengths are the slot's, and self is borrowed exclusively.
        unsafe { self.slot.erase_secret(public_len, secret_len) };
        self.secret_len = 0;
    }

    /// Gives the record another public part, of any length: a later process finds either the old
    /// one or the new one. Counters, state and secret part go along.
    ///
    /// # Errors
    /// [`ArenaFull`]; nothing has changed then.
    pub fn replace_public(&mut self, public: &[u8]) -> Result<(), ArenaFull> {
        let mut draft = Draft::in_reserve(self.kind(), self.id(), public.len(), self.len())?;
        draft.public_mut().copy_from_slice(public);
        draft.secret_mut().copy_from_slice(self.expose());
        for index in 0..COUNTERS {
            draft.set_counter(index, self.counter(index).load(Ordering::SeqCst));
        }
        draft.set_state(self.state());
        let replaced = std::mem::replace(self, draft.commit());
        replaced.erase();
        Ok(())
    }

    /// Erases the record, whatever [`crate::keep_dropped_records`] says of dropped ones.
    pub fn erase(self) {
        let slot = self.slot;
        std::mem::forget(self);
        give_back(slot);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let is_kept = self.slot.is_committed()
            && (std::thread::panicking()
                || arenas().is_none_or(|arenas| arenas.records.keeps_dropped()));
        if !is_kept {
            give_back(self.slot);
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({} bytes, redacted)", self.len())
    }
}

/// Uncommits the slot, zeroes it and gives it back.
pub(super) fn give_back(slot: Slot) {
    if let Some(arenas) = arenas() {
        // SAFETY: callers own the slot, and use it no more.
        unsafe { arenas.records.erase(slot) };
    }
}
