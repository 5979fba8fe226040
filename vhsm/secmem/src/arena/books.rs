//! The central books of an arena: which pages and which objects are taken. No pointers here.

use super::class::{Class, MAX_OBJECTS, SIZES};
use super::pages::FreePages;
use crate::mapping::PAGE_LEN;

/// A page of an arena: its segment and its number within.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PageId {
    pub(crate) segment: u8,
    pub(crate) page: u32,
}

/// An object of a slab: its page and its number within.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) page: PageId,
    pub(crate) object: u8,
}

/// Who asks: most may not touch the pages kept in reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    /// May leave no fewer free pages than the reserve.
    Ordinary,
    /// May take the last page: see [`super::Heap::with_reserve`].
    Reserve,
}

/// Taken and free, for all segments of one arena.
#[derive(Debug)]
pub(crate) struct Books {
    segments: Vec<SegmentBooks>,
    /// First slab of each class that has both taken and free objects.
    partial: [Option<PageId>; SIZES.len()],
    reserve_pages: usize,
    used_len: usize,
}

#[derive(Debug)]
struct SegmentBooks {
    free: FreePages,
    slabs: Vec<Slab>,
}

/// What is taken of one page, while it is a slab; and its place in the list of partial ones.
#[derive(Clone, Debug, Default)]
struct Slab {
    taken: [u64; MAX_OBJECTS / 64],
    taken_count: u16,
    previous: Option<PageId>,
    next: Option<PageId>,
}

impl Slab {
    /// A slab of which nothing is taken.
    fn of(class: Class) -> Self {
        let mut slab = Self::default();
        // Objects that the page has no room for are taken from the start.
        for (word, first) in slab.taken.iter_mut().zip((0..).step_by(64)) {
            *word = match class.objects_per_page().saturating_sub(first) {
                0 => u64::MAX,
                room @ 1..64 => u64::MAX << room,
                _ => 0,
            };
        }
        slab
    }
}

impl Books {
    /// Books without a segment, that keep `reserve_pages` back from ordinary callers.
    pub(crate) fn new(reserve_pages: usize) -> Self {
        Self {
            segments: Vec::new(),
            partial: [None; SIZES.len()],
            reserve_pages,
            used_len: 0,
        }
    }

    /// Adds a segment of `page_count` free pages; its number is the count of those before.
    pub(crate) fn add_segment(&mut self, page_count: usize) {
        self.segments.push(SegmentBooks {
            free: FreePages::new(page_count),
            slabs: vec![Slab::default(); page_count],
        });
    }

    /// Bytes taken, rounded up to classes and pages.
    pub(crate) fn used_len(&self) -> usize {
        self.used_len
    }

    /// Pages that nobody has.
    pub(crate) fn free_pages(&self) -> usize {
        self.segments
            .iter()
            .map(|each| each.free.free_count())
            .sum()
    }

    /// Takes an object, opening a new slab if every one of the class is full.
    pub(crate) fn take_object(&mut self, class: Class, draw: Draw) -> Option<Place> {
        let page = match self.partial[usize::from(class.index())] {
            Some(page) => page,
            None => self.open_slab(class, draw)?,
        };
        let slab = self.slab(page);
        let (word, bits) = slab
            .taken
            .iter_mut()
            .enumerate()
            .find(|(_, bits)| **bits != u64::MAX)?;
        let bit = bits.trailing_ones();
        *bits |= 1 << bit;
        slab.taken_count += 1;
        let object = u8::try_from(word * 64 + bit as usize).ok()?;
        if usize::from(slab.taken_count) == class.objects_per_page() {
            self.unlink(page, class);
        }
        self.used_len += class.size();
        Some(Place { page, object })
    }

    /// Gives an object back; tells whether its page is now free and no slab any more.
    pub(crate) fn give_object(&mut self, place: Place, class: Class) -> bool {
        let was_full = {
            let slab = self.slab(place.page);
            let bit = 1 << (place.object % 64);
            let word = &mut slab.taken[usize::from(place.object / 64)];
            debug_assert!(*word & bit != 0, "object was free already");
            *word &= !bit;
            let was_full = usize::from(slab.taken_count) == class.objects_per_page();
            slab.taken_count -= 1;
            was_full
        };
        self.used_len -= class.size();
        if self.slab(place.page).taken_count == 0 {
            if !was_full {
                self.unlink(place.page, class);
            }
            self.give_pages(place.page, 1);
            return true;
        }
        if was_full {
            self.link(place.page, class);
        }
        false
    }

    /// Takes `page_count` pages in a row.
    pub(crate) fn take_run(&mut self, page_count: usize, draw: Draw) -> Option<PageId> {
        self.may_take(page_count, draw)?;
        let page = self
            .segments
            .iter_mut()
            .zip(0_u8..)
            .find_map(|(each, segment)| {
                let page = each.free.take_highest_run(page_count)?;
                Some(PageId {
                    segment,
                    page: u32::try_from(page).ok()?,
                })
            })?;
        self.used_len += page_count * PAGE_LEN;
        Some(page)
    }

    /// Gives a run back.
    pub(crate) fn give_run(&mut self, first: PageId, page_count: usize) {
        self.used_len -= page_count * PAGE_LEN;
        self.give_pages(first, page_count);
    }

    /// Takes a page as a slab of which `objects` are taken, as its segment says.
    pub(crate) fn adopt_slab(&mut self, id: PageId, class: Class, objects: &[u8]) -> bool {
        if !self.hold_pages(id, 1) {
            return false;
        }
        let slab = self.slab(id);
        *slab = Slab::of(class);
        for object in objects {
            slab.taken[usize::from(object / 64)] |= 1 << (object % 64);
            slab.taken_count += 1;
        }
        self.used_len += objects.len() * class.size();
        if objects.len() < class.objects_per_page() {
            self.link(id, class);
        }
        true
    }

    /// Takes pages as a run, as their segment says.
    pub(crate) fn adopt_run(&mut self, first: PageId, page_count: usize) -> bool {
        let is_free = self.hold_pages(first, page_count);
        if is_free {
            self.used_len += page_count * PAGE_LEN;
        }
        is_free
    }

    /// Takes pages that are neither slab nor run; tells whether they were free.
    pub(crate) fn hold_pages(&mut self, first: PageId, page_count: usize) -> bool {
        self.segments[usize::from(first.segment)]
            .free
            .take_at(first.page as usize, page_count)
    }

    fn may_take(&self, page_count: usize, draw: Draw) -> Option<()> {
        let kept = match draw {
            Draw::Ordinary => self.reserve_pages,
            Draw::Reserve => 0,
        };
        (page_count.checked_add(kept)? <= self.free_pages()).then_some(())
    }

    fn open_slab(&mut self, class: Class, draw: Draw) -> Option<PageId> {
        self.may_take(1, draw)?;
        let id = self
            .segments
            .iter_mut()
            .zip(0_u8..)
            .find_map(|(each, segment)| {
                let page = each.free.take_lowest()?;
                Some(PageId {
                    segment,
                    page: u32::try_from(page).ok()?,
                })
            })?;
        let slab = self.slab(id);
        *slab = Slab::of(class);
        self.link(id, class);
        Some(id)
    }

    /// Gives pages back that [`Books::hold_pages`] took, or that were a slab or a run.
    pub(crate) fn give_pages(&mut self, first: PageId, page_count: usize) {
        self.segments[usize::from(first.segment)]
            .free
            .give_back(first.page as usize, page_count);
    }

    /// Puts a slab at the head of its class's list.
    fn link(&mut self, page: PageId, class: Class) {
        let head = self.partial[usize::from(class.index())].replace(page);
        let slab = self.slab(page);
        slab.previous = None;
        slab.next = head;
        if let Some(head) = head {
            self.slab(head).previous = Some(page);
        }
    }

    /// Takes a slab out of its class's list.
    fn unlink(&mut self, page: PageId, class: Class) {
        let slab = self.slab(page);
        let (previous, next) = (slab.previous.take(), slab.next.take());
        match previous {
            Some(previous) => self.slab(previous).next = next,
            None => self.partial[usize::from(class.index())] = next,
        }
        if let Some(next) = next {
            self.slab(next).previous = previous;
        }
    }

    fn slab(&mut self, id: PageId) -> &mut Slab {
        &mut self.segments[usize::from(id.segment)].slabs[id.page as usize]
    }
}
