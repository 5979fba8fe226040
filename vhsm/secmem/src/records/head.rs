//! The first pages of a segment: what it is, and what its other pages are used for.

use super::slot::{LAYOUT, MAX_SEQUENCE};
use crate::arena::{ENTRY_LEN, PageTable, Segment};
use crate::mapping::{Mapping, PAGE_LEN};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const MAGIC: u64 = u64::from_le_bytes(*b"nitrrec\0");
/// Where the page table starts.
const TABLE_OFFSET: usize = 256;

/// Which segments belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreId([u8; 16]);

/// The first bytes of a segment.
#[derive(Debug)]
#[repr(C)]
struct Head {
    /// Written last.
    magic: AtomicU64,
    layout: AtomicU32,
    index: u32,
    store: [u8; 16],
    segment_len: u64,
    head_len: u64,
    /// Of the first segment: how many segments are kept for the next process.
    kept_count: AtomicU32,
    unused: u32,
    /// Of the first segment: records whose number is no higher are not there.
    wiped_through: AtomicU64,
}

/// What a segment says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadFields {
    pub(crate) index: u32,
    pub(crate) store: StoreId,
    pub(crate) kept_count: u32,
    pub(crate) wiped_through: u64,
}

/// Why a head cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHead {
    /// It does not begin as a segment does.
    Magic,
    /// Its layout is none that this version knows.
    Layout(u32),
    /// Its lengths are not those of its mapping.
    Length,
    /// It says that more was committed than ever is.
    Wiped,
}

/// The head of a segment that stays mapped: arenas are never unmapped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentHead(NonNull<Head>);

// SAFETY: an address in an arena, which is never unmapped; what changes there is atomic.
unsafe impl Send for SegmentHead {}
// SAFETY: as above.
unsafe impl Sync for SegmentHead {}

/// Bytes of the head of a segment of `segment_len` bytes: whole pages.
pub(crate) fn head_len(segment_len: usize) -> usize {
    (TABLE_OFFSET + segment_len / PAGE_LEN * ENTRY_LEN).next_multiple_of(PAGE_LEN)
}

impl StoreId {
    /// A new one. It is no secret; the kernel draws it, since AWS-LC has no memory yet.
    pub(crate) fn draw() -> io::Result<Self> {
        let mut id = [0_u8; 16];
        // SAFETY: writes at most the length of the array that we own.
        let drawn = unsafe { libc::getrandom(id.as_mut_ptr().cast(), id.len(), 0) };
        if usize::try_from(drawn) == Ok(id.len()) {
            Ok(Self(id))
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

impl SegmentHead {
    /// Writes the head of a fresh segment, with a table that says that nothing is there.
    pub(crate) fn write(mapping: &Mapping, store: StoreId, index: u32) -> Self {
        let head = mapping.base().cast::<Head>();
        // SAFETY: the mapping is at least a page long, page-aligned, and nobody else's yet.
        unsafe {
            head.write(Head {
                magic: AtomicU64::new(0),
                layout: AtomicU32::new(LAYOUT),
                index,
                store: store.0,
                segment_len: mapping.len() as u64,
                head_len: head_len(mapping.len()) as u64,
                kept_count: AtomicU32::new(0),
                unused: 0,
                wiped_through: AtomicU64::new(0),
            });
        }
        let written = Self(head);
        written.head().magic.store(MAGIC, Ordering::Release);
        written
    }

    /// Reads the head of an adopted segment.
    pub(crate) fn read(mapping: &Mapping) -> Result<(Self, HeadFields), BadHead> {
        let found = Self(mapping.base().cast());
        let head = found.head();
        if head.magic.load(Ordering::Acquire) != MAGIC {
            return Err(BadHead::Magic);
        }
        let layout = head.layout.load(Ordering::Acquire);
        if !(super::upgrade::OLDEST_LAYOUT..=LAYOUT).contains(&layout) {
            return Err(BadHead::Layout(layout));
        }
        let has_lengths = head.segment_len == mapping.len() as u64
            && head.head_len == head_len(mapping.len()) as u64
            && head_len(mapping.len()) < mapping.len();
        if !has_lengths {
            return Err(BadHead::Length);
        }
        let wiped_through = head.wiped_through.load(Ordering::Acquire);
        // The next commit has a higher number, which must be one, and not 0 by wrapping.
        if wiped_through > MAX_SEQUENCE {
            return Err(BadHead::Wiped);
        }
        let fields = HeadFields {
            index: head.index,
            store: StoreId(head.store),
            kept_count: head.kept_count.load(Ordering::Acquire),
            wiped_through,
        };
        Ok((found, fields))
    }

    /// The page table of the segment that `mapping` is.
    pub(crate) fn table(mapping: &Mapping) -> PageTable {
        let head_len = head_len(mapping.len());
        let page_count = mapping.len().saturating_sub(head_len) / PAGE_LEN;
        // SAFETY: the head has room for an entry for each page, from there on; the mapping is
        // page-aligned, so entries are aligned; it is never unmapped while the segment is used.
        unsafe {
            let entries = mapping.base().add(TABLE_OFFSET).cast::<AtomicU32>();
            PageTable::at(entries, page_count, LAYOUT)
        }
    }

    /// The segment that `mapping` is, for the arena.
    pub(crate) fn segment(mapping: Mapping) -> Segment {
        let table = Self::table(&mapping);
        let head_len = head_len(mapping.len());
        Segment::with_head(mapping, head_len, Some(table))
    }

    /// Says that pages of the current layout may be there from now on.
    pub(crate) fn set_current_layout(self) {
        self.head().layout.store(LAYOUT, Ordering::SeqCst);
    }

    /// Says how many segments the next process must find.
    pub(crate) fn set_kept_count(self, count: u32) {
        self.head().kept_count.store(count, Ordering::SeqCst);
    }

    /// Wipes every record up to this one.
    pub(crate) fn wipe_through(self, sequence: u64) {
        self.head()
            .wiped_through
            .fetch_max(sequence, Ordering::SeqCst);
    }

    fn head(&self) -> &Head {
        // SAFETY: at the start of a mapping that is at least a page long, initialised as every
        // mapping is; any bytes are a value of a head. What changes in it is atomic.
        unsafe { self.0.as_ref() }
    }
}
