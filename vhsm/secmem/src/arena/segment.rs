//! One mapping of an arena, and what each of its pages is used for.

use super::class::{Class, MAX_OBJECTS};
use super::table::PageTable;
use crate::mapping::{Mapping, PAGE_LEN};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Set in a tag that counts the pages of a run; else the tag is a class's index plus one.
const RUN: u32 = 1 << 31;

/// A mapping and one tag for each page, which lives outside it: what a stray write in the arena
/// spoils is data, never the books.
#[derive(Debug)]
pub(crate) struct Segment {
    mapping: Mapping,
    /// Bytes before the first page that is handed out.
    head_len: usize,
    /// Where the segment itself says what its pages are used for, if it does.
    table: Option<PageTable>,
    tags: Box<[PageTag]>,
}

#[derive(Debug, Default)]
struct PageTag {
    /// Free (0), a slab (class + 1), or the first page of a run (`RUN | pages`). Written under the
    /// lock of the books; read without it, by those who hold an object of the page.
    usage: AtomicU32,
    /// Which objects are handed out; for a run, bit 0 of the first page. An object in a magazine
    /// is taken in the books and not handed out here, so a double free never goes unseen.
    handed_out: [AtomicU64; MAX_OBJECTS / 64],
}

/// What a page is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageUse {
    /// Nothing; or the middle of a run, where no object starts either.
    Free,
    /// Objects of one class.
    Slab(Class),
    /// The first of this many pages that are one object.
    Run(usize),
}

impl Segment {
    /// All pages of `mapping`, with books of our own alone.
    pub(crate) fn new(mapping: Mapping) -> Self {
        Self::with_head(mapping, 0, None)
    }

    /// The pages of `mapping` that come after `head_len` bytes, written down in `table` too.
    pub(crate) fn with_head(mapping: Mapping, head_len: usize, table: Option<PageTable>) -> Self {
        let tags = (0..mapping.len().saturating_sub(head_len) / PAGE_LEN)
            .map(|_| PageTag::default())
            .collect();
        Self {
            mapping,
            head_len,
            table,
            tags,
        }
    }

    /// Address of the first byte, and length, head included.
    pub(crate) fn range(&self) -> (usize, usize) {
        (self.mapping.base().as_ptr().addr(), self.mapping.len())
    }

    pub(crate) fn page_count(&self) -> usize {
        self.tags.len()
    }

    /// Page and offset within it of an address; none if the address is not of this segment.
    #[inline]
    pub(crate) fn locate(&self, address: usize) -> Option<(u32, usize)> {
        let offset = address.wrapping_sub(self.mapping.base().as_ptr().addr() + self.head_len);
        if offset >= self.tags.len() * PAGE_LEN {
            return None;
        }
        Some((u32::try_from(offset / PAGE_LEN).ok()?, offset % PAGE_LEN))
    }

    /// The byte `offset` bytes into `page`.
    #[inline]
    pub(crate) fn address(&self, page: u32, offset: usize) -> NonNull<u8> {
        let offset = self.head_len + page as usize * PAGE_LEN + offset;
        debug_assert!(offset < self.mapping.len());
        // SAFETY: `page` comes from the books of this segment, and `offset` from a class of which
        // the page holds an object there, so the sum lies within the mapping.
        unsafe { self.mapping.base().add(offset) }
    }

    #[inline]
    pub(crate) fn usage(&self, page: u32) -> PageUse {
        let tag = self.tags[page as usize].usage.load(Ordering::Acquire);
        if tag & RUN != 0 {
            return PageUse::Run((tag & !RUN) as usize);
        }
        tag.checked_sub(1)
            .and_then(|index| Class::from_index(u8::try_from(index).ok()?))
            .map_or(PageUse::Free, PageUse::Slab)
    }

    /// Only under the lock of the books.
    pub(crate) fn set_usage(&self, page: u32, usage: PageUse) {
        let tag = match usage {
            PageUse::Free => 0,
            PageUse::Slab(class) => u32::from(class.index()) + 1,
            PageUse::Run(page_count) => RUN | u32::try_from(page_count).unwrap_or(0),
        };
        let written = &self.tags[page as usize].usage;
        if written.swap(tag, Ordering::AcqRel) != tag
            && let Some(table) = &self.table
        {
            table.write(page, usage);
        }
    }

    /// Takes over what the segment's own table says of a page, and which of its objects are there.
    pub(crate) fn adopt(&self, page: u32, usage: PageUse, objects: &[u8]) {
        let tag = &self.tags[page as usize];
        self.set_usage(page, usage);
        for object in objects {
            tag.handed_out[usize::from(object / 64)].fetch_or(1 << (object % 64), Ordering::AcqRel);
        }
    }

    /// Marks an object as handed out; tells whether it was not before.
    #[inline]
    pub(crate) fn hand_out(&self, page: u32, object: u8) -> bool {
        let bit = 1 << (object % 64);
        let word = &self.tags[page as usize].handed_out[usize::from(object / 64)];
        word.fetch_or(bit, Ordering::AcqRel) & bit == 0
    }

    /// Marks an object as taken back; tells whether it was handed out.
    #[inline]
    pub(crate) fn take_back(&self, page: u32, object: u8) -> bool {
        let bit = 1 << (object % 64);
        let word = &self.tags[page as usize].handed_out[usize::from(object / 64)];
        word.fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    /// Whether an object is handed out.
    pub(crate) fn is_handed_out(&self, page: u32, object: u8) -> bool {
        let bit = 1 << (object % 64);
        let word = &self.tags[page as usize].handed_out[usize::from(object / 64)];
        word.load(Ordering::Acquire) & bit != 0
    }
}
