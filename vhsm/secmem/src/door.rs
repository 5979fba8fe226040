//! The one door to AWS-LC.
//!
//! AWS-LC keeps its objects in the heap arena, and computes on the stack: scalars, hash states and
//! round keys pass through locals and spilled registers. So every call goes through here and runs
//! on a stack that lies in the arena too, without signals, and afterwards that stack is zeroed and
//! so are the registers. At no moment is any of it in ordinary memory.
//!
//! What goes in are pointers, and what comes out is a public result or a pointer into the arena,
//! never a secret by value: arguments, captures and results do pass the ordinary stack.

use crate::arena::Heap;
use crate::arenas::arenas;
use crate::crypto::CryptoError;
use crate::signals::Silence;
use crate::stacks::Depth;
use crate::{redirect, registers};
use std::cell::Cell;
use std::panic::resume_unwind;

thread_local! {
    // AWS-LC keeps a generator for each thread; no destructor, see redirect.rs.
    static IS_SEEDED: Cell<bool> = const { Cell::new(false) };
    static BEHIND: Cell<Option<Depth>> = const { Cell::new(None) };
}

/// Runs a call that allocates, in the arena and behind the door. A refused allocation is
/// [`CryptoError::ArenaFull`], whatever the library makes of it.
pub(crate) fn enter<R>(work: impl FnOnce() -> Result<R, CryptoError>) -> Result<R, CryptoError> {
    heap()?;
    settle(through(work))
}

/// Like [`enter`], for calls that go least deep: a cipher or a tag with a key that is expanded.
pub(crate) fn enter_slightly<R>(
    work: impl FnOnce() -> Result<R, CryptoError>,
) -> Result<R, CryptoError> {
    heap()?;
    settle(on_stack(Depth::Slight, work))
}

/// Like [`enter`], for calls that draw random bytes. AWS-LC ends the process when it has no
/// memory for a thread's generator, so that is seen to first.
pub(crate) fn enter_drawing<R>(
    work: impl FnOnce() -> Result<R, CryptoError>,
) -> Result<R, CryptoError> {
    if !seed_thread() {
        return Err(heap().err().unwrap_or(CryptoError::ArenaFull));
    }
    enter(work)
}

/// Like [`enter_drawing`], for calls that go deep: lattices, and RSA with a private key.
pub(crate) fn enter_deep<R>(
    work: impl FnOnce() -> Result<R, CryptoError>,
) -> Result<R, CryptoError> {
    enter_on(Depth::Deep, work)
}

/// Like [`enter_drawing`], for calls that take long, which go one at a time.
pub(crate) fn enter_slow<R>(
    work: impl FnOnce() -> Result<R, CryptoError>,
) -> Result<R, CryptoError> {
    enter_on(Depth::Slow, work)
}

fn enter_on<R>(
    depth: Depth,
    work: impl FnOnce() -> Result<R, CryptoError>,
) -> Result<R, CryptoError> {
    if !seed_thread() {
        return Err(heap().err().unwrap_or(CryptoError::ArenaFull));
    }
    settle(on_stack(depth, work))
}

/// Like [`enter`], for calls that do not survive a refused allocation: one at a time, and with
/// the arena's reserve behind them.
pub(crate) fn enter_on_reserve<R>(
    work: impl FnOnce() -> Result<R, CryptoError>,
) -> Result<R, CryptoError> {
    settle(on_reserve(heap()?, work).ok_or(CryptoError::ArenaFull)?)
}

/// Runs a call on a stack of the arena, and leaves nothing of it there or in registers. A call
/// within a call is part of it.
#[inline]
pub(crate) fn through<R>(work: impl FnOnce() -> R) -> R {
    on_stack(Depth::Shallow, work)
}

fn on_stack<R>(depth: Depth, work: impl FnOnce() -> R) -> R {
    // Before the arenas stand there is no key either: what is digested then is public.
    let Some(arenas) = arenas() else {
        return work();
    };
    // A deep call within a shallow one goes on to a deep stack; whoever has one waits for nobody.
    let around = BEHIND.get();
    if around.is_some_and(|around| around >= depth) {
        return work();
    }
    let mut stack = arenas.stacks.take(depth);
    let silence = Silence::keep();
    // Not what was asked for: who has a shallow stack never waits for another.
    BEHIND.set(Some(stack.depth()));
    let result = stack.run(work);
    BEHIND.set(around);
    registers::scrub();
    drop(stack);
    drop(silence);
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Sees to it that this thread's generator is seeded; tells whether it is.
pub(crate) fn seed_thread() -> bool {
    if IS_SEEDED.get() {
        return true;
    }
    let Ok(heap) = heap() else {
        return false;
    };
    if on_reserve(heap, draw_one) == Some(true) {
        IS_SEEDED.set(true);
    }
    IS_SEEDED.get()
}

/// Seeds what all threads share, and this thread. Takes more memory and time than anything after.
pub(crate) fn seed_process() -> bool {
    let seeded = through(|| redirect::drawing_on_reserve(draw_one));
    IS_SEEDED.set(seeded);
    seeded
}

/// First the stack and then the reserve, everywhere: whoever has the reserve waits for nobody.
fn on_reserve<R>(heap: &Heap, work: impl FnOnce() -> R) -> Option<R> {
    through(|| {
        if redirect::draws_on_reserve() {
            return Some(work());
        }
        heap.with_reserve(|| redirect::drawing_on_reserve(work))
    })
}

fn draw_one() -> bool {
    let mut byte = 0;
    // SAFETY: one byte is ours to write.
    unsafe { aws_lc_sys::RAND_bytes(&raw mut byte, 1) == 1 }
}

fn heap() -> Result<&'static Heap, CryptoError> {
    arenas()
        .map(|arenas| &arenas.heap)
        .ok_or(CryptoError::NotInstalled)
}

fn settle<R>(result: Result<R, CryptoError>) -> Result<R, CryptoError> {
    let was_refused = redirect::take_refusal();
    result.map_err(|error| {
        // SAFETY: empties this thread's error queue, which holds codes and file names.
        unsafe { aws_lc_sys::ERR_clear_error() };
        if was_refused {
            CryptoError::ArenaFull
        } else {
            error
        }
    })
}

#[cfg(test)]
mod tests;
