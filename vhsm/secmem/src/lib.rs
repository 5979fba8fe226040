//! Locked arenas, AWS-LC inside them, and the types that hold secrets.
//!
//! Principles:
//! - A secret lives in an arena or nowhere: no Rust heap, no Rust local, no swap, no core dump.
//! - Exhaustion is an answer ([`ArenaFull`]), never an abort; corruption is an abort, never an answer.
//! - Every cryptographic call passes one door (`door.rs`), which leaves nothing on the stack.
//!
//! ```text
//!   install()                        first statement of main
//!      |
//!      +-- records arena   [guard| pages |guard]   Record
//!      |
//!      +-- heap arena      [guard| pages |guard]   SecretBuf, every AWS-LC object
//!                                  ^
//!   crypto::* -> door -> AWS-LC ---+ OPENSSL_malloc, OPENSSL_free
//! ```

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
mod redirect;
mod secret;
#[cfg(test)]
mod testing;

pub use install::{
    ArenaSizes, Backing, BackingChoice, InstallError, Installed, LockLimit, MIN_HEAP_LEN,
    SecretRefusal, Usage, arena_ranges, install, usage,
};
pub use secret::{ArenaFull, Record, SecretBuf};
