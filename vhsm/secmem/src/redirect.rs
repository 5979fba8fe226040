//! AWS-LC's allocator, redirected into the heap arena.

use crate::arena::{Draw, Heap};
use crate::arenas::arenas;
use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::ptr::{self, NonNull};

thread_local! {
    // Neither has a destructor: AWS-LC frees its thread state while a thread's locals go away.
    static DRAW: Cell<Draw> = const { Cell::new(Draw::Ordinary) };
    static WAS_REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// Points AWS-LC's `OPENSSL_malloc`, `realloc` and `free` here. Works once a process, and must
/// come before AWS-LC allocates anything, since what it got before it would free here.
pub(crate) fn redirect() -> bool {
    // SAFETY: the three functions keep the contract of malloc, realloc and free for as long as
    // the process lives, do not unwind, and call nothing of AWS-LC.
    unsafe {
        aws_lc_sys::CRYPTO_set_mem_functions(Some(allocate), Some(resize), Some(release)) == 1
    }
}

/// Runs `work` while this thread's allocations may use the arena's reserve.
pub(crate) fn drawing_on_reserve<R>(work: impl FnOnce() -> R) -> R {
    struct Restore(Draw);
    impl Drop for Restore {
        fn drop(&mut self) {
            DRAW.set(self.0);
        }
    }
    let _restore = Restore(DRAW.replace(Draw::Reserve));
    work()
}

/// Whether this thread's allocations may use the reserve now.
pub(crate) fn draws_on_reserve() -> bool {
    DRAW.get() == Draw::Reserve
}

/// Whether AWS-LC was refused memory on this thread since this was last asked.
pub(crate) fn take_refusal() -> bool {
    WAS_REFUSED.replace(false)
}

fn heap() -> Option<&'static Heap> {
    arenas().map(|arenas| &arenas.heap)
}

fn hand_over(start: Option<NonNull<u8>>) -> *mut c_void {
    match start {
        Some(start) => {
            #[cfg(test)]
            sabotage::count(1);
            start.as_ptr().cast()
        }
        None => {
            WAS_REFUSED.set(true);
            ptr::null_mut()
        }
    }
}

unsafe extern "C" fn allocate(len: usize, _file: *const c_char, _line: c_int) -> *mut c_void {
    #[cfg(test)]
    if sabotage::strikes() {
        return hand_over(None);
    }
    hand_over(heap().and_then(|heap| heap.allocate(len, DRAW.get())))
}

unsafe extern "C" fn resize(
    start: *mut c_void,
    len: usize,
    file: *const c_char,
    line: c_int,
) -> *mut c_void {
    let Some(start) = NonNull::new(start.cast::<u8>()) else {
        // SAFETY: the same contract.
        return unsafe { allocate(len, file, line) };
    };
    #[cfg(test)]
    if sabotage::strikes() {
        return hand_over(None);
    }
    // SAFETY: by the contract of realloc, the object is the caller's alone, and after success
    // reached by the new pointer only.
    let moved = heap().and_then(|heap| unsafe { heap.resize(start, len, DRAW.get()) });
    #[cfg(test)]
    if moved.is_some() {
        sabotage::count(-1);
    }
    hand_over(moved)
}

unsafe extern "C" fn release(start: *mut c_void, _file: *const c_char, _line: c_int) {
    if let Some(heap) = heap()
        && let Some(start) = NonNull::new(start.cast::<u8>())
    {
        // SAFETY: by the contract of free, nobody uses the object any more. Whether it is an
        // object of the arena is checked there.
        unsafe { heap.release(start) };
        #[cfg(test)]
        sabotage::count(-1);
    }
}

/// Lets a test refuse the n-th allocation from now on, AWS-LC's or a secret's, and count what is
/// held.
#[cfg(test)]
pub(crate) mod sabotage {
    use super::{DRAW, Draw};
    use std::cell::Cell;

    /// Which allocations of a thread are refused.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Refuse {
        /// The one after so many, and no other: somebody else gave room back meanwhile.
        One(usize),
        /// Every one after so many.
        All(usize),
        None,
    }

    thread_local! {
        static REFUSE: Cell<Refuse> = const { Cell::new(Refuse::None) };
        static HAS_STRUCK: Cell<bool> = const { Cell::new(false) };
        static HELD: Cell<isize> = const { Cell::new(0) };
    }

    /// Allocations less frees of this thread.
    pub(crate) fn held() -> isize {
        HELD.get()
    }

    pub(crate) fn count(change: isize) {
        HELD.set(HELD.get() + change);
    }

    /// Refuses allocations of this thread from now on; tells whether any was refused since this
    /// was last said.
    pub(crate) fn refuse(which: Refuse) -> bool {
        REFUSE.set(which);
        HAS_STRUCK.replace(false)
    }

    pub(crate) fn strikes() -> bool {
        // What draws on the reserve is promised its memory.
        if DRAW.get() == Draw::Reserve {
            return false;
        }
        let (strikes, then) = match REFUSE.get() {
            Refuse::None => (false, Refuse::None),
            Refuse::One(0) => (true, Refuse::None),
            Refuse::One(left) => (false, Refuse::One(left - 1)),
            Refuse::All(0) => (true, Refuse::All(0)),
            Refuse::All(left) => (false, Refuse::All(left - 1)),
        };
        REFUSE.set(then);
        if strikes {
            HAS_STRUCK.set(true);
        }
        strikes
    }
}

#[cfg(test)]
mod tests;
