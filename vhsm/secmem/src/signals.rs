//! No signal handler runs while a call does.
//!
//! A handler on an alternate stack (`SA_ONSTACK`, as tokio and Rust's own are) would have the
//! kernel write the interrupted registers there, outside the arena. Faults cannot be put off and
//! are left alone, since they end the process; so are the two signals that the C library keeps
//! for itself, whose handlers it runs on the stack at hand.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr;

/// Signals that an instruction of this thread raises, and that end the process.
const FAULTS: [libc::c_int; 6] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGSYS,
];

thread_local! {
    // No destructor, see redirect.rs.
    static ARE_BLOCKED: Cell<bool> = const { Cell::new(false) };
}

/// Blocks every signal but faults on this thread, for good, so that each cryptographic call need
/// not do so and undo it, which takes two system calls. For threads that do little else: some
/// other thread is the one to take signals. Whoever unblocks one later on this thread has its
/// handler run within calls, on a stack that is outside the arena if the handler asks for that.
///
/// A thread that never calls this is served as well, at that price.
pub fn block_signals_on_this_thread() {
    ARE_BLOCKED.set(block().is_some());
}

/// Signals are blocked while this lives, and as they were when it is dropped.
#[must_use]
pub(crate) struct Silence {
    before: Option<libc::sigset_t>,
}

impl Silence {
    #[inline]
    pub(crate) fn keep() -> Self {
        Self {
            before: if ARE_BLOCKED.get() { None } else { block() },
        }
    }
}

impl Drop for Silence {
    #[inline]
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // SAFETY: reads the set that we pass by pointer.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, ptr::null_mut()) };
        }
    }
}

/// Blocks what can be blocked; gives what was blocked before. It fails for no set, as POSIX has it.
fn block() -> Option<libc::sigset_t> {
    let (mut wanted, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: sigfillset initialises the set before anything reads it; pthread_sigmask reads that
    // one and on success initialises the other.
    unsafe {
        libc::sigfillset(wanted.as_mut_ptr());
        for fault in FAULTS {
            libc::sigdelset(wanted.as_mut_ptr(), fault);
        }
        let blocked =
            libc::pthread_sigmask(libc::SIG_BLOCK, wanted.as_ptr(), before.as_mut_ptr()) == 0;
        blocked.then(|| before.assume_init())
    }
}
