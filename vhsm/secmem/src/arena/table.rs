//! What a segment says of its own pages, for a later process that adopts it.
//!
//! An entry is written before the first object of a page is handed out, and a page changes its use
//! only while every byte of it is zero. So an entry may be stale, and is then about a page without
//! an object.

use super::class::{Class, MAX_SMALL_LEN};
use super::segment::PageUse;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of one entry.
pub(crate) const ENTRY_LEN: usize = size_of::<u32>();

/// How the objects of a page are laid out; the top four bits of an entry.
const LAYOUT_SHIFT: u32 = 28;
/// Set where the value counts the pages of a run; else it is the size of a slab's objects.
const RUN: u32 = 1 << 27;
const VALUE: u32 = RUN - 1;

/// The table of one segment: an entry for each page that is handed out.
#[derive(Debug)]
pub(crate) struct PageTable {
    entries: NonNull<AtomicU32>,
    len: usize,
    layout: u32,
}

// SAFETY: an address in a mapping that lives as long as the segment that has the table; it is
// reached by atomic operations alone.
unsafe impl Send for PageTable {}
// SAFETY: as above.
unsafe impl Sync for PageTable {}

/// One entry, as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The layout of the page's objects; 0 for a page without.
    pub(crate) layout: u32,
    /// What the page is used for.
    pub(crate) usage: PageUse,
}

/// An entry that no version of this program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadEntry;

impl PageTable {
    /// A table of `len` entries whose pages are laid out as `layout` says.
    ///
    /// # Safety
    /// `entries` is aligned, and valid for reads and writes of `len` entries for as long as the
    /// table lives; nothing but such tables reaches them.
    pub(crate) unsafe fn at(entries: NonNull<AtomicU32>, len: usize, layout: u32) -> Self {
        Self {
            entries,
            len,
            layout,
        }
    }

    /// Pages that the table is about.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Writes down what a page is used for from now on.
    pub(crate) fn write(&self, page: u32, usage: PageUse) {
        let Some(entry) = self.entry(page) else {
            return;
        };
        let layout = self.layout << LAYOUT_SHIFT;
        let value = match usage {
            PageUse::Free => 0,
            PageUse::Slab(class) => layout | to_value(class.size()),
            PageUse::Run(page_count) => layout | RUN | to_value(page_count),
        };
        entry.store(value, Ordering::Release);
    }

    /// What stands there of a page.
    pub(crate) fn read(&self, page: u32) -> Result<Entry, BadEntry> {
        let value = self.entry(page).ok_or(BadEntry)?.load(Ordering::Acquire);
        let (layout, count) = (value >> LAYOUT_SHIFT, (value & VALUE) as usize);
        let usage = if value == 0 {
            PageUse::Free
        } else if value & RUN != 0 {
            PageUse::Run(count)
        } else if count <= MAX_SMALL_LEN {
            PageUse::Slab(Class::of_size(count).ok_or(BadEntry)?)
        } else {
            return Err(BadEntry);
        };
        if usage == PageUse::Run(0) || (layout == 0) != (usage == PageUse::Free) {
            return Err(BadEntry);
        }
        Ok(Entry { layout, usage })
    }

    /// Where the entry of a page is, of those that the table has.
    pub(crate) fn entry_at(&self, page: u32) -> Option<NonNull<AtomicU32>> {
        self.entry(page).map(NonNull::from)
    }

    fn entry(&self, page: u32) -> Option<&AtomicU32> {
        if page as usize >= self.len {
            return None;
        }
        // SAFETY: the page is below the count of entries that the maker of the table vouched for.
        Some(unsafe { self.entries.add(page as usize).as_ref() })
    }
}

/// Fits by far: objects have at most 2048 bytes, segments fewer than 2^27 pages.
fn to_value(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(VALUE) & VALUE
}
