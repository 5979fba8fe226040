//! Locked arenas, AWS-LC inside them, and the types that hold secrets.
//!
//! Principles:
//! - A secret lives in an arena or nowhere: no Rust heap, no Rust local, no swap, no core dump.
//! - Exhaustion is an answer ([`ArenaFull`]), never an abort; corruption is an abort, never an answer.
//! - Every cryptographic call passes one door (`door.rs`) and runs on a stack inside the arena.
//!
//! ```text
//!   install()                        first statement of main
//!      |
//!      +-- records arena   [guard| pages |guard]   Record
//!      |
//!      +-- heap arena      [guard| pages, stacks |guard]   SecretBuf, every AWS-LC object
//!                                  ^        ^
//!   crypto::* -> door -> AWS-LC ---+--------+ OPENSSL_malloc, OPENSSL_free; locals, spills
//! ```
//!
//! What AWS-LC itself keeps in the heap arena, so that sizes can be chosen: 130 KiB for the process
//! (its jitter source), and 816 bytes for each thread that draws random bytes (two generators with
//! their key schedules), from the first draw until the thread ends. A thousand such threads take a
//! quarter of 3 MiB: who serves more bounds them. An expanded P-256 key takes 416 bytes, an HMAC
//! key 1360, an AEAD key 672, an Ed25519 key 64. Its error queue is in plain memory, and holds
//! codes and file names.
//!
//! Besides, 20 KiB for each of the stacks that calls run on: two for each processor, but at least
//! four, at most sixteen, and beyond four at most one for each 128 KiB of the arena. And 132 KiB for
//! each of those on which lattices and private RSA keys compute: one for each processor, at most
//! four, and beyond one at most one for each MiB of the arena; and 36 KiB for the one on which RSA
//! keys are made.
//!
//! While a call runs, signals are blocked on its thread, lest the kernel write registers to a
//! handler's stack: [`block_signals_on_this_thread`] makes that cheap. What is not promised: the
//! kernel saves registers in its own memory at any time, and what code outside the door copies
//! passes vector registers that are not cleared.

#![expect(
    unsafe_code,
    reason = "mapping arenas, allocating from them and calling AWS-LC cannot be said in safe Rust"
)]

mod arena;
mod arenas;
pub mod crypto;
mod door;
mod install;
mod mapping;
mod records;
mod redirect;
mod registers;
mod secret;
mod signals;
mod stacks;
#[cfg(test)]
mod testing;
mod wiping_heap;

pub use install::{
    ArenaSizes, Backing, BackingChoice, InstallError, Installed, LockLimit, MIN_HEAP_LEN,
    SecretRefusal, Usage, arena_ranges, install, on_new_segment, usage,
};
pub use records::{
    COUNTERS, Draft, MIN_RECORDS_LEN, NotKept, Record, RecordId, RecordKind, SegmentFault,
    keep_dropped_records, wipe_all,
};
pub use secret::{ArenaFull, SecretBuf};
pub use signals::block_signals_on_this_thread;
pub use wiping_heap::WipingHeap;
