//! The binary part of a header: 512 bytes of fields, padded to 4,096, then the JSON area, padded
//! to the header's size; and all that a second time.

use super::fault::{HeaderFault, Which};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Bytes of the binary part with its padding; the JSON area follows.
pub(crate) const BINARY_LEN: usize = 4096;
/// Sizes of one copy that are read (LUKS2 has larger ones too, which nothing uses by default).
const SIZES: [u64; 4] = [16_384, 32_768, 65_536, 131_072];

const VERSION: Range<usize> = 6..8;
const SIZE: Range<usize> = 8..16;
const SEQUENCE: Range<usize> = 16..24;
const LABEL: Range<usize> = 24..72;
const ALGORITHM: Range<usize> = 72..104;
const UUID: Range<usize> = 168..208;
const SUBSYSTEM: Range<usize> = 208..256;
const PLACE: Range<usize> = 256..264;
const CHECKSUM: Range<usize> = 448..512;

const PRIMARY_MAGIC: &[u8; 6] = b"LUKS\xba\xbe";
const BACKUP_MAGIC: &[u8; 6] = b"SKUL\xba\xbe";

impl Which {
    fn magic(self) -> &'static [u8; 6] {
        match self {
            Self::Primary => PRIMARY_MAGIC,
            Self::Backup => BACKUP_MAGIC,
        }
    }
}

/// What a copy's binary part says; its checksum was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binary<'a> {
    pub(super) sequence: u64,
    pub(super) uuid: &'a str,
    pub(super) label: &'a str,
    pub(super) subsystem: &'a str,
    /// The JSON, without what pads it.
    pub(super) json: &'a [u8],
}

/// One of the two copies, as it was found.
#[derive(Debug)]
pub(super) enum Found<'a> {
    Good(Binary<'a>),
    /// A header stands here, and its checksum is wrong, as when its writing was cut off.
    Torn,
}

/// Bytes that one copy of the header has, from the first block of the device.
pub(super) fn size(block: &[u8]) -> Result<usize, HeaderFault> {
    let copy = Which::Primary;
    if block.len() < BINARY_LEN {
        let len = block.len() as u64;
        return Err(HeaderFault::TooShort { len });
    }
    check_magic(block, copy)?;
    let found = number(block, SIZE);
    match usize::try_from(found) {
        Ok(size) if SIZES.contains(&found) => Ok(size),
        _ => Err(HeaderFault::Size { copy, found }),
    }
}

/// Reads one of the two copies out of both.
pub(super) fn read(both: &[u8], size: usize, copy: Which) -> Result<Found<'_>, HeaderFault> {
    let at = match copy {
        Which::Primary => 0,
        Which::Backup => size,
    };
    let Some(bytes) = both.get(at..at + size) else {
        let len = both.len() as u64;
        return Err(HeaderFault::TooShort { len });
    };
    check_magic(bytes, copy)?;
    let found = number(bytes, SIZE);
    if found != size as u64 {
        return Err(HeaderFault::Size { copy, found });
    }
    let found = number(bytes, PLACE);
    if found != at as u64 {
        return Err(HeaderFault::Place { copy, found });
    }
    if text(&bytes[ALGORITHM]) != Some("sha256") {
        return Err(HeaderFault::ChecksumAlgorithm { copy });
    }
    let (sum, rest) = bytes[CHECKSUM].split_at(32);
    if checksum(bytes) != *sum || rest.iter().any(|byte| *byte != 0) {
        return Ok(Found::Torn);
    }
    let field =
        |range: Range<usize>, field| text(&bytes[range]).ok_or(HeaderFault::Text { copy, field });
    let uuid = field(UUID, "UUID")?;
    if !nitride_kbs::disk::is_uuid(uuid) {
        let field = "UUID";
        return Err(HeaderFault::Text { copy, field });
    }
    let area = &bytes[BINARY_LEN..];
    let len = area
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(area.len());
    let (json, padding) = area.split_at(len);
    if padding.is_empty() || padding.iter().any(|byte| *byte != 0) {
        return Err(HeaderFault::JsonTail { copy });
    }
    Ok(Found::Good(Binary {
        sequence: number(bytes, SEQUENCE),
        uuid,
        label: field(LABEL, "label")?,
        subsystem: field(SUBSYSTEM, "subsystem")?,
        json,
    }))
}

/// Both copies, made of the good one `from`.
pub(super) fn both_of(both: &[u8], size: usize, from: Which) -> Vec<u8> {
    let good = match from {
        Which::Primary => &both[..size],
        Which::Backup => &both[size..2 * size],
    };
    let mut made = [good, good].concat();
    for (at, copy) in [(0, Which::Primary), (size, Which::Backup)] {
        let bytes = &mut made[at..at + size];
        bytes[..6].copy_from_slice(copy.magic());
        bytes[PLACE].copy_from_slice(&(at as u64).to_be_bytes());
        seal(bytes);
    }
    made
}

/// Writes a copy's checksum into it.
pub(super) fn seal(copy: &mut [u8]) {
    let sum = checksum(copy);
    copy[CHECKSUM].fill(0);
    copy[CHECKSUM.start..CHECKSUM.start + 32].copy_from_slice(&sum);
}

/// SHA-256 over a copy whose checksum reads as zeros.
fn checksum(copy: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(&copy[..CHECKSUM.start])
        .chain_update([0; 64])
        .chain_update(&copy[CHECKSUM.end..])
        .finalize()
        .into()
}

fn check_magic(bytes: &[u8], copy: Which) -> Result<(), HeaderFault> {
    if bytes.get(..6) != Some(copy.magic().as_slice()) {
        return Err(HeaderFault::NotLuks2 { copy });
    }
    match u16::from_be_bytes([bytes[VERSION.start], bytes[VERSION.start + 1]]) {
        2 => Ok(()),
        found => Err(HeaderFault::Version { copy, found }),
    }
}

fn number(bytes: &[u8], range: Range<usize>) -> u64 {
    bytes[range]
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Plain text up to a zero byte, with nothing after it.
fn text(field: &[u8]) -> Option<&str> {
    let len = field.iter().position(|byte| *byte == 0)?;
    let (text, padding) = field.split_at(len);
    let fits =
        padding.iter().all(|byte| *byte == 0) && text.iter().all(|b| (b' '..=b'~').contains(b));
    fits.then(|| std::str::from_utf8(text).ok()).flatten()
}
