//! The digest itself: each page adds the digest of a record that has the digest before it, the
//! page's digest, type and address (AMD 56860, 8.17.2, "PAGE_INFO").

use crate::digest::{Digest384, sha384};
use crate::firmware::PAGE_LEN;

const RECORD_LEN: usize = 0x70;
const BELOW: u64 = 1 << 32;
/// Where the firmware keeps a processor's state: all ones, without the offset in the page and what
/// is above bit 51, of which the digest has 48 bits (as KVM gives it).
const VMSA_ADDRESS: u64 = 0xffff_ffff_f000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum PageType {
    Normal = 1,
    Vmsa = 2,
    Zero = 3,
    Secrets = 5,
    Cpuid = 6,
}

/// A digest that grows.
#[derive(Debug, Clone)]
pub(super) struct LaunchDigest(Digest384);

impl Default for LaunchDigest {
    fn default() -> Self {
        Self([0; 48])
    }
}

impl LaunchDigest {
    /// A digest that has grown already.
    #[cfg(test)]
    pub(super) fn resumed(digest: Digest384) -> Self {
        Self(digest)
    }

    /// The image, which ends at 4 GiB.
    pub(super) fn firmware(&mut self, bytes: &[u8]) {
        let len = u64::try_from(bytes.len()).unwrap_or(BELOW);
        let mut address = BELOW.saturating_sub(len);
        for page in bytes.chunks(PAGE_LEN) {
            self.page(PageType::Normal, address, page);
            address += PAGE_ADDRESSES;
        }
    }

    /// Pages of zeros, of which the record has no digest.
    pub(super) fn zeros(&mut self, address: u64, len: u32) {
        let mut offset = 0;
        while offset < u64::from(len) {
            self.opaque(PageType::Zero, address + offset);
            offset += PAGE_ADDRESSES;
        }
    }

    /// A page whose contents are not measured.
    pub(super) fn opaque(&mut self, kind: PageType, address: u64) {
        self.extend(kind, address, &[0; 48]);
    }

    /// A page whose contents are.
    pub(super) fn page(&mut self, kind: PageType, address: u64, contents: &[u8]) {
        self.extend(kind, address, &sha384(contents));
    }

    /// A processor's state, whose digest can stand for many.
    pub(super) fn vcpu_state(&mut self, contents: &Digest384) {
        self.extend(PageType::Vmsa, VMSA_ADDRESS, contents);
    }

    pub(super) fn value(&self) -> Digest384 {
        self.0
    }

    fn extend(&mut self, kind: PageType, address: u64, contents: &Digest384) {
        let mut record = Vec::with_capacity(RECORD_LEN);
        record.extend_from_slice(&self.0);
        record.extend_from_slice(contents);
        // Its length; its type; not imported by a migration; no rights of lower VMPLs; reserved.
        record.extend_from_slice(&[0x70, 0, kind as u8, 0, 0, 0, 0, 0]);
        record.extend_from_slice(&address.to_le_bytes());
        self.0 = sha384(&record);
    }
}

const PAGE_ADDRESSES: u64 = 4096;
