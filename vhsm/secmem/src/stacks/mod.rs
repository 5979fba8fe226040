//! Stacks inside the heap arena, on which AWS-LC computes.
//!
//! ```text
//!   heap arena   ... objects ... |guard| stack |guard| stack |guard| stack |
//!                                      <--- top   <--- top
//! ```
//!
//! There are a few for all threads, since a call takes microseconds: a thread takes the one that
//! it had before, else any other, else it waits. What goes least deep and is asked most has short
//! ones, since zeroing is what a stack costs. What goes deep has others, and what takes long yet
//! another, at which such calls queue, so that they keep nobody else waiting. A call that goes
//! deeper than its stack touches the guard below, which ends the process. A stack that nobody has
//! is zero.

mod switch;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use tests::deepest_of;

use crate::arena::{Draw, Heap};
use crate::mapping::{self, PAGE_LEN, wipe};
use std::cell::Cell;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

/// Bytes of one stack: measured, the calls go up to 6.8 KiB deep without optimisation (P-521), the first
/// seeding of the process included, and the frame of a signal that cannot be blocked would take up
/// to 4 KiB with AVX-512. A test measures again and fails when this is too little.
pub(crate) const STACK_LEN: usize = 16 * 1024;

/// Bytes of a stack for ciphers and tags with a key that is expanded: measured, they go up to 2.5
/// KiB deep without optimisation, the copy of a keyed hash included. Zeroing 16 KiB instead takes a
/// thirtieth of the time of a request.
pub(crate) const SLIGHT_STACK_LEN: usize = 8 * 1024;

/// Bytes of a stack for calls that go deep: measured, signing with ML-DSA-65 takes 76 KiB, and with
/// RSA 9 KiB; verifying on P-521 9.2 KiB.
pub(crate) const DEEP_STACK_LEN: usize = 128 * 1024;

/// Bytes of the stack for calls that take long: measured, making an RSA key takes 8.4 KiB.
pub(crate) const SLOW_STACK_LEN: usize = 32 * 1024;

/// Bytes below each stack that nobody may touch.
const GUARD_LEN: usize = PAGE_LEN;

const MIN_COUNT: usize = 4;
const MAX_COUNT: usize = 16;
/// Arena bytes for each stack: more than the fewest take at most a sixth of the arena.
const ARENA_LEN_PER_STACK: usize = 128 * 1024;
/// Arena bytes for each slight stack; a smaller arena has none, and shallow ones do.
const ARENA_LEN_PER_SLIGHT_STACK: usize = 768 * 1024;
const MAX_DEEP_COUNT: usize = 4;
/// Arena bytes for each deep stack: together they take at most an eighth of the arena, or are one.
const ARENA_LEN_PER_DEEP_STACK: usize = 1024 * 1024;

thread_local! {
    // No destructors, see redirect.rs.
    static HOME: Cell<usize> = const { Cell::new(usize::MAX) };
}
static NEXT_HOME: AtomicUsize = AtomicUsize::new(0);

/// How deep a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Depth {
    /// A cipher or a tag with a key that is expanded, and nothing else.
    Slight,
    /// As almost all do, within microseconds.
    Shallow,
    /// Not much deeper, and for up to seconds.
    Slow,
    /// Deep, within a millisecond or so.
    Deep,
}

/// All stacks of the heap arena.
#[derive(Debug)]
pub(crate) struct Stacks {
    slight: Pool,
    shallow: Pool,
    slow: Pool,
    deep: Pool,
}

impl Stacks {
    /// Stacks for good, taken from `heap`: two shallow ones, two slight ones and a deep one for
    /// each processor, as far as the arena has room, and a slow one.
    pub(crate) fn in_heap(heap: &Heap) -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let most = (heap.size() / ARENA_LEN_PER_STACK).clamp(MIN_COUNT, MAX_COUNT);
        let count = processors.saturating_mul(2).clamp(MIN_COUNT, most);
        let most_deep = (heap.size() / ARENA_LEN_PER_DEEP_STACK).clamp(1, MAX_DEEP_COUNT);
        let deep_count = processors.clamp(1, most_deep);
        let slight_count = (heap.size() / ARENA_LEN_PER_SLIGHT_STACK).min(count);
        Ok(Self {
            slight: Pool::in_heap(heap, slight_count, (Depth::Slight, SLIGHT_STACK_LEN))?,
            shallow: Pool::in_heap(heap, count, (Depth::Shallow, STACK_LEN))?,
            slow: Pool::in_heap(heap, 1, (Depth::Slow, SLOW_STACK_LEN))?,
            deep: Pool::in_heap(heap, deep_count, (Depth::Deep, DEEP_STACK_LEN))?,
        })
    }

    /// A stack for this thread alone, until it is dropped. Waits for one if all are taken.
    #[inline]
    pub(crate) fn take(&self, depth: Depth) -> Stack<'_> {
        match depth {
            // A longer one does as well; nobody waits for a slight one.
            Depth::Slight => {
                return self
                    .slight
                    .take_free()
                    .unwrap_or_else(|| self.shallow.take());
            }
            Depth::Shallow => &self.shallow,
            Depth::Slow => &self.slow,
            Depth::Deep => &self.deep,
        }
        .take()
    }
}

/// Stacks of one length.
#[derive(Debug)]
struct Pool {
    slots: Box<[Slot]>,
    depth: Depth,
    /// Bytes of each.
    stack_len: usize,
    /// Threads that found every stack taken.
    waiting: AtomicUsize,
    gate: Mutex<()>,
    given_back: Condvar,
}

/// On cache lines of its own, so that neighbours do not slow each other down.
#[derive(Debug)]
#[repr(align(128))]
struct Slot {
    is_taken: AtomicBool,
    /// First byte above the guard.
    bottom: NonNull<u8>,
}

// SAFETY: the pointer is an address in the arena, reached by whoever has taken the slot alone.
unsafe impl Send for Slot {}
// SAFETY: as above; `is_taken` is atomic.
unsafe impl Sync for Slot {}

impl Pool {
    fn in_heap(heap: &Heap, count: usize, (depth, stack_len): (Depth, usize)) -> io::Result<Self> {
        let slots = (0..count)
            .map(|_| {
                let guard = heap
                    .allocate(GUARD_LEN + stack_len, Draw::Ordinary)
                    .ok_or(io::ErrorKind::OutOfMemory)?;
                // SAFETY: the object was just handed out, has that many bytes, and starts on a
                // page, as objects of whole pages do. It is never given back.
                let bottom = unsafe {
                    mapping::close(guard, GUARD_LEN)?;
                    guard.add(GUARD_LEN)
                };
                Ok(Slot {
                    is_taken: AtomicBool::new(false),
                    bottom,
                })
            })
            .collect::<io::Result<_>>()?;
        Ok(Self {
            slots,
            depth,
            stack_len,
            waiting: AtomicUsize::new(0),
            gate: Mutex::new(()),
            given_back: Condvar::new(),
        })
    }

    #[inline]
    fn take(&self) -> Stack<'_> {
        self.take_free().unwrap_or_else(|| self.wait_for_one())
    }

    #[inline]
    fn take_free(&self) -> Option<Stack<'_>> {
        let mut home = HOME.get();
        if home == usize::MAX {
            home = NEXT_HOME.fetch_add(1, Ordering::Relaxed) % usize::MAX;
            HOME.set(home);
        }
        // There may be none at all.
        let (before, from_home) = self.slots.split_at(home.checked_rem(self.slots.len())?);
        from_home
            .iter()
            .chain(before)
            .find(|slot| slot.take())
            .map(|slot| Stack { pool: self, slot })
    }

    #[cold]
    fn wait_for_one(&self) -> Stack<'_> {
        // Nothing below panics with the gate in hand.
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        // Counted before the slots are looked at again, as a slot is freed before the count is
        // looked at: one of the two sees the other.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let stack = loop {
            match self.take_free() {
                Some(stack) => break stack,
                None => {
                    gate = self
                        .given_back
                        .wait(gate)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        stack
    }

    fn note_given_back(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            // Whoever waits is either in the queue or has the gate.
            drop(self.gate.lock().unwrap_or_else(PoisonError::into_inner));
            self.given_back.notify_one();
        }
    }
}

impl Slot {
    #[inline]
    fn take(&self) -> bool {
        // Looked at first, since a failed exchange takes the cache line from its owner.
        !self.is_taken.load(Ordering::SeqCst) && !self.is_taken.swap(true, Ordering::SeqCst)
    }
}

/// A stack that this thread has.
pub(crate) struct Stack<'a> {
    pool: &'a Pool,
    slot: &'a Slot,
}

impl Stack<'_> {
    /// How deep a call on it may go, which is more than was asked for where no other was free.
    #[inline]
    pub(crate) fn depth(&self) -> Depth {
        self.pool.depth
    }

    /// Runs `work` on this stack; a panic of it is the error. What prints a panic runs here too,
    /// and with a backtrace it goes too deep and the process ends, which for a panic in the midst
    /// of a key is as well.
    #[inline]
    pub(crate) fn run<R>(&mut self, work: impl FnOnce() -> R) -> thread::Result<R> {
        #[cfg(test)]
        tests::paint(self);
        // SAFETY: the slot is ours while we live, and borrowed exclusively here. Its bytes begin
        // on a page, so their end is a multiple of 16; below them is a page that nobody may touch.
        let result = unsafe { switch::run_at(self.bottom().add(self.len()), work) };
        #[cfg(test)]
        tests::measure(self);
        result
    }

    fn len(&self) -> usize {
        self.pool.stack_len
    }

    fn bottom(&self) -> *mut u8 {
        self.slot.bottom.as_ptr()
    }
}

impl Drop for Stack<'_> {
    fn drop(&mut self) {
        // SAFETY: the bytes are the arena's, that many, and the slot is still ours.
        unsafe { wipe(self.bottom(), self.len()) };
        self.slot.is_taken.store(false, Ordering::SeqCst);
        self.pool.note_given_back();
    }
}
