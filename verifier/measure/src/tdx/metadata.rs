//! The descriptor of a trust domain's virtual firmware (Intel 344991, "TDX Virtual Firmware Design
//! Guide", "TDVF Metadata"; edk2, `OvmfPkg/ResetVector/X64/IntelTdxMetadata.nasm.inc`; QEMU's `hw/i386/tdvf.c` reads the same).

use super::TdxFault;
use crate::firmware::{Firmware, Guid, guid};
use crate::little_endian::{array_at, slice_at, u32_at, u64_at, usize_at};

const METADATA: Guid = guid(0xe47a_6535, 0x984a, 0x4798, 0x865e_4685_a7bf_8ec2);

const HEADER_LEN: usize = 16;
const SECTION_LEN: usize = 32;
/// OVMF has six.
const MAX_SECTIONS: usize = 64;
/// What all sections have together.
const MAX_MEMORY_LEN: u64 = 256 << 20;

const TYPE_BOOT_VOLUME: u32 = 0;
const TYPE_VARIABLES: u32 = 1;
const TYPE_HAND_OFF_BLOCK: u32 = 2;
const TYPE_TEMPORARY: u32 = 3;
/// The first instruction is in the last bytes below 4 GiB.
const START_ENDS_AT: u64 = 1 << 32;
/// Its contents are measured.
const ATTRIBUTE_EXTEND: u32 = 1;

/// Memory that a trust domain begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Section<'a> {
    pub(super) address: u64,
    pub(super) len: u64,
    /// What is measured of it, `len` bytes; nothing but its place where there are none.
    pub(super) measured: Option<&'a [u8]>,
    is_boot_volume: bool,
}

/// In the order of the descriptor, which is the order that they are added in.
pub(super) fn sections<'a>(firmware: &Firmware<'a>) -> Result<Vec<Section<'a>>, TdxFault> {
    firmware.entry(&METADATA).ok_or(TdxFault::NoMetadata)?;
    let outside = TdxFault::Metadata("they lie outside of the image");
    let found = firmware.pointed_to(&METADATA).ok_or(outside)?;
    if array_at(found, 0) != Some(*b"TDVF") {
        return Err(TdxFault::Metadata("their signature is missing"));
    }
    if u32_at(found, 8) != Some(1) {
        return Err(TdxFault::Metadata("their version is not 1"));
    }
    let count = usize_at(found, 12).ok_or(outside)?;
    if count > MAX_SECTIONS {
        return Err(TdxFault::Metadata("there are more than 64 sections"));
    }
    let list_len = count * SECTION_LEN;
    if usize_at(found, 4) != Some(HEADER_LEN + list_len) {
        return Err(TdxFault::Metadata(
            "their length is not that of their sections",
        ));
    }
    let list = slice_at(found, HEADER_LEN, list_len).ok_or(outside)?;
    let mut sections: Vec<Section<'a>> = Vec::with_capacity(count);
    let mut memory_len: u64 = 0;
    for bytes in list.chunks_exact(SECTION_LEN) {
        let section = section(firmware.bytes(), bytes)?;
        memory_len = memory_len.saturating_add(section.len);
        let overlaps = |other: &Section<'_>| {
            section.address < other.address + other.len
                && other.address < section.address + section.len
        };
        if sections.iter().any(overlaps) {
            return Err(TdxFault::Metadata("two sections share memory"));
        }
        sections.push(section);
    }
    if memory_len > MAX_MEMORY_LEN {
        return Err(TdxFault::Metadata("their sections are longer than 256 MiB"));
    }
    // MRTD would be of addresses alone, whatever the firmware did.
    let mut volumes = sections.iter().filter(|section| section.is_boot_volume);
    if volumes.any(|volume| volume.measured.is_none()) {
        return Err(TdxFault::Metadata("a boot volume is not measured"));
    }
    let mut volumes = sections.iter().filter(|section| section.is_boot_volume);
    if !volumes.any(|volume| volume.address + volume.len == START_ENDS_AT) {
        return Err(TdxFault::Metadata(
            "no boot volume is where processors start",
        ));
    }
    Ok(sections)
}

fn section<'a>(image: &'a [u8], bytes: &[u8]) -> Result<Section<'a>, TdxFault> {
    let short = TdxFault::Metadata("a section is cut short");
    let data_at = usize_at(bytes, 0).ok_or(short)?;
    let data_len = usize_at(bytes, 4).ok_or(short)?;
    let address = u64_at(bytes, 8).ok_or(short)?;
    let len = u64_at(bytes, 16).ok_or(short)?;
    let kind = u32_at(bytes, 24).ok_or(short)?;
    let attributes = u32_at(bytes, 28).ok_or(short)?;
    if !address.is_multiple_of(4096) || !len.is_multiple_of(4096) || len == 0 {
        return Err(TdxFault::Metadata("a section is not of whole pages"));
    }
    if address.checked_add(len).is_none() {
        return Err(TdxFault::Metadata("a section ends beyond all memory"));
    }
    if attributes & !ATTRIBUTE_EXTEND != 0 {
        return Err(TdxFault::Metadata(
            "a section has attributes that are not known",
        ));
    }
    let is_extended = attributes & ATTRIBUTE_EXTEND != 0;
    let measured = match kind {
        TYPE_BOOT_VOLUME | TYPE_VARIABLES => {
            if u64::try_from(data_len) != Ok(len) {
                return Err(TdxFault::Metadata(
                    "a section of the image is not as long as its memory",
                ));
            }
            let data = slice_at(image, data_at, data_len);
            let data = data.ok_or(TdxFault::Metadata("a section lies outside of the image"))?;
            is_extended.then_some(data)
        }
        TYPE_HAND_OFF_BLOCK | TYPE_TEMPORARY => {
            if data_len != 0 {
                return Err(TdxFault::Metadata("a section of the hypervisor's has data"));
            }
            // Their contents are the hypervisor's, so that nobody could predict the digest.
            if is_extended {
                return Err(TdxFault::Metadata(
                    "a section of the hypervisor's is measured",
                ));
            }
            None
        }
        other => return Err(TdxFault::SectionType(other)),
    };
    Ok(Section {
        address,
        len,
        measured,
        is_boot_volume: kind == TYPE_BOOT_VOLUME,
    })
}
