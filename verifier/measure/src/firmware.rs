//! OVMF's image, which ends below 4 GiB: near its end is a table of entries that are named by GUID,
//! written backwards (edk2, `OvmfPkg/ResetVector`). SEV and TDX find their metadata there.

use crate::little_endian::{array_at, slice_at, u16_at, usize_at};
use thiserror::Error;

/// An image is shorter than this: OVMF's are 2 to 16 MiB.
pub const MAX_FIRMWARE_LEN: usize = 64 << 20;
/// The size of a page, of which an image is whole ones.
pub(crate) const PAGE_LEN: usize = 4096;
/// The table ends this far before the end of the image.
const AFTER_TABLE_LEN: usize = 32;
/// Each entry ends with its length and its GUID.
const ENTRY_HEADER_LEN: usize = 18;
/// OVMF's table has five entries.
const MAX_ENTRIES: usize = 64;

const FOOTER: Guid = guid(0x96b5_82de, 0x1fb2, 0x45f7, 0xbaea_a366_c55a_082d);

/// A GUID as it stands in the image.
pub(crate) type Guid = [u8; 16];

/// `96b582de-1fb2-45f7-baea-a366c55a082d`: three numbers in little-endian order, then bytes.
pub(crate) const fn guid(first: u32, second: u16, third: u16, rest: u64) -> Guid {
    let first = first.to_le_bytes();
    let second = second.to_le_bytes();
    let third = third.to_le_bytes();
    let rest = rest.to_be_bytes();
    [
        first[0], first[1], first[2], first[3], second[0], second[1], third[0], third[1], rest[0],
        rest[1], rest[2], rest[3], rest[4], rest[5], rest[6], rest[7],
    ]
}

/// Why a firmware image cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FirmwareFault {
    /// Its length.
    #[error("the firmware is {0} bytes long, not 1 to 16384 whole pages of 4096")]
    Length(usize),
    /// It is no OVMF, or a part of one that is loaded beside another.
    #[error("the firmware does not end with OVMF's table of GUIDs")]
    NoTable,
    /// The lengths in its table do not add up.
    #[error("the firmware's table of GUIDs is malformed")]
    Table,
    /// Two readers could take different ones.
    #[error("the firmware's table of GUIDs has an entry twice")]
    EntryTwice,
}

/// An image and its table.
#[derive(Debug)]
pub(crate) struct Firmware<'a> {
    bytes: &'a [u8],
    entries: Vec<(Guid, &'a [u8])>,
}

impl<'a> Firmware<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, FirmwareFault> {
        let len = bytes.len();
        if len == 0 || len > MAX_FIRMWARE_LEN || !len.is_multiple_of(PAGE_LEN) {
            return Err(FirmwareFault::Length(len));
        }
        // A page is longer than both.
        let footer_at = len - AFTER_TABLE_LEN - ENTRY_HEADER_LEN;
        if array_at(bytes, footer_at + 2) != Some(FOOTER) {
            return Err(FirmwareFault::NoTable);
        }
        // The footer's length is that of the whole table, its own header included.
        let table_len = u16_at(bytes, footer_at)
            .and_then(|len| usize::from(len).checked_sub(ENTRY_HEADER_LEN))
            .ok_or(FirmwareFault::Table)?;
        let table = footer_at
            .checked_sub(table_len)
            .and_then(|at| slice_at(bytes, at, table_len))
            .ok_or(FirmwareFault::Table)?;
        let entries = entries(table)?;
        Ok(Self { bytes, entries })
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The data of an entry.
    pub(crate) fn entry(&self, guid: &Guid) -> Option<&'a [u8]> {
        let mut entries = self.entries.iter();
        entries
            .find(|(name, _)| name == guid)
            .map(|(_, data)| *data)
    }

    /// What lies where an entry points to: it holds a distance from the end of the image.
    pub(crate) fn pointed_to(&self, guid: &Guid) -> Option<&'a [u8]> {
        let distance = usize_at(self.entry(guid)?, 0)?;
        self.bytes.get(self.bytes.len().checked_sub(distance)?..)
    }
}

/// From the last to the first, as they are meant to be read.
fn entries(table: &[u8]) -> Result<Vec<(Guid, &[u8])>, FirmwareFault> {
    let mut entries: Vec<(Guid, &[u8])> = Vec::new();
    let mut rest = table;
    while !rest.is_empty() {
        let header_at = rest.len().checked_sub(ENTRY_HEADER_LEN);
        let header_at = header_at.ok_or(FirmwareFault::Table)?;
        let entry_len = u16_at(rest, header_at).map(usize::from);
        let guid: Option<Guid> = array_at(rest, header_at + 2);
        let (Some(entry_len), Some(guid)) = (entry_len, guid) else {
            return Err(FirmwareFault::Table);
        };
        let start = rest.len().checked_sub(entry_len);
        let start = start.ok_or(FirmwareFault::Table)?;
        let data = rest.get(start..header_at).ok_or(FirmwareFault::Table)?;
        if entries.len() == MAX_ENTRIES {
            return Err(FirmwareFault::Table);
        }
        if entries.iter().any(|(other, _)| *other == guid) {
            return Err(FirmwareFault::EntryTwice);
        }
        entries.push((guid, data));
        rest = rest.get(..start).ok_or(FirmwareFault::Table)?;
    }
    Ok(entries)
}
