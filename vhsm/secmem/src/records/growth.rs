//! More segments, one by one, each kept before it is used.

use super::head::{SegmentHead, StoreId, head_len};
use crate::arena::{Heap, MAX_SEGMENTS};
use crate::mapping::Mapping;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Keeps a segment for the next process: its descriptor and its number.
pub(crate) type Keeper = Box<dyn Fn(BorrowedFd<'_>, u32) -> io::Result<()> + Send + Sync>;

/// A segment could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep records segment {index} for the next process")]
pub struct NotKept {
    /// Which segment.
    pub index: u32,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// How segments to come are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GrowthTerms {
    /// Bytes of each.
    pub(crate) segment_len: usize,
    /// Bytes of all together.
    pub(crate) max_len: usize,
    /// Of `memfd_secret`, or locked memory.
    pub(crate) is_secret: bool,
}

/// The segments that are there, and how there come to be more.
pub(crate) struct Growth {
    terms: GrowthTerms,
    store: StoreId,
    count: u32,
    /// In use, and kept by nobody yet.
    unkept: Vec<(u32, OwnedFd)>,
    /// Not in use: it may be kept or not, since its keeper has failed. Another one with the same
    /// number would make two, so it is this one that is tried again.
    pending: Option<Made>,
    keeper: Option<Keeper>,
}

/// A segment that is not in use yet.
struct Made {
    mapping: Mapping,
    descriptor: Option<OwnedFd>,
}

impl Growth {
    /// For a store of `count` segments, all of which are kept but for `unkept`.
    pub(crate) fn new(
        terms: GrowthTerms,
        store: StoreId,
        count: u32,
        unkept: Vec<(u32, OwnedFd)>,
    ) -> Self {
        Self {
            terms,
            store,
            count,
            unkept,
            pending: None,
            keeper: None,
        }
    }

    /// Adds a segment with room for `len` bytes in a row; none if there is to be no more.
    pub(crate) fn grow(&mut self, heap: &Heap, first: SegmentHead, len: usize) -> Option<()> {
        let segment_len = self.terms.segment_len;
        let would_fit = len <= segment_len.saturating_sub(head_len(segment_len));
        let is_allowed = heap.size().checked_add(segment_len)? <= self.terms.max_len
            && (self.count as usize) < MAX_SEGMENTS;
        if !would_fit || !is_allowed {
            return None;
        }
        let made = match self.pending.take() {
            Some(made) => made,
            None => Made::new(&self.terms, self.store, self.count).ok()?,
        };
        if let (Some(descriptor), Some(keeper)) = (&made.descriptor, &self.keeper) {
            if keeper(descriptor.as_fd(), self.count).is_err() {
                self.pending = Some(made);
                return None;
            }
            first.set_kept_count(self.count + 1);
        }
        let index = self.count;
        heap.add_segment(SegmentHead::segment(made.mapping)).ok()?;
        self.count += 1;
        if self.keeper.is_none() {
            self.unkept
                .extend(made.descriptor.map(|each| (index, each)));
        }
        Some(())
    }

    /// Has `keeper` keep what is not kept yet, in order, and what is to come.
    pub(crate) fn keep(&mut self, first: SegmentHead, keeper: Keeper) -> Result<(), NotKept> {
        while let Some((index, descriptor)) = self.unkept.first() {
            let index = *index;
            keeper(descriptor.as_fd(), index).map_err(|source| NotKept { index, source })?;
            first.set_kept_count(index + 1);
            // Without our descriptor, the pages cannot be reached by way of /proc/PID/fd.
            self.unkept.remove(0);
        }
        self.keeper = Some(keeper);
        Ok(())
    }

    pub(crate) fn has_unkept(&self) -> bool {
        !self.unkept.is_empty()
    }

    pub(crate) fn max_len(&self) -> usize {
        self.terms.max_len
    }
}

impl Made {
    /// Maps a segment and writes its head.
    fn new(terms: &GrowthTerms, store: StoreId, index: u32) -> io::Result<Self> {
        let (mapping, descriptor) = if terms.is_secret {
            let (mapping, descriptor) = Mapping::secret_with_descriptor(terms.segment_len)?;
            (mapping, Some(descriptor))
        } else {
            (Mapping::locked(terms.segment_len)?, None)
        };
        SegmentHead::write(&mapping, store, index);
        Ok(Self {
            mapping,
            descriptor,
        })
    }
}

impl fmt::Debug for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Growth")
            .field("terms", &self.terms)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}
