//! The table of hashes that QEMU writes and OVMF compares (QEMU, `target/i386/sev.c`).

use super::{SnpFault, SnpKernel};
use crate::digest::{Digest256, sha256};
use crate::firmware::{Guid, PAGE_LEN, guid};

const TABLE: Guid = guid(0x9438_d606, 0x4f22, 0x4cc9, 0xb479_a793_d411_fd21);
const COMMAND_LINE: Guid = guid(0x97d0_2dd8, 0xbd20, 0x4c94, 0xaa78_e771_4d36_ab2a);
const INITRD: Guid = guid(0x44ba_f731, 0x3a2f, 0x4bd7, 0x9af1_41e2_9169_781d);
const KERNEL: Guid = guid(0x4de7_9437, 0xabd2, 0x427f, 0xb835_d5b1_72d2_045b);
/// GUID, length, hash.
const ENTRY_LEN: u16 = 50;
/// GUID, length, three entries.
const TABLE_LEN: u16 = 168;
/// The table is padded to whole sixteen bytes.
const PADDED_LEN: usize = 176;

pub(super) struct KernelHashes {
    command_line: Digest256,
    initrd: Digest256,
    kernel: Digest256,
}

impl KernelHashes {
    pub(super) fn of(kernel: &SnpKernel<'_>) -> Result<Self, SnpFault> {
        if kernel.command_line.contains('\0') {
            return Err(SnpFault::CommandLine);
        }
        // With the NUL that ends it, also where it is empty.
        let mut command_line = kernel.command_line.as_bytes().to_vec();
        command_line.push(0);
        Ok(Self {
            command_line: sha256(&command_line),
            initrd: sha256(kernel.initrd),
            kernel: sha256(kernel.kernel),
        })
    }

    /// The page that has the table at `offset`, if it fits.
    pub(super) fn page(&self, offset: usize) -> Option<Vec<u8>> {
        let mut page = vec![0; PAGE_LEN];
        let table = self.table();
        let end = offset.checked_add(PADDED_LEN)?;
        let place = page.get_mut(offset..end)?;
        place.get_mut(..table.len())?.copy_from_slice(&table);
        Some(page)
    }

    fn table(&self) -> Vec<u8> {
        let mut table = Vec::with_capacity(PADDED_LEN);
        table.extend_from_slice(&TABLE);
        table.extend_from_slice(&TABLE_LEN.to_le_bytes());
        let entries = [
            (COMMAND_LINE, &self.command_line),
            (INITRD, &self.initrd),
            (KERNEL, &self.kernel),
        ];
        for (name, hash) in entries {
            table.extend_from_slice(&name);
            table.extend_from_slice(&ENTRY_LEN.to_le_bytes());
            table.extend_from_slice(hash);
        }
        table
    }
}
