//! Records of an older layout become records of the current one.
//!
//! Layout 1 had no counters. Each page says which layout its slots have, so both can stand side by
//! side: a record is copied and committed with a higher number, and the pages that it leaves are
//! wiped only when every copy lies in a segment that is kept. A process that is killed anywhere in
//! between leaves the original, the copy, or both, and then the copy counts.

use super::adopt::Found;
use super::record::{Record, RecordId, RecordKind};
use super::slot::{BadSlot, LAYOUT, MAX_SEQUENCE, Slot, SlotFields, slot_len};
use super::store::Store;
use crate::arena::{Draw, PageId};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The oldest layout that can be read.
pub(crate) const OLDEST_LAYOUT: u32 = 1;

/// The first bytes of a slot of layout 1.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct OldSlotHead {
    pub(crate) commit: AtomicU64,
    pub(crate) id: [u8; 16],
    pub(crate) kind: u16,
    pub(crate) unused: u16,
    pub(crate) state: u32,
    pub(crate) public_len: u32,
    pub(crate) secret_len: u32,
}

/// Bytes before the public part, in layout 1.
pub(crate) const OLD_HEAD_LEN: usize = size_of::<OldSlotHead>();

/// Pages that an upgrade leaves behind.
#[derive(Clone, Debug)]
pub(crate) struct Retiring {
    pub(crate) first: PageId,
    pub(crate) page_count: usize,
    /// Where the commit words of the records there are.
    pub(crate) commits: Vec<NonNull<AtomicU64>>,
    /// The entry of the first page in its segment's table.
    pub(crate) entry: NonNull<AtomicU32>,
}

// SAFETY: addresses in an arena, which is never unmapped; atomics are there.
unsafe impl Send for Retiring {}

/// Reads what may be a slot of layout 1; none if nothing was committed there.
///
/// # Safety
/// `start` is aligned to 16 and valid for reads of `capacity` bytes.
pub(super) unsafe fn read_old(
    start: NonNull<u8>,
    capacity: usize,
) -> Result<Option<SlotFields>, BadSlot> {
    let room = capacity.checked_sub(OLD_HEAD_LEN).ok_or(BadSlot)?;
    // SAFETY: valid for a head by the caller's promise, of which any bytes are a value.
    let head = unsafe { start.cast::<OldSlotHead>().as_ref() };
    let sequence = head.commit.load(Ordering::Acquire);
    if sequence == 0 {
        return Ok(None);
    }
    let parts = u64::from(head.public_len) + u64::from(head.secret_len);
    let is_sound = sequence <= MAX_SEQUENCE
        && head.kind != RecordKind::TRANSIENT.0
        && head.unused == 0
        && parts <= room as u64;
    if !is_sound {
        return Err(BadSlot);
    }
    Ok(Some(SlotFields {
        sequence,
        id: RecordId(head.id),
        kind: RecordKind(head.kind),
        state: head.state,
        public_len: head.public_len,
        secret_len: head.secret_len,
        is_secret_gone: false,
    }))
}

/// The records that were found, all of them in the current layout; none if there is no room for
/// the copies. Pages of the older layout are left behind, at once or when the copies are kept.
pub(super) fn bring_up(store: &Store, found: &[Found], old: Vec<Retiring>) -> Option<Vec<Record>> {
    let mut records = Vec::with_capacity(found.len());
    for each in found {
        if each.layout == LAYOUT {
            // SAFETY: a checked slot that the store has taken over as handed out, once.
            records.push(unsafe { taken_over(each) });
        } else {
            // SAFETY: checked by `read_old`; its pages are held, and nobody writes there.
            records.push(unsafe { copied(store, each) }?);
        }
    }
    store.retire_later(old);
    if !store.has_unkept() {
        store.retire();
    }
    Some(records)
}

/// # Safety
/// The slot is of the current layout, checked, and nobody else's.
unsafe fn taken_over(found: &Found) -> Record {
    // SAFETY: the caller's promise.
    let slot = unsafe { Slot::adopted(found.start) };
    let SlotFields {
        public_len,
        secret_len,
        is_secret_gone,
        ..
    } = found.fields;
    if !is_secret_gone {
        return Record::of_slot(slot, public_len, secret_len);
    }
    // SAFETY: the lengths are the slot's, which nobody else uses.
    unsafe { slot.erase_secret(public_len as usize, secret_len as usize) };
    Record::of_slot(slot, public_len, 0)
}

/// # Safety
/// The slot is of layout 1, checked, and nobody writes there.
unsafe fn copied(store: &Store, found: &Found) -> Option<Record> {
    let fields = found.fields;
    let (public_len, secret_len) = (fields.public_len as usize, fields.secret_len as usize);
    let len = slot_len(public_len, secret_len)?;
    let start = store.allocate(len, Draw::Reserve)?;
    let lengths = (fields.public_len, fields.secret_len);
    // SAFETY: the store gave us `len` zero bytes, aligned to 16, that nobody else has; and the old
    // slot has both parts behind its head, in other pages.
    let slot = unsafe {
        let slot = Slot::begin(start, fields.kind, fields.id, lengths);
        let from = found.start.add(OLD_HEAD_LEN);
        slot.data()
            .copy_from_nonoverlapping(from, public_len + secret_len);
        slot
    };
    slot.state().store(fields.state, Ordering::Relaxed);
    slot.commit(store.next_sequence());
    Some(Record::of_slot(slot, fields.public_len, fields.secret_len))
}
