//! How a record lies in its slot.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::record::{COUNTERS, RecordId, RecordKind};
use crate::mapping::wipe;

/// The layout that this version writes.
pub(crate) const LAYOUT: u32 = 2;

/// Set in `flags` before the secret part is zeroed: who finds it zeroes the rest.
const SECRET_GONE: u32 = 1 << 16;
const KIND: u32 = SECRET_GONE - 1;

/// Commit words above this are written by nobody.
pub(crate) const MAX_SEQUENCE: u64 = 1 << 62;

/// The first bytes of a slot. Public part and secret part follow.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct SlotHead {
    /// 0: nothing is here.
    commit: AtomicU64,
    id: [u8; 16],
    /// Kind in the lower half, flags in the upper.
    kind_and_flags: AtomicU32,
    state: AtomicU32,
    public_len: u32,
    secret_len: u32,
    counters: [AtomicU64; COUNTERS],
}

/// Bytes before the public part.
pub(crate) const HEAD_LEN: usize = size_of::<SlotHead>();

/// What a slot says of itself, when it is read for the first time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotFields {
    pub(crate) sequence: u64,
    pub(crate) id: RecordId,
    pub(crate) kind: RecordKind,
    pub(crate) state: u32,
    pub(crate) public_len: u32,
    pub(crate) secret_len: u32,
    pub(crate) is_secret_gone: bool,
}

/// A slot that no version of this program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadSlot;

/// Bytes of a slot with these two parts; none if they are too long to be told.
pub(crate) fn slot_len(public_len: usize, secret_len: usize) -> Option<usize> {
    let parts = public_len.checked_add(secret_len)?;
    u32::try_from(parts).ok()?;
    HEAD_LEN.checked_add(parts)
}

/// The address of a slot that is handed out, and whose head is written. It grants nothing by
/// itself: who holds one answers for being the record's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(NonNull<SlotHead>);

// SAFETY: an address; what is done with it is argued where it is done.
unsafe impl Send for Slot {}
// SAFETY: as above.
unsafe impl Sync for Slot {}

impl Slot {
    /// Writes the head of a fresh slot, uncommitted.
    ///
    /// # Safety
    /// `start` is zero, aligned to 16, of [`slot_len`] bytes at least, and the caller's alone.
    pub(crate) unsafe fn begin(
        start: NonNull<u8>,
        kind: RecordKind,
        id: RecordId,
        lengths: (u32, u32),
    ) -> Self {
        let head = start.cast::<SlotHead>();
        // SAFETY: valid and aligned for a head by the caller's promise; nobody else reads it.
        unsafe {
            head.write(SlotHead {
                commit: AtomicU64::new(0),
                id: id.0,
                kind_and_flags: AtomicU32::new(u32::from(kind.0)),
                state: AtomicU32::new(0),
                public_len: lengths.0,
                secret_len: lengths.1,
                counters: [const { AtomicU64::new(0) }; COUNTERS],
            });
        }
        Self(head)
    }

    /// A slot that an earlier process has committed.
    ///
    /// # Safety
    /// `start` is such a slot, checked by [`Slot::read`].
    pub(crate) unsafe fn adopted(start: NonNull<u8>) -> Self {
        Self(start.cast())
    }

    /// Reads what may be a slot of this layout; none if nothing was committed there.
    ///
    /// # Safety
    /// `start` is aligned to 16 and valid for reads of `capacity` bytes, at least [`HEAD_LEN`].
    pub(crate) unsafe fn read(
        start: NonNull<u8>,
        capacity: usize,
    ) -> Result<Option<SlotFields>, BadSlot> {
        if capacity < HEAD_LEN {
            return Err(BadSlot);
        }
        // SAFETY: valid for a head by the caller's promise, of which any bytes are a value.
        let head = unsafe { start.cast::<SlotHead>().as_ref() };
        let sequence = head.commit.load(Ordering::Acquire);
        if sequence == 0 {
            return Ok(None);
        }
        let kind_and_flags = head.kind_and_flags.load(Ordering::Relaxed);
        let kind = u16::try_from(kind_and_flags & KIND).map_err(|_| BadSlot)?;
        let flags = kind_and_flags & !KIND;
        let parts = u64::from(head.public_len) + u64::from(head.secret_len);
        let is_sound = sequence <= MAX_SEQUENCE
            && kind != RecordKind::TRANSIENT.0
            && flags & !SECRET_GONE == 0
            && parts <= (capacity - HEAD_LEN) as u64;
        if !is_sound {
            return Err(BadSlot);
        }
        Ok(Some(SlotFields {
            sequence,
            id: RecordId(head.id),
            kind: RecordKind(kind),
            state: head.state.load(Ordering::Relaxed),
            public_len: head.public_len,
            secret_len: head.secret_len,
            is_secret_gone: flags & SECRET_GONE != 0,
        }))
    }

    /// Makes the record there: the one moment after which a later process finds it.
    pub(crate) fn commit(self, sequence: u64) {
        // Release: everything written before is written before this.
        self.head().commit.store(sequence, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Makes the record not there. Its bytes are what they were.
    pub(crate) fn uncommit(self) {
        self.head().commit.store(0, Ordering::Release);
        // Nothing that is written later may come before.
        fence(Ordering::SeqCst);
    }

    pub(crate) fn is_committed(self) -> bool {
        self.head().commit.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn id(self) -> RecordId {
        RecordId(self.head().id)
    }

    pub(crate) fn kind(self) -> RecordKind {
        let kind = self.head().kind_and_flags.load(Ordering::Relaxed) & KIND;
        RecordKind(u16::try_from(kind).unwrap_or(0))
    }

    /// A counter; `index` is below [`COUNTERS`].
    ///
    /// # Safety
    /// The slot is held for as long as `'a`.
    #[inline]
    pub(crate) unsafe fn counter<'a>(self, index: usize) -> &'a AtomicU64 {
        // SAFETY: the caller's promise; the head was written by `begin` or checked by `read`.
        &unsafe { self.0.as_ref() }.counters[index]
    }

    #[inline]
    pub(crate) fn state(self) -> &'static AtomicU32 {
        // SAFETY: arenas are never unmapped, so the address stays valid; atomics alone touch it
        // while the slot is held, which callers outlive no use of it.
        unsafe { &(*self.0.as_ptr()).state }
    }

    /// Says that the secret part is gone, and then zeroes it.
    ///
    /// # Safety
    /// Nobody else reads or writes the parts, whose lengths these are.
    pub(crate) unsafe fn erase_secret(self, public_len: usize, secret_len: usize) {
        self.head()
            .kind_and_flags
            .fetch_or(SECRET_GONE, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        // SAFETY: the secret part lies within the slot, and is the caller's alone.
        unsafe { wipe(self.data().add(public_len).as_ptr(), secret_len) };
    }

    /// First byte of the public part.
    #[inline]
    pub(crate) fn data(self) -> NonNull<u8> {
        // SAFETY: a slot is at least a head long.
        unsafe { self.0.cast::<u8>().add(HEAD_LEN) }
    }

    pub(crate) fn start(self) -> NonNull<u8> {
        self.0.cast()
    }

    fn head(&self) -> &SlotHead {
        // SAFETY: the head was written by `begin` or checked by `read`; what changes in it later
        // is atomic, and the arena is never unmapped.
        unsafe { self.0.as_ref() }
    }
}
