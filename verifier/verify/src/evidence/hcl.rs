//! The report of Azure's paravisor (HCL), as it stands in NV index 0x01400001 of the virtual TPM:
//!
//! ```text
//!  0x000  "HCLA", version, length of all, request type, 16 bytes
//!  0x020  hardware report: SEV-SNP report or TDREPORT, in a slot of 1184 bytes
//!  0x4c0  length of the rest, version 1, type of the report (2 SNP, 4 TDX), hash (1 SHA-256)
//!  0x4d0  length, and the runtime data: JSON, whose hash the hardware report binds
//! ```
//!
//! Numbers are little-endian; what comes after is zero, since the index has a fixed size.

use super::cursor::Cursor;
use thiserror::Error;

const MAX_HCL_LEN: usize = 8 * 1024;
const SLOT_LEN: usize = 1184;
/// Where the runtime data begins.
const RUNTIME_AT: usize = 0x4d4;
/// The header before the runtime data, which its stated length includes.
const RUNTIME_HEADER_LEN: u32 = 20;
const TDREPORT_LEN: usize = 1024;
/// `REPORTMACSTRUCT.REPORTDATA` (Intel TDX module ABI).
const TDREPORT_DATA: std::ops::Range<usize> = 128..192;
/// `REPORT_DATA` of an SEV-SNP report (AMD 56860, table 23).
const SNP_REPORT_DATA: std::ops::Range<usize> = 0x50..0x90;

/// Which hardware reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HclKind {
    /// AMD SEV-SNP.
    Snp,
    /// Intel TDX: a TDREPORT, which proves nothing on another machine than its own.
    Tdx,
}

/// An HCL report, split into its parts. All of it is alleged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HclReport<'a> {
    /// Which hardware reported.
    pub kind: HclKind,
    /// The hardware's report: 1184 bytes of SEV-SNP, 1024 of TDX.
    pub report: &'a [u8],
    /// The runtime data: JSON.
    pub runtime: &'a [u8],
}

/// Why bytes are no HCL report.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HclMalformed {
    /// Too long.
    #[error("an HCL report of {len} bytes; at most {MAX_HCL_LEN} are read")]
    TooLong {
        /// The length.
        len: usize,
    },
    /// Not its magic number.
    #[error("an HCL report does not begin with HCLA")]
    Magic,
    /// A part is not whole.
    #[error("an HCL report is not whole")]
    Truncated,
    /// A field has a value without a meaning here.
    #[error("{field} of the HCL report is {value}, which is not known")]
    Unknown {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u32,
    },
    /// The lengths contradict each other.
    #[error("the lengths in the HCL report do not agree")]
    Lengths,
    /// Something comes after the runtime data.
    #[error("after its runtime data, the HCL report is not zero")]
    Trailing,
}

impl<'a> HclReport<'a> {
    /// Splits a report into its parts.
    ///
    /// # Errors
    ///
    /// [`HclMalformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, HclMalformed> {
        if bytes.len() > MAX_HCL_LEN {
            return Err(HclMalformed::TooLong { len: bytes.len() });
        }
        let mut cursor = Cursor::new(bytes);
        if cursor.array::<4>() != Some(b"HCLA") {
            return Err(HclMalformed::Magic);
        }
        known("version", &mut cursor, &[1, 2])?;
        let all_len = cursor.u32().ok_or(HclMalformed::Truncated)?;
        // 2: a report was asked for.
        known("request type", &mut cursor, &[2])?;
        cursor.take(16).ok_or(HclMalformed::Truncated)?;
        let slot = cursor.take(SLOT_LEN).ok_or(HclMalformed::Truncated)?;
        let rest_len = cursor.u32().ok_or(HclMalformed::Truncated)?;
        known("version of the runtime data", &mut cursor, &[1])?;
        let kind = match known("report type", &mut cursor, &[2, 4])? {
            2 => HclKind::Snp,
            _ => HclKind::Tdx,
        };
        known("hash of the runtime data", &mut cursor, &[1])?;
        let runtime = cursor.counted_u32().ok_or(HclMalformed::Truncated)?;
        let runtime_len = u32::try_from(runtime.len()).map_err(|_| HclMalformed::Lengths)?;
        let whole_len = u32::try_from(RUNTIME_AT.saturating_add(runtime.len()));
        if runtime_len.checked_add(RUNTIME_HEADER_LEN) != Some(rest_len) || whole_len != Ok(all_len)
        {
            return Err(HclMalformed::Lengths);
        }
        if cursor.rest().iter().any(|byte| *byte != 0) {
            return Err(HclMalformed::Trailing);
        }
        let report = match kind {
            HclKind::Snp => Some(slot),
            HclKind::Tdx => slot.get(..TDREPORT_LEN),
        };
        Ok(Self {
            kind,
            report: report.ok_or(HclMalformed::Truncated)?,
            runtime,
        })
    }

    /// What the hardware's report binds.
    #[must_use]
    pub fn report_data(&self) -> &'a [u8] {
        let at = match self.kind {
            HclKind::Snp => SNP_REPORT_DATA,
            HclKind::Tdx => TDREPORT_DATA,
        };
        self.report.get(at).unwrap_or_default()
    }
}

fn known(
    field: &'static str,
    cursor: &mut Cursor<'_>,
    values: &[u32],
) -> Result<u32, HclMalformed> {
    let value = cursor.u32().ok_or(HclMalformed::Truncated)?;
    if values.contains(&value) {
        Ok(value)
    } else {
        Err(HclMalformed::Unknown { field, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hcl(kind: u32, runtime: &[u8]) -> Vec<u8> {
        let len = u32::try_from(runtime.len()).unwrap();
        let mut hcl = b"HCLA".to_vec();
        for word in [2, 0x4d4 + len, 2, 0, 0, 0, 0] {
            hcl.extend(u32::to_le_bytes(word));
        }
        hcl.extend((0..SLOT_LEN).map(|at| if (0x50..0x90).contains(&at) { 7 } else { 8 }));
        for word in [20 + len, 1, kind, 1, len] {
            hcl.extend(u32::to_le_bytes(word));
        }
        hcl.extend(runtime);
        hcl
    }

    #[test]
    fn reports_of_both_kinds_are_split() {
        let bytes = [&hcl(2, b"{}")[..], &[0; 100]].concat();
        let report = HclReport::parse(&bytes).unwrap();
        assert_eq!(report.kind, HclKind::Snp);
        assert_eq!(report.runtime, b"{}");
        assert_eq!(report.report.len(), 1184);
        assert_eq!(report.report_data(), [7; 64]);
        let bytes = hcl(4, b"{}");
        let report = HclReport::parse(&bytes).unwrap();
        assert_eq!(report.kind, HclKind::Tdx);
        assert_eq!(report.report.len(), 1024);
        assert_eq!(report.report_data()[..16], [7; 16]);
    }

    #[test]
    fn every_word_that_has_a_meaning_is_held_to_it() {
        let good = hcl(2, b"{}");
        for (at, fault) in [
            (0, "HCLA"),
            (4, "version of"),
            (8, "lengths"),
            (12, "request type"),
            (0x4c0, "lengths"),
            (0x4c4, "version of the runtime"),
            (0x4c8, "report type"),
            (0x4cc, "hash"),
            (0x4d0, "not whole"),
        ] {
            let mut bytes = good.clone();
            bytes[at] ^= 0x40;
            let told = HclReport::parse(&bytes).unwrap_err().to_string();
            assert!(told.contains(fault), "{at:#x}: {told}");
        }
        let trailing = [&good[..], &[0, 1]].concat();
        assert_eq!(HclReport::parse(&trailing), Err(HclMalformed::Trailing));
        let long = [&good[..], &[0; 8192]].concat();
        assert!(matches!(
            HclReport::parse(&long),
            Err(HclMalformed::TooLong { .. })
        ));
        for len in 0..good.len() {
            assert!(HclReport::parse(&good[..len]).is_err(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
            at in 0..1300usize,
            value: u8,
        ) {
            let _ = HclReport::parse(&bytes);
            let mut changed = hcl(4, &bytes);
            if let Some(byte) = changed.get_mut(at) {
                *byte = value;
            }
            let _ = HclReport::parse(&changed);
        }
    }
}
