//! The certificate table of an extended report (GHCB 56421, 4.1.8.1): entries of a GUID, an offset
//! and a length, up to an entry of zeros, and the certificates anywhere after.
//!
//! It comes from the host, all of it. One peer follows its offsets without looking.

use crate::budget::{Budget, BudgetExceeded};
use thiserror::Error;

/// The device takes no larger buffer.
const MAX_TABLE_LEN: usize = 64 * 1024;
const MAX_ENTRIES: usize = 8;
const ENTRY_LEN: usize = 24;

/// GUIDs in the byte order of RFC 4122.
const VCEK: [u8; 16] = 0x63da758d_e664_4564_adc5_f4b93be8accd_u128.to_be_bytes();
const VLEK: [u8; 16] = 0xa8074bc2_a25a_483e_aae6_39c045a0b8a1_u128.to_be_bytes();
const ASK: [u8; 16] = 0x4ab7b379_bbac_4fe4_a02f_05aef327c782_u128.to_be_bytes();
const ARK: [u8; 16] = 0xc0b406a4_a803_4952_9743_3fb6014cd0ae_u128.to_be_bytes();

/// Certificates that came with a report, in DER, none of them verified.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Certificates {
    /// The chip's own key.
    pub vcek: Option<Vec<u8>>,
    /// The key that a cloud loads into its chips.
    pub vlek: Option<Vec<u8>>,
    /// AMD's intermediate for either: the ASK or the ASVK.
    pub ask: Option<Vec<u8>>,
    /// AMD's root.
    pub ark: Option<Vec<u8>>,
}

/// Bytes that are no table.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertificateTableFault {
    /// Too long.
    #[error("a certificate table of {len} bytes; at most {MAX_TABLE_LEN} are read")]
    TooLong {
        /// The length.
        len: usize,
    },
    /// No entry of zeros.
    #[error("a certificate table does not end within {MAX_ENTRIES} entries")]
    NotTerminated,
    /// An entry points outside, or into the entries.
    #[error("entry {entry} of the certificate table points outside of its data")]
    OutOfRange {
        /// The entry, counted from 0.
        entry: usize,
    },
    /// Two entries share bytes.
    #[error("entry {entry} of the certificate table overlaps another")]
    Overlap {
        /// The entry, counted from 0.
        entry: usize,
    },
    /// Two entries have one GUID.
    #[error("entry {entry} of the certificate table is there twice")]
    Duplicate {
        /// The entry, counted from 0.
        entry: usize,
    },
    /// The budget is spent.
    #[error(transparent)]
    OverBudget(#[from] BudgetExceeded),
}

struct Entry {
    guid: [u8; 16],
    start: usize,
    end: usize,
}

impl Certificates {
    /// Reads a table. An empty one is none, and so is a table of zeros: the host gave nothing.
    /// Entries of an unknown kind are bounded like all others, and left alone.
    ///
    /// # Errors
    ///
    /// [`CertificateTableFault`].
    pub fn parse_table(table: &[u8], budget: &mut Budget) -> Result<Self, CertificateTableFault> {
        if table.len() > MAX_TABLE_LEN {
            return Err(CertificateTableFault::TooLong { len: table.len() });
        }
        budget.spend_bytes(table.len())?;
        let mut certificates = Self::default();
        for entry in entries(table)? {
            let data = table.get(entry.start..entry.end).unwrap_or_default();
            let place = match entry.guid {
                VCEK => &mut certificates.vcek,
                VLEK => &mut certificates.vlek,
                ASK => &mut certificates.ask,
                ARK => &mut certificates.ark,
                _ => continue,
            };
            *place = Some(data.to_vec());
        }
        Ok(certificates)
    }
}

fn entries(table: &[u8]) -> Result<Vec<Entry>, CertificateTableFault> {
    let mut entries: Vec<Entry> = Vec::new();
    if table.is_empty() {
        return Ok(entries);
    }
    let mut rest = table;
    loop {
        let Some((raw, after)) = rest.split_first_chunk::<ENTRY_LEN>() else {
            return Err(CertificateTableFault::NotTerminated);
        };
        if *raw == [0; ENTRY_LEN] {
            break;
        }
        let index = entries.len();
        if index == MAX_ENTRIES {
            return Err(CertificateTableFault::NotTerminated);
        }
        rest = after;
        let (guid, place) = raw.split_at(16);
        let mut entry = Entry {
            guid: [0; 16],
            start: u32_le(place, 0),
            end: 0,
        };
        entry.guid.copy_from_slice(guid);
        entry.end = entry.start.saturating_add(u32_le(place, 4));
        if entry.end > table.len() || entry.start >= entry.end {
            return Err(CertificateTableFault::OutOfRange { entry: index });
        }
        if entries.iter().any(|other| other.guid == entry.guid) {
            return Err(CertificateTableFault::Duplicate { entry: index });
        }
        let overlaps = |other: &Entry| entry.start < other.end && other.start < entry.end;
        if entries.iter().any(overlaps) {
            return Err(CertificateTableFault::Overlap { entry: index });
        }
        entries.push(entry);
    }
    // The entries and the one of zeros are no certificate.
    let head_len = (entries.len() + 1) * ENTRY_LEN;
    match entries.iter().position(|entry| entry.start < head_len) {
        Some(entry) => Err(CertificateTableFault::OutOfRange { entry }),
        None => Ok(entries),
    }
}

fn u32_le(bytes: &[u8], at: usize) -> usize {
    let field = bytes.get(at..).and_then(|b| b.first_chunk());
    let number = field.map_or(u32::MAX, |field| u32::from_le_bytes(*field));
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of these entries, each `(guid, offset, length)`, in a page.
    fn table(entries: &[([u8; 16], u32, u32)]) -> Vec<u8> {
        let mut table = Vec::new();
        for (guid, offset, len) in entries {
            table.extend(guid);
            table.extend(offset.to_le_bytes());
            table.extend(len.to_le_bytes());
        }
        table.resize(4096, 0);
        table
    }

    fn parse(table: &[u8]) -> Result<Certificates, CertificateTableFault> {
        Certificates::parse_table(table, &mut Budget::for_one_round())
    }

    #[test]
    fn certificates_are_found_by_guid() {
        let mut table = table(&[(ARK, 1024, 3), (VCEK, 2048, 2), ([9; 16], 4090, 6)]);
        table[1024..1027].copy_from_slice(b"ark");
        table[2048..2050].copy_from_slice(b"ek");
        let read = parse(&table).unwrap();
        assert_eq!(read.ark.as_deref(), Some(&b"ark"[..]));
        assert_eq!(read.vcek.as_deref(), Some(&b"ek"[..]));
        assert_eq!((read.vlek, read.ask), (None, None));
    }

    #[test]
    fn no_table_and_a_table_of_zeros_are_no_certificates() {
        assert_eq!(parse(&[]), Ok(Certificates::default()));
        assert_eq!(parse(&[0; 4096]), Ok(Certificates::default()));
    }

    #[test]
    fn each_way_out_of_the_table_is_refused_by_name() {
        use CertificateTableFault::{Duplicate, NotTerminated, OutOfRange, Overlap};
        let out = OutOfRange { entry: 0 };
        for (entries, fault) in [
            (vec![(VCEK, 4096, 1)], out.clone()),
            (vec![(VCEK, 4095, 2)], out.clone()),
            (vec![(VCEK, u32::MAX, u32::MAX)], out.clone()),
            (vec![(VCEK, 1024, 0)], out.clone()),
            (vec![(VCEK, 24, 8)], out.clone()),
            (vec![(VCEK, 0, 4096)], out),
            (
                vec![(VCEK, 1024, 8), (VCEK, 2048, 8)],
                Duplicate { entry: 1 },
            ),
            (vec![(VCEK, 1024, 8), (ASK, 1031, 8)], Overlap { entry: 1 }),
            (vec![(VCEK, 1024, 8), (ASK, 1020, 90)], Overlap { entry: 1 }),
        ] {
            assert_eq!(parse(&table(&entries)), Err(fault), "{entries:?}");
        }
        let nine: Vec<_> = (0..9)
            .map(|n| ([n + 1; 16], 1000 + u32::from(n), 1))
            .collect();
        assert_eq!(parse(&table(&nine)), Err(NotTerminated));
        assert!(parse(&table(&nine[..8])).is_ok());
        assert_eq!(parse(&[1; 23]), Err(NotTerminated));
        assert!(matches!(
            parse(&vec![0; 65537]),
            Err(CertificateTableFault::TooLong { len: 65537 })
        ));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_table_or_a_fault(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
