//! All segments of this process.

use super::growth::{Growth, GrowthTerms, Keeper, NotKept};
use super::head::{SegmentHead, StoreId};
use super::slot::Slot;
use super::upgrade::Retiring;
use crate::arena::{Draw, Heap, Traffic};
use crate::mapping::{Mapping, PAGE_LEN, wipe};
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Pages that new records leave to changes of those that are there.
pub(crate) const RESERVE_PAGES: usize = 1;

/// The records arena.
#[derive(Debug)]
pub(crate) struct Store {
    heap: Heap,
    /// Of the first segment.
    head: SegmentHead,
    /// The highest number that a commit had.
    sequence: AtomicU64,
    keeps_dropped: AtomicBool,
    growth: Mutex<Growth>,
    /// Pages of an older layout, whose records have been copied: to be freed once the copies are
    /// kept.
    retiring: Mutex<Vec<Retiring>>,
}

impl Store {
    pub(crate) fn new(heap: Heap, head: SegmentHead, sequence: u64, growth: Growth) -> Self {
        Self {
            heap,
            head,
            sequence: AtomicU64::new(sequence),
            keeps_dropped: AtomicBool::new(false),
            growth: Mutex::new(growth),
            retiring: Mutex::new(Vec::new()),
        }
    }

    /// A store without a record, in one segment that nobody keeps yet.
    pub(crate) fn fresh(
        mapping: Mapping,
        descriptor: Option<OwnedFd>,
        terms: GrowthTerms,
        id: StoreId,
    ) -> Self {
        let head = SegmentHead::write(&mapping, id, 0);
        let heap = Heap::empty(mapping.len(), Traffic::Calm, RESERVE_PAGES);
        // The first place is free.
        let _ = heap.add_segment(SegmentHead::segment(mapping));
        let unkept = descriptor.map(|each| (0, each)).into_iter().collect();
        Self::new(heap, head, 0, Growth::new(terms, id, 1, unkept))
    }

    /// `len` zero bytes, from another segment where the present ones are full.
    pub(crate) fn allocate(&self, len: usize, draw: Draw) -> Option<NonNull<u8>> {
        self.heap.allocate(len, draw).or_else(|| {
            // Held for the whole growth: who comes meanwhile finds the new segment.
            let mut growth = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                if let Some(start) = self.heap.allocate(len, draw) {
                    return Some(start);
                }
                growth.grow(&self.heap, self.head, len)?;
            }
        })
    }

    /// Uncommits a slot, zeroes it and takes it back.
    ///
    /// # Safety
    /// The slot was handed out, and nobody uses it any more.
    pub(crate) unsafe fn erase(&self, slot: Slot) {
        slot.uncommit();
        // SAFETY: the caller's promise.
        unsafe { self.heap.release(slot.start()) };
    }

    /// The number of the next commit.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn wipe_all(&self) {
        self.head.wipe_through(self.sequence.load(Ordering::SeqCst));
    }

    pub(crate) fn keep_dropped(&self, keep: bool) {
        self.keeps_dropped.store(keep, Ordering::SeqCst);
    }

    pub(crate) fn keeps_dropped(&self) -> bool {
        self.keeps_dropped.load(Ordering::SeqCst)
    }

    /// Has `keeper` keep every segment that nobody keeps yet, and those to come; then frees what
    /// an upgrade has left behind.
    pub(crate) fn keep_segments(&self, keeper: Keeper) -> Result<(), NotKept> {
        self.growth
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .keep(self.head, keeper)?;
        self.retire();
        Ok(())
    }

    /// Whether there are segments that nobody keeps yet.
    pub(crate) fn has_unkept(&self) -> bool {
        self.growth
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .has_unkept()
    }

    /// Adds pages to be freed once what replaces them is kept.
    pub(crate) fn retire_later(&self, pages: Vec<Retiring>) {
        self.retiring
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(pages);
    }

    /// Wipes and frees what an upgrade has left behind.
    pub(crate) fn retire(&self) {
        let mut retiring = self.retiring.lock().unwrap_or_else(PoisonError::into_inner);
        for pages in retiring.drain(..) {
            let Some(start) = self.heap.page_start(pages.first) else {
                continue;
            };
            for commit in &pages.commits {
                // SAFETY: within the held pages, aligned as slots are; the arena is never unmapped.
                unsafe { commit.as_ref() }.store(0, Ordering::SeqCst);
            }
            // SAFETY: the pages are held, and nobody refers to what is in them.
            unsafe { wipe(start.as_ptr(), pages.page_count * PAGE_LEN) };
            // SAFETY: the entry of the first page in the table of its segment.
            unsafe { pages.entry.as_ref() }.store(0, Ordering::SeqCst);
            self.heap.give_held(pages.first, pages.page_count);
        }
    }

    pub(crate) fn heap(&self) -> &Heap {
        &self.heap
    }

    /// Bytes that all segments together may have.
    pub(crate) fn max_len(&self) -> usize {
        self.growth
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .max_len()
            .max(self.heap.size())
    }
}
