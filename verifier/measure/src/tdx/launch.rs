//! MRTD: what the TDX module measures while a trust domain is built (Intel 348549, "TDX Module Base
//! Architecture Specification", "MRTD: Build-Time Measurement Register"; 348551, its ABI, TDH.MEM.PAGE.ADD
//! and TDH.MR.EXTEND): each page's address as it is added, and its contents in chunks where the
//! descriptor wants them measured. QEMU's `target/i386/kvm/tdx.c` goes by the descriptor's order, and
//! asks KVM for one section at a time.

use super::TdxFault;
use super::metadata::{Section, sections};
use crate::firmware::Firmware;
use sha2::{Digest, Sha384};

const PAGE_LEN: u64 = 4096;
const CHUNK_LEN: usize = 256;
/// The name of the operation, zeros to the sixteenth byte, the address, zeros.
const RECORD_LEN: usize = 128;
const ADDRESS_AT: usize = 16;

/// In which order a hypervisor calls the module. MRTD depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageOrder {
    /// Each page is added and then measured: KVM of Linux 6.16 and later.
    PageByPage,
    /// All pages of a section are added, then all are measured: KVM before it was merged, as some
    /// distributions ship it.
    SectionBySection,
}

/// MRTD of a trust domain that QEMU starts with this OVMF.
///
/// # Errors
///
/// What of the firmware is not known here.
pub fn mr_td(firmware: &[u8], order: PageOrder) -> Result<[u8; 48], TdxFault> {
    let firmware = Firmware::parse(firmware)?;
    let mut measurement = Measurement(Sha384::new());
    for section in sections(&firmware)? {
        match order {
            PageOrder::PageByPage => {
                for page in 0..section.len / PAGE_LEN {
                    measurement.add(&section, page);
                    measurement.extend(&section, page);
                }
            }
            PageOrder::SectionBySection => {
                (0..section.len / PAGE_LEN).for_each(|page| measurement.add(&section, page));
                (0..section.len / PAGE_LEN).for_each(|page| measurement.extend(&section, page));
            }
        }
    }
    Ok(measurement.0.finalize().into())
}

struct Measurement(Sha384);

impl Measurement {
    fn add(&mut self, section: &Section<'_>, page: u64) {
        self.record(b"MEM.PAGE.ADD", section.address + page * PAGE_LEN);
    }

    fn extend(&mut self, section: &Section<'_>, page: u64) {
        let start = page * PAGE_LEN;
        let Ok(skipped) = usize::try_from(start) else {
            return;
        };
        let contents = section.measured.and_then(|data| data.get(skipped..));
        let chunks = contents.unwrap_or_default().chunks_exact(CHUNK_LEN);
        let mut address = section.address + start;
        for chunk in chunks.take(CHUNKS_A_PAGE) {
            self.record(b"MR.EXTEND", address);
            self.0.update(chunk);
            address += CHUNK_ADDRESSES;
        }
    }

    fn record(&mut self, operation: &[u8], address: u64) {
        let mut record = Vec::with_capacity(RECORD_LEN);
        record.extend_from_slice(operation);
        record.resize(ADDRESS_AT, 0);
        record.extend_from_slice(&address.to_le_bytes());
        record.resize(RECORD_LEN, 0);
        self.0.update(&record);
    }
}

const CHUNKS_A_PAGE: usize = 16;
const CHUNK_ADDRESSES: u64 = 256;
