//! The leak scan: another process's memory, searched from outside for key material.
//!
//! ```text
//!   Snapshot::take(pid)   stop, read every page that is there, let go on
//!      │  arenas          locked, not dumped, not forked: where secrets may be (unless the
//!      │                  backing is memfd_secret, which even root cannot read)
//!      └─ rest            everything else: where they may not
//!   Needles               keys, and what ciphers make of them, in both byte orders
//! ```
//!
//! A scan that finds nothing proves something only beside one that finds: the tests search the
//! arenas with the same code for the same needles, and the rest for what must be there.

mod expanded;
mod forms;
mod needles;
mod snapshot;

pub use expanded::{
    aes256_encrypt_block, aes256_round_keys, ghash_key, hmac_sha256_states, sha512,
};
pub use forms::{Form, candidates};
pub use needles::{Hit, Needles};
pub use snapshot::{Region, Snapshot};
