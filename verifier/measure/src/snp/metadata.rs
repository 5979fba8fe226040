//! What OVMF says about itself: pages that the hypervisor adds (edk2,
//! `OvmfPkg/ResetVector/X64/OvmfSevMetadata.nasm.inc`), the place of the hashes, and where processors
//! other than the first start.

use super::SnpFault;
use crate::firmware::{Firmware, Guid, guid};
use crate::little_endian::{array_at, slice_at, u32_at, usize_at};

const METADATA: Guid = guid(0xdc88_6566, 0x984a, 0x4798, 0xa75e_5585_a7bf_67cc);
const HASHES: Guid = guid(0x7255_371f, 0x3a3b, 0x4b04, 0x927b_1da6_efa8_d454);
const RESET_BLOCK: Guid = guid(0x00f7_71de, 0x1a7e, 0x4fcb, 0x890e_68c7_7e2f_b44e);

const HEADER_LEN: usize = 16;
const SECTION_LEN: usize = 12;
/// OVMF has seven.
const MAX_SECTIONS: usize = 64;
/// What all sections have together; OVMF's have less than one MiB.
const MAX_MEMORY_LEN: u64 = 256 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SectionKind {
    Memory,
    Secrets,
    Cpuid,
    SvsmCallingArea,
    KernelHashes,
}

impl SectionKind {
    const fn is_one_page(self) -> bool {
        !matches!(self, Self::Memory | Self::SvsmCallingArea)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) address: u32,
    pub(super) len: u32,
    pub(super) kind: SectionKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) sections: Vec<Section>,
    /// The address of the table of hashes.
    pub(super) hashes_at: Option<u32>,
    pub(super) reset_address: u32,
}

impl Metadata {
    pub(super) fn read(firmware: &Firmware<'_>) -> Result<Self, SnpFault> {
        let reset_address = firmware
            .entry(&RESET_BLOCK)
            .and_then(|data| u32_at(data, 0));
        let hashes_at = firmware.entry(&HASHES).and_then(|data| u32_at(data, 0));
        Ok(Self {
            sections: sections(firmware)?,
            // Zero is how a firmware says that it has no such table.
            hashes_at: hashes_at.filter(|at| *at != 0),
            reset_address: reset_address.ok_or(SnpFault::NoResetBlock)?,
        })
    }
}

fn sections(firmware: &Firmware<'_>) -> Result<Vec<Section>, SnpFault> {
    firmware.entry(&METADATA).ok_or(SnpFault::NoMetadata)?;
    let outside = SnpFault::Metadata("they lie outside of the image");
    let found = firmware.pointed_to(&METADATA).ok_or(outside.clone())?;
    if array_at(found, 0) != Some(*b"ASEV") {
        return Err(SnpFault::Metadata("their signature is missing"));
    }
    if u32_at(found, 8) != Some(1) {
        return Err(SnpFault::Metadata("their version is not 1"));
    }
    let count = usize_at(found, 12).ok_or(outside.clone())?;
    if count > MAX_SECTIONS {
        return Err(SnpFault::Metadata("there are more than 64 sections"));
    }
    let list_len = count * SECTION_LEN;
    if usize_at(found, 4) != Some(HEADER_LEN + list_len) {
        return Err(SnpFault::Metadata(
            "their length is not that of their sections",
        ));
    }
    let list = slice_at(found, HEADER_LEN, list_len).ok_or(outside.clone())?;
    let mut sections: Vec<Section> = Vec::with_capacity(count);
    let mut memory_len = 0;
    for bytes in list.chunks_exact(SECTION_LEN) {
        let section = section(bytes)?;
        memory_len += u64::from(section.len);
        sections.push(section);
    }
    if memory_len > MAX_MEMORY_LEN {
        return Err(SnpFault::Metadata("their sections are longer than 256 MiB"));
    }
    refuse_ambiguity(&sections)?;
    Ok(sections)
}

/// A page that is added twice has the contents of one of them, and of two pages of hashes the firmware
/// reads one: no digest says which.
fn refuse_ambiguity(sections: &[Section]) -> Result<(), SnpFault> {
    for (index, section) in sections.iter().enumerate() {
        for other in sections.iter().take(index) {
            // None ends beyond 4 GiB.
            if section.address < other.address + other.len
                && other.address < section.address + section.len
            {
                return Err(SnpFault::Metadata("two sections share memory"));
            }
            if section.kind.is_one_page() && section.kind == other.kind {
                return Err(SnpFault::Metadata(
                    "there are two pages of what one is read of",
                ));
            }
        }
    }
    Ok(())
}

fn section(bytes: &[u8]) -> Result<Section, SnpFault> {
    let number = |at| u32_at(bytes, at).ok_or(SnpFault::Metadata("a section is cut short"));
    let (address, len) = (number(0)?, number(4)?);
    let kind = match number(8)? {
        1 => SectionKind::Memory,
        2 => SectionKind::Secrets,
        3 => SectionKind::Cpuid,
        4 => SectionKind::SvsmCallingArea,
        0x10 => SectionKind::KernelHashes,
        other => return Err(SnpFault::SectionType(other)),
    };
    let is_whole = address.is_multiple_of(4096) && len.is_multiple_of(4096) && len != 0;
    if !is_whole || (kind.is_one_page() && len != 4096) {
        return Err(SnpFault::Metadata(
            "a section is not of whole pages, or of too many",
        ));
    }
    if address.checked_add(len).is_none() {
        return Err(SnpFault::Metadata("a section ends beyond 4 GiB"));
    }
    Ok(Section { address, len, kind })
}
