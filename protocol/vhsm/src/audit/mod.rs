//! The audit's files: entries in a chain of digests. This crate has no cryptography, so the hash is
//! an argument.
//!
//! ```text
//! "NVAUDIT1"  [len: u32, big-endian] [entry]  [len] [entry]  ...  zeros to the end
//! ```
//!
//! Each entry has the digest of the one before it, so whoever has kept a digest can tell whether
//! anything before it was changed, taken out or put in. Nothing can tell that the last entries were
//! cut off, but for a head that was witnessed elsewhere (`audit-head`, `attest`).

mod entry;
mod file;
mod trail;

pub use entry::{AuditEntry, AuditKind, AuditPeer, AuditRequest};
pub use file::{AuditFault, AuditFile, Linked};
pub use trail::{CUT_OFF, Trail, TrailFault, Verified};

use crate::limits::{AUDIT_DIGEST_LEN, REPORT_DATA_LEN};

/// A digest in the chain.
pub type Digest = [u8; AUDIT_DIGEST_LEN];

/// What a file begins with.
pub const MAGIC: &[u8; 8] = b"NVAUDIT1";

/// The bytes of an entry's length before it.
pub const ENTRY_HEAD_LEN: usize = 4;

/// The longest entry in bytes, without its head.
pub const MAX_ENTRY_LEN: usize = 2048;

/// The digest of an entry, which is [`AuditEntry::previous`] of the next one.
///
/// `sha256` hashes its parts one after the other.
pub fn chain(previous: &Digest, entry: &[u8], sha256: impl FnOnce(&[&[u8]]) -> Digest) -> Digest {
    sha256(&[b"nitride audit v1\0", previous, entry])
}

/// What evidence is over that binds the entry `sequence` with `digest` and the caller's `data`, by
/// which whoever witnesses it knows that it is fresh (`attest` with the head).
///
/// `sha384` hashes its parts one after the other. The head has one length, so where it ends and the
/// data begins is never in question; and no other report of ours begins so.
pub fn head_report(
    sequence: u64,
    digest: &Digest,
    data: &[u8],
    sha384: impl FnOnce(&[&[u8]]) -> [u8; REPORT_DATA_LEN],
) -> [u8; REPORT_DATA_LEN] {
    let sequence = sequence.to_be_bytes();
    sha384(&[b"nitride audit head v1\0", &sequence, digest, data])
}
