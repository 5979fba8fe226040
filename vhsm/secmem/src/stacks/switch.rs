//! Changing the stack within one call.
//!
//! The kernel does not mind where a stack pointer points, and nothing of the C library looks. A
//! processor's shadow stack (CET, which Rust programs do not turn on) would not mind either, since
//! every call returns to where it came from.

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!(
    "nitride-secmem runs AWS-LC on a stack inside its arena, and changing stacks is written for \
     x86_64 and aarch64 only; on the ordinary stack, keys would be outside the arena"
);

use std::arch::naked_asm;
use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

/// Runs `work` on the stack that ends at `top`. A panic of it is caught there, its payload on the
/// Rust heap, and given back as the error: nothing unwinds across the switch.
///
/// # Safety
/// Below `top`, which is a multiple of 16, lie bytes that nobody else reads or writes meanwhile:
/// as many as `work` takes, or a page that nobody may touch where they end.
pub(super) unsafe fn run_at<R>(top: *mut u8, work: impl FnOnce() -> R) -> thread::Result<R> {
    let mut errand = Errand {
        work: ManuallyDrop::new(work),
        result: None,
    };
    let errand_of = start_for(&errand);
    // SAFETY: the stack is the caller's promise. `start_for` has the types of this errand, which
    // lives here until the call is over and is reached by this pointer alone.
    unsafe { switch((&raw mut errand).cast(), errand_of, top) };
    match errand.result {
        Some(result) => result,
        // `start` sets it whatever happens, or the process has ended.
        None => std::process::abort(),
    }
}

struct Errand<F, R> {
    work: ManuallyDrop<F>,
    result: Option<thread::Result<R>>,
}

type Start = unsafe extern "C" fn(*mut c_void);

fn start_for<F: FnOnce() -> R, R>(_: &Errand<F, R>) -> Start {
    start::<F, R>
}

/// The first frame of the other stack.
///
/// # Safety
/// `errand` is an `Errand<F, R>` whose work was not done yet, and nobody else's now.
unsafe extern "C" fn start<F: FnOnce() -> R, R>(errand: *mut c_void) {
    // SAFETY: the caller's promise.
    let errand = unsafe { &mut *errand.cast::<Errand<F, R>>() };
    // SAFETY: taken once, as the caller promises, and not touched again.
    let work = unsafe { ManuallyDrop::take(&mut errand.work) };
    errand.result = Some(catch_unwind(AssertUnwindSafe(work)));
}

/// Calls `start(errand)` with the stack pointer at `top`, and clears what registers a call may
/// leave as they are. The frame stays where a backtrace looks for it.
///
/// # Safety
/// As `start` and [`run_at`] say.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn switch(errand: *mut c_void, start: Start, top: *mut u8) {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "mov rsp, rdx",
        "call rsi",
        "mov rsp, rbp",
        "xor eax, eax",
        "xor ecx, ecx",
        "xor edx, edx",
        "xor esi, esi",
        "xor edi, edi",
        "xor r8d, r8d",
        "xor r9d, r9d",
        "xor r10d, r10d",
        "xor r11d, r11d",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}

/// As on x86_64.
///
/// # Safety
/// As there.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
unsafe extern "C" fn switch(errand: *mut c_void, start: Start, top: *mut u8) {
    naked_asm!(
        ".cfi_startproc",
        "hint #34", // bti c
        "stp x29, x30, [sp, #-16]!",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset x29, -16",
        ".cfi_offset x30, -8",
        "mov x29, sp",
        ".cfi_def_cfa_register x29",
        "mov sp, x2",
        "blr x1",
        "mov sp, x29",
        "mov x0, xzr",
        "mov x1, xzr",
        "mov x2, xzr",
        "mov x3, xzr",
        "mov x4, xzr",
        "mov x5, xzr",
        "mov x6, xzr",
        "mov x7, xzr",
        "mov x8, xzr",
        "mov x9, xzr",
        "mov x10, xzr",
        "mov x11, xzr",
        "mov x12, xzr",
        "mov x13, xzr",
        "mov x14, xzr",
        "mov x15, xzr",
        "mov x16, xzr",
        "mov x17, xzr",
        "ldp x29, x30, [sp], #16",
        ".cfi_def_cfa sp, 0",
        ".cfi_restore x29",
        ".cfi_restore x30",
        "ret",
        ".cfi_endproc",
    )
}
