//! The one door to AWS-LC.
//!
//! AWS-LC keeps its objects in the heap arena but computes on the stack: scalars, hash states and
//! round keys pass through locals and spilled registers. So every call goes through here, in a
//! function of its own frame, and what lies below that frame is zeroed afterwards, and so are the
//! vector registers. General registers need nothing: the scrub itself and the return use them.
//!
//! What leaves a call is a public result or a pointer into the arena, never a secret by value. A
//! stack of the arena's own can take the place of [`through`] without a change elsewhere.

use crate::arena::Heap;
use crate::arenas::arenas;
use crate::crypto::CryptoError;
use crate::mapping::wipe;
use crate::redirect;
use std::cell::Cell;
use std::mem::MaybeUninit;

/// Bytes of stack that are zeroed after each call: measured, the calls go up to 4.3 KiB deep
/// without optimisation, and a signal that arrives at the deepest point puts its frame, with the
/// vector registers in it, below that. A test measures again and fails when this is too little.
const SCRUB_LEN: usize = 12 * 1024;

/// The same for the first seeding of the process, which goes far deeper, once.
const SEEDING_SCRUB_LEN: usize = 64 * 1024;

thread_local! {
    // AWS-LC keeps a generator for each thread; no destructor, see redirect.rs.
    static IS_SEEDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a call that allocates, in the arena and behind the door. A refused allocation is
/// [`CryptoError::ArenaFull`], whatever the library makes of it.
pub(crate) fn enter<R>(work: impl FnOnce() -> Result<R, CryptoError>) -> Result<R, CryptoError> {
    heap()?;
    settle(through(work))
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

/// Like [`enter`], for calls that do not survive a refused allocation: one at a time, and with
/// the arena's reserve behind them.
pub(crate) fn enter_on_reserve<R>(
    work: impl FnOnce() -> Result<R, CryptoError>,
) -> Result<R, CryptoError> {
    let result = heap()?
        .with_reserve(|| redirect::drawing_on_reserve(|| through(work)))
        .ok_or(CryptoError::ArenaFull)?;
    settle(result)
}

/// Runs a call on a frame of its own, and leaves nothing of it on the stack or in registers.
pub(crate) fn through<R>(work: impl FnOnce() -> R) -> R {
    let result = call(work);
    #[cfg(test)]
    if tests::scrub_is_off() {
        return result;
    }
    scrub_stack::<SCRUB_LEN>();
    scrub_registers();
    result
}

/// Sees to it that this thread's generator is seeded; tells whether it is.
pub(crate) fn seed_thread() -> bool {
    if IS_SEEDED.get() {
        return true;
    }
    let Ok(heap) = heap() else {
        return false;
    };
    let seeded = heap.with_reserve(|| redirect::drawing_on_reserve(|| through(draw_one)));
    if seeded == Some(true) {
        IS_SEEDED.set(true);
    }
    IS_SEEDED.get()
}

/// Seeds what all threads share, and this thread. Takes more memory and time than anything after.
pub(crate) fn seed_process() -> bool {
    let seeded = redirect::drawing_on_reserve(|| through(draw_one));
    scrub_stack::<SEEDING_SCRUB_LEN>();
    IS_SEEDED.set(seeded);
    seeded
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

/// A frame that [`scrub_stack`] begins at too.
#[inline(never)]
fn call<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Zeroes `LEN` bytes from where [`call`] had its frame downwards.
#[inline(never)]
fn scrub_stack<const LEN: usize>() {
    let mut area = MaybeUninit::<[u8; LEN]>::uninit();
    // SAFETY: the area is a local of ours, of that length, and never read as initialised.
    unsafe { wipe(area.as_mut_ptr().cast(), LEN) };
}

/// Zeroes the vector registers, where ciphers keep round keys and hashes keep state.
#[cfg(target_arch = "x86_64")]
fn scrub_registers() {
    if std::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has these instructions; every register they change is one that a
        // call may change, which is what the clobber says.
        unsafe {
            std::arch::asm!(
                "vzeroall",
                "vpxorq zmm16, zmm16, zmm16",
                "vpxorq zmm17, zmm17, zmm17",
                "vpxorq zmm18, zmm18, zmm18",
                "vpxorq zmm19, zmm19, zmm19",
                "vpxorq zmm20, zmm20, zmm20",
                "vpxorq zmm21, zmm21, zmm21",
                "vpxorq zmm22, zmm22, zmm22",
                "vpxorq zmm23, zmm23, zmm23",
                "vpxorq zmm24, zmm24, zmm24",
                "vpxorq zmm25, zmm25, zmm25",
                "vpxorq zmm26, zmm26, zmm26",
                "vpxorq zmm27, zmm27, zmm27",
                "vpxorq zmm28, zmm28, zmm28",
                "vpxorq zmm29, zmm29, zmm29",
                "vpxorq zmm30, zmm30, zmm30",
                "vpxorq zmm31, zmm31, zmm31",
                clobber_abi("sysv64"),
                options(nomem, nostack, preserves_flags),
            );
        }
    } else if std::is_x86_feature_detected!("avx") {
        // SAFETY: as above.
        unsafe {
            std::arch::asm!(
                "vzeroall",
                clobber_abi("sysv64"),
                options(nomem, nostack, preserves_flags),
            );
        }
    } else {
        // SAFETY: as above; SSE2 is part of the architecture.
        unsafe {
            std::arch::asm!(
                "pxor xmm0, xmm0",
                "pxor xmm1, xmm1",
                "pxor xmm2, xmm2",
                "pxor xmm3, xmm3",
                "pxor xmm4, xmm4",
                "pxor xmm5, xmm5",
                "pxor xmm6, xmm6",
                "pxor xmm7, xmm7",
                "pxor xmm8, xmm8",
                "pxor xmm9, xmm9",
                "pxor xmm10, xmm10",
                "pxor xmm11, xmm11",
                "pxor xmm12, xmm12",
                "pxor xmm13, xmm13",
                "pxor xmm14, xmm14",
                "pxor xmm15, xmm15",
                clobber_abi("sysv64"),
                options(nomem, nostack, preserves_flags),
            );
        }
    }
}

/// Where the instructions are not written out, registers keep what a call left until the next
/// use; LIMITATIONS names it.
#[cfg(not(target_arch = "x86_64"))]
fn scrub_registers() {}

#[cfg(test)]
mod tests;
