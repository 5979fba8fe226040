//! A zeroing allocator over locked segments.
//!
//! ```text
//!   allocate(len) -- small --> magazine of this thread's slot --> books: slab of its class
//!                 -- large ------------------------------------> books: run of pages
//!   release(ptr)  -- handed out? else abort -- wipe -- the same way back
//! ```
//!
//! Everything free is zero. Exhaustion is `None`. A pointer that was never handed out, or was
//! given back already, ends the process: whoever passes one would otherwise be given somebody
//! else's key.

mod books;
mod class;
mod magazine;
mod pages;
mod segment;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use books::{Draw, PageId};
pub(crate) use segment::{PageUse, Segment};
pub(crate) use table::{ENTRY_LEN, PageTable};

use crate::mapping::{Mapping, PAGE_LEN, wipe};
use books::{Books, Place};
use class::Class;
use magazine::{Full, Magazines};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Most segments that one arena may have.
pub(crate) const MAX_SEGMENTS: usize = 64;

/// Room for one set of objects, in one or more segments.
#[derive(Debug)]
pub(crate) struct Heap {
    /// Filled from the front and never emptied, so that a pointer is found without a lock.
    segments: [OnceLock<Segment>; MAX_SEGMENTS],
    books: Mutex<Books>,
    magazines: Magazines,
    reserve: Mutex<()>,
    reserve_pages: usize,
}

/// How busy an arena is that small objects come and go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// Few allocations that live long: no stocks.
    Calm,
    /// Thirty allocations a signature: stocks for each thread.
    Busy,
}

/// Where a pointer points, after it was checked.
struct Found<'a> {
    segment: &'a Segment,
    page: PageId,
    object: u8,
    usage: PageUse,
    capacity: usize,
}

impl Heap {
    /// A heap of one segment, which keeps `reserve_pages` for [`Heap::with_reserve`].
    pub(crate) fn new(mapping: Mapping, traffic: Traffic, reserve_pages: usize) -> Self {
        let heap = Self::empty(mapping.len(), traffic, reserve_pages);
        // The first place is free.
        let _ = heap.add_segment(Segment::new(mapping));
        heap
    }

    /// A heap without a segment, whose stocks are for about `arena_len` bytes.
    pub(crate) fn empty(arena_len: usize, traffic: Traffic, reserve_pages: usize) -> Self {
        Self {
            segments: [const { OnceLock::new() }; MAX_SEGMENTS],
            books: Mutex::new(Books::new(reserve_pages)),
            magazines: match traffic {
                Traffic::Calm => Magazines::none(),
                Traffic::Busy => Magazines::for_arena(arena_len),
            },
            reserve: Mutex::new(()),
            reserve_pages,
        }
    }

    /// Adds room; gives the segment back if there are [`MAX_SEGMENTS`] already.
    pub(crate) fn add_segment(&self, segment: Segment) -> Result<(), Box<Segment>> {
        let mut books = self.books();
        let Some(vacant) = self.segments.iter().find(|each| each.get().is_none()) else {
            return Err(Box::new(segment));
        };
        let segment = vacant.get_or_init(|| segment);
        books.add_segment(segment.page_count());
        Ok(())
    }

    /// Takes over a page whose segment says that it is used so, with `objects` of it handed out;
    /// of a run, the first page says it for all. Tells whether the pages were free.
    pub(crate) fn adopt(&self, page: PageId, usage: PageUse, objects: &[u8]) -> bool {
        let mut books = self.books();
        let is_free = match usage {
            PageUse::Free => true,
            PageUse::Slab(class) => books.adopt_slab(page, class, objects),
            PageUse::Run(page_count) => books.adopt_run(page, page_count),
        };
        if is_free && let Some(segment) = self.segment(page) {
            segment.adopt(page.page, usage, objects);
        }
        is_free
    }

    /// Keeps free pages from everybody until [`Heap::give_held`]; tells whether they were free.
    pub(crate) fn hold(&self, first: PageId, page_count: usize) -> bool {
        self.books().hold_pages(first, page_count)
    }

    /// Gives held pages, which are zero, to everybody.
    pub(crate) fn give_held(&self, first: PageId, page_count: usize) {
        self.books().give_pages(first, page_count);
    }

    /// First byte of a page.
    pub(crate) fn page_start(&self, page: PageId) -> Option<NonNull<u8>> {
        let segment = self.segment(page)?;
        ((page.page as usize) < segment.page_count()).then(|| segment.address(page.page, 0))
    }

    /// Start address and length of each segment.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (usize, usize)> {
        self.segments().map(Segment::range)
    }

    /// Bytes of all segments.
    pub(crate) fn size(&self) -> usize {
        self.ranges().map(|(_, len)| len).sum()
    }

    /// Bytes handed out, rounded up to classes and pages.
    pub(crate) fn used_len(&self) -> usize {
        let in_stock: usize = self.magazines.each().map(|stock| stock.stock_len()).sum();
        self.books().used_len().saturating_sub(in_stock)
    }

    /// `len` zero bytes, aligned to 16; at least one byte is there even if `len` is zero.
    #[inline]
    pub(crate) fn allocate(&self, len: usize, draw: Draw) -> Option<NonNull<u8>> {
        match Class::for_len(len) {
            Some(class) => self.allocate_small(class, draw),
            None => self.allocate_run(len.div_ceil(PAGE_LEN), draw),
        }
    }

    /// Zeroes what is at `start` and takes it back. Ends the process if nothing is handed out
    /// there.
    ///
    /// # Safety
    /// Nobody may use the object any more.
    pub(crate) unsafe fn release(&self, start: NonNull<u8>) {
        let found = self.find(start);
        if !found.segment.take_back(found.page.page, found.object) {
            corrupt("an object of the arena was freed twice");
        }
        // SAFETY: the object was handed out, and by the line above nobody but us can take it
        // back; its owner is done with it. `capacity` is what the page's books say it has.
        unsafe { wipe(start.as_ptr(), found.capacity) };
        match found.usage {
            PageUse::Slab(class) => self.stow(
                Place {
                    page: found.page,
                    object: found.object,
                },
                class,
            ),
            PageUse::Run(page_count) => {
                let mut books = self.books();
                found.segment.set_usage(found.page.page, PageUse::Free);
                books.give_run(found.page, page_count);
            }
            PageUse::Free => {}
        }
    }

    /// Makes an object `len` bytes long, moving it where it must; the bytes up to the shorter of
    /// both lengths stay, and what it leaves is zeroed. On `None`, nothing has changed.
    ///
    /// # Safety
    /// Nobody else may use the object during the call, and after it only by the new pointer.
    pub(crate) unsafe fn resize(
        &self,
        start: NonNull<u8>,
        len: usize,
        draw: Draw,
    ) -> Option<NonNull<u8>> {
        let capacity = self.find_handed_out(start).capacity;
        if len <= capacity && len >= capacity / 2 {
            // SAFETY: the object has `capacity` bytes and is the caller's alone.
            unsafe { wipe(start.as_ptr().add(len), capacity - len) };
            return Some(start);
        }
        let moved = self.allocate(len, draw)?;
        // SAFETY: both objects have at least that many bytes, and being two, do not overlap.
        unsafe {
            moved
                .as_ptr()
                .copy_from_nonoverlapping(start.as_ptr(), capacity.min(len));
        }
        // SAFETY: the caller uses the old pointer no more.
        unsafe { self.release(start) };
        Some(moved)
    }

    /// How many bytes the object at `start` has room for. Ends the process if none is there.
    #[cfg(test)]
    pub(crate) fn capacity(&self, start: NonNull<u8>) -> usize {
        self.find_handed_out(start).capacity
    }

    /// Runs `work` while no other thread is here and the reserve is free; its allocations with
    /// [`Draw::Reserve`] cannot fail then as long as they fit the reserve. `None`, and no call, if
    /// the arena is too full.
    pub(crate) fn with_reserve<R>(&self, work: impl FnOnce() -> R) -> Option<R> {
        let _turn = self.reserve.lock().unwrap_or_else(PoisonError::into_inner);
        if self.books().free_pages() < self.reserve_pages {
            self.empty_stocks();
            if self.books().free_pages() < self.reserve_pages {
                return None;
            }
        }
        Some(work())
    }

    #[inline]
    fn allocate_small(&self, class: Class, draw: Draw) -> Option<NonNull<u8>> {
        if let Some(mut stock) = self.magazines.home()
            && let Some(place) = stock.pop(class)
        {
            drop(stock);
            return self.hand_out(place, class);
        }
        let place = self.take_object(class, draw).or_else(|| {
            self.empty_stocks();
            self.take_object(class, draw)
        })?;
        self.hand_out(place, class)
    }

    #[inline]
    fn hand_out(&self, place: Place, class: Class) -> Option<NonNull<u8>> {
        let segment = self.segment(place.page)?;
        if !segment.hand_out(place.page.page, place.object) {
            corrupt("an object of the arena was handed out twice");
        }
        Some(segment.address(place.page.page, usize::from(place.object) * class.size()))
    }

    fn take_object(&self, class: Class, draw: Draw) -> Option<Place> {
        let mut books = self.books();
        let place = books.take_object(class, draw)?;
        self.segment(place.page)?
            .set_usage(place.page.page, PageUse::Slab(class));
        Some(place)
    }

    fn allocate_run(&self, page_count: usize, draw: Draw) -> Option<NonNull<u8>> {
        let page = self.take_run(page_count, draw).or_else(|| {
            self.empty_stocks();
            self.take_run(page_count, draw)
        })?;
        let segment = self.segment(page)?;
        if !segment.hand_out(page.page, 0) {
            corrupt("pages of the arena were handed out twice");
        }
        Some(segment.address(page.page, 0))
    }

    fn take_run(&self, page_count: usize, draw: Draw) -> Option<PageId> {
        let mut books = self.books();
        let page = books.take_run(page_count, draw)?;
        self.segment(page)?
            .set_usage(page.page, PageUse::Run(page_count));
        Some(page)
    }

    /// Puts a zeroed object into stock, or into the books where that is full.
    #[inline]
    fn stow(&self, place: Place, class: Class) {
        if let Some(mut stock) = self.magazines.home() {
            match stock.push(place, class) {
                Ok(()) => return,
                Err(Full::Class) => {}
                Err(Full::Stock) => {
                    // Other classes fill the stock: start anew with those in use now.
                    let mut books = self.books();
                    stock.drain(|place, class| self.give_object(&mut books, place, class));
                }
            }
        }
        self.give_object(&mut self.books(), place, class);
    }

    fn give_object(&self, books: &mut Books, place: Place, class: Class) {
        if books.give_object(place, class)
            && let Some(segment) = self.segment(place.page)
        {
            segment.set_usage(place.page.page, PageUse::Free);
        }
    }

    fn empty_stocks(&self) {
        for mut stock in self.magazines.each() {
            stock.drain(|place, class| self.give_object(&mut self.books(), place, class));
        }
    }

    /// What is at `start`, which must be the start of an object; handed out or not.
    #[inline]
    fn find(&self, start: NonNull<u8>) -> Found<'_> {
        for (segment, number) in self.segments().zip(0_u8..) {
            let Some((page, offset)) = segment.locate(start.as_ptr().addr()) else {
                continue;
            };
            let usage = segment.usage(page);
            let found = match usage {
                PageUse::Slab(class) => class
                    .object_at(offset)
                    .and_then(|object| Some((u8::try_from(object).ok()?, class.size()))),
                PageUse::Run(page_count) => (offset == 0).then_some((0, page_count * PAGE_LEN)),
                PageUse::Free => None,
            };
            let Some((object, capacity)) = found else {
                corrupt("a pointer into the arena is no object of it");
            };
            return Found {
                segment,
                page: PageId {
                    segment: number,
                    page,
                },
                object,
                usage,
                capacity,
            };
        }
        corrupt("a pointer from outside the arena was given to it");
    }

    fn find_handed_out(&self, start: NonNull<u8>) -> Found<'_> {
        let found = self.find(start);
        if !found.segment.is_handed_out(found.page.page, found.object) {
            corrupt("an object of the arena was used after it was freed");
        }
        found
    }

    #[inline]
    fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().map_while(OnceLock::get)
    }

    #[inline]
    fn segment(&self, page: PageId) -> Option<&Segment> {
        self.segments[usize::from(page.segment)].get()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // The books are changed by code that does not panic.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the process with one line on standard error, without allocating or unwinding.
#[cold]
fn corrupt(what: &str) -> ! {
    for part in ["nitride-secmem: ", what, "; ending the process\n"] {
        // SAFETY: the pointer and the length are those of a string slice.
        unsafe { libc::write(libc::STDERR_FILENO, part.as_ptr().cast(), part.len()) };
    }
    std::process::abort();
}
