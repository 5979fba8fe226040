//! LUKS2 headers: read from hostile bytes, and judged.
//!
//! ```text
//! bytes ──parse──> Header ──check──> CheckedHeader: what may be opened by
//!   │               json, members, metadata: strict, bounded
//!   └─repaired──> the same with both copies good, where an update was cut off
//! ```
//!
//! LUKS2 authenticates no part of its header: who holds the disk can say that data is to be written
//! in the clear, and the passphrase still unlocks (CVE-2025-59054, CVE-2025-58356). So nothing of a
//! header is believed that is not named here.
//!
//! Pure: no file is opened. The fuzz target includes this folder as it stands.

mod binary;
mod check;
mod fault;
mod json;
mod members;
mod metadata;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use binary::BINARY_LEN;
pub(crate) use check::{CheckedHeader, Expected, Wanted};
pub(crate) use fault::{HeaderFault, Which};
#[cfg(test)]
pub(crate) use metadata::Kdf;
pub(crate) use metadata::Keyslot;

use binary::{Binary, Found};
use metadata::Metadata;

/// Bytes that the keyslots may take; cryptsetup's default is 16 MiB less the header.
const MAX_KEYSLOTS_LEN: u64 = 32 << 20;

/// What was found of the two copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// They say the same.
    Whole,
    /// An update was cut off: this copy is the good one, or the newer of two that differ in slots
    /// and tokens alone.
    CutOff {
        /// What counts.
        good: Which,
    },
}

/// A header whose form is right. Nothing is said of its worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    uuid: String,
    sequence: u64,
    size: usize,
    standing: Standing,
    metadata: Metadata,
}

/// Bytes to read for [`parse`], as the first [`BINARY_LEN`] bytes of the device say.
pub(crate) fn len_of_both(block: &[u8]) -> Result<usize, HeaderFault> {
    binary::size(block).map(|size| 2 * size)
}

/// Reads both copies of a header, of which `both` has [`len_of_both`] bytes or more.
///
/// Two copies that disagree are taken only as cryptsetup leaves them when it is killed: one torn,
/// or one older by one update of the slots.
pub(crate) fn parse(both: &[u8]) -> Result<Header, HeaderFault> {
    let size = binary::size(both)?;
    let primary = binary::read(both, size, Which::Primary)?;
    let backup = binary::read(both, size, Which::Backup)?;
    let from = |good: &Binary<'_>, which| {
        let metadata = metadata(good, size, which)?;
        let standing = Standing::CutOff { good: which };
        Ok(header(good, size, metadata, standing))
    };
    match (primary, backup) {
        (Found::Torn, Found::Torn) => Err(HeaderFault::Checksum),
        (Found::Good(good), Found::Torn) => from(&good, Which::Primary),
        (Found::Torn, Found::Good(good)) => from(&good, Which::Backup),
        (Found::Good(primary), Found::Good(backup)) => newer(&primary, &backup, size),
    }
}

/// The bytes of both copies, made of the one that counts.
pub(crate) fn repaired(both: &[u8], header: &Header) -> Vec<u8> {
    match header.standing {
        Standing::Whole => both[..2 * header.size].to_vec(),
        Standing::CutOff { good } => binary::both_of(both, header.size, good),
    }
}

impl Header {
    /// Bytes from the device's first to the end of the keyslots.
    pub(crate) fn len(&self) -> u64 {
        2 * self.size as u64 + self.metadata.config.keyslots_len
    }

    /// Counts up with each update.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(crate) fn standing(&self) -> Standing {
        self.standing
    }

    pub(crate) fn keyslots(&self) -> &[Keyslot] {
        &self.metadata.keyslots
    }
}

fn metadata(copy: &Binary<'_>, size: usize, which: Which) -> Result<Metadata, HeaderFault> {
    let value = json::parse(copy.json).map_err(|source| HeaderFault::Json {
        copy: which,
        source,
    })?;
    let metadata = Metadata::of(value, size - BINARY_LEN)?;
    let len = metadata.config.keyslots_len;
    match len <= MAX_KEYSLOTS_LEN {
        true => Ok(metadata),
        false => Err(HeaderFault::AreasTooLarge { len }),
    }
}

fn header(copy: &Binary<'_>, size: usize, metadata: Metadata, standing: Standing) -> Header {
    Header {
        uuid: copy.uuid.to_owned(),
        sequence: copy.sequence,
        size,
        standing,
        metadata,
    }
}

/// Which of two good copies counts.
fn newer(primary: &Binary<'_>, backup: &Binary<'_>, size: usize) -> Result<Header, HeaderFault> {
    let disagree = |what| Err(HeaderFault::CopiesDisagree { what });
    if primary.uuid != backup.uuid {
        return disagree("the UUID");
    }
    if (primary.label, primary.subsystem) != (backup.label, backup.subsystem) {
        return disagree("the label");
    }
    let first = metadata(primary, size, Which::Primary)?;
    let second = metadata(backup, size, Which::Backup)?;
    if primary.sequence == backup.sequence {
        return match primary.json == backup.json {
            true => Ok(header(primary, size, first, Standing::Whole)),
            false => disagree("the JSON, and neither is newer"),
        };
    }
    if primary.sequence.abs_diff(backup.sequence) != 1 {
        return disagree("the sequence number, by more than one update");
    }
    if first.segments != second.segments {
        return disagree("the segment");
    }
    if first.config != second.config {
        return disagree("the configuration");
    }
    let keys = |metadata: &Metadata| -> Vec<_> {
        let digests = metadata.digests.iter();
        digests
            .map(|digest| (digest.number, digest.fingerprint, digest.segments.clone()))
            .collect()
    };
    if keys(&first) != keys(&second) {
        return disagree("the digest");
    }
    Ok(match primary.sequence > backup.sequence {
        true => {
            let good = Which::Primary;
            header(primary, size, first, Standing::CutOff { good })
        }
        false => {
            let good = Which::Backup;
            header(backup, size, second, Standing::CutOff { good })
        }
    })
}
