//! The table of certificates that the host hands over with a report (GHCB specification 56421,
//! section 4.1.8.1). Nobody vouches for it: whoever verifies checks each certificate's signature, and
//! here it must only lead nowhere outside itself.

use serde::Serialize;
use std::ops::Range;
use thiserror::Error;

/// Longest table: neither of the kernel's interfaces passes on more.
const MAX_TABLE_LEN: usize = crate::device::MAX_CERTS_LEN;
/// Most entries. There are four kinds, and a few that are not for reports.
const MAX_ENTRIES: usize = 8;
const ENTRY_LEN: usize = 24;

/// Kinds of certificates by their GUIDs, in the byte order of RFC 4122, with the KBS protocol's names.
const KINDS: [([u8; 16], &str); 4] = [
    (
        [
            0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8,
            0xac, 0xcd,
        ],
        "VCEK",
    ),
    (
        [
            0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e, 0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0,
            0xb8, 0xa1,
        ],
        "VLEK",
    ),
    (
        [
            0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27,
            0xc7, 0x82,
        ],
        "ASK",
    ),
    (
        [
            0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c,
            0xd0, 0xae,
        ],
        "ARK",
    ),
];

/// A kind, and where in the table its certificate is.
type Entry = ([u8; 16], Range<usize>);

/// One certificate, in the KBS protocol's form.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Certificate<'a> {
    pub(crate) cert_type: &'static str,
    /// DER, as far as the host says.
    pub(crate) data: &'a [u8],
}

/// Why a table is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum TableError {
    #[error("it has {0} bytes, more than {MAX_TABLE_LEN}")]
    TooLong(usize),
    #[error("it has more than {MAX_ENTRIES} entries")]
    TooManyEntries,
    #[error("its list of entries has no end")]
    Endless,
    #[error("entry {0} is empty")]
    EmptyEntry(usize),
    #[error("entry {0} lies outside the table")]
    OutOfBounds(usize),
    #[error("entry {0} lies over another, or over the list of entries")]
    Overlap(usize),
    #[error("entry {0} is of a kind that an earlier one is of")]
    Duplicate(usize),
}

/// The certificates of a table in its order; none of an empty one. Kinds that no report is
/// verified with are left out, and held to the same rules.
pub(crate) fn certificates(table: &[u8]) -> Result<Vec<Certificate<'_>>, TableError> {
    if table.len() > MAX_TABLE_LEN {
        return Err(TableError::TooLong(table.len()));
    }
    let entries = entries(table)?;
    let list_len = (entries.len() + 1) * ENTRY_LEN;
    let mut found = Vec::new();
    for (index, (guid, range)) in entries.iter().enumerate() {
        let data = table
            .get(range.clone())
            .ok_or(TableError::OutOfBounds(index))?;
        let earlier = entries.get(..index).unwrap_or_default();
        let overlaps = |other: &Range<usize>| range.start < other.end && other.start < range.end;
        if data.is_empty() {
            return Err(TableError::EmptyEntry(index));
        }
        if range.start < list_len || earlier.iter().any(|(_, other)| overlaps(other)) {
            return Err(TableError::Overlap(index));
        }
        if earlier.iter().any(|(other, _)| other == guid) {
            return Err(TableError::Duplicate(index));
        }
        if let Some((_, cert_type)) = KINDS.iter().find(|(kind, _)| kind == guid) {
            found.push(Certificate { cert_type, data });
        }
    }
    Ok(found)
}

/// The list, up to its entry of zeroes. No bytes at all are the empty list: what the kernel hands
/// over where the host gave nothing.
fn entries(table: &[u8]) -> Result<Vec<Entry>, TableError> {
    let mut found = Vec::new();
    if table.is_empty() {
        return Ok(found);
    }
    let mut rest = table;
    loop {
        let (entry, after) = rest
            .split_first_chunk::<ENTRY_LEN>()
            .ok_or(TableError::Endless)?;
        if *entry == [0; ENTRY_LEN] {
            return Ok(found);
        }
        if found.len() == MAX_ENTRIES {
            return Err(TableError::TooManyEntries);
        }
        let index = found.len();
        let (guid, place) = entry.split_at(16);
        let word = |at: usize| {
            let bytes = place
                .get(at..at + 4)
                .and_then(|bytes| bytes.try_into().ok());
            usize::try_from(u32::from_le_bytes(bytes?)).ok()
        };
        let range = word(0)
            .zip(word(4))
            .and_then(|(offset, len)| Some(offset..offset.checked_add(len)?))
            .ok_or(TableError::OutOfBounds(index))?;
        let guid = guid.try_into().map_err(|_| TableError::Endless)?;
        found.push((guid, range));
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FOREIGN: [u8; 16] = [0x92; 16];

    fn table(entries: &[([u8; 16], u32, u32)], len: usize) -> Vec<u8> {
        let mut table = Vec::new();
        for (guid, offset, length) in entries {
            table.extend(guid);
            table.extend(offset.to_le_bytes());
            table.extend(length.to_le_bytes());
        }
        table.extend([0; ENTRY_LEN]);
        // Each byte tells its place.
        table.extend((table.len()..len).map(|at| u8::try_from(at % 256).unwrap()));
        table
    }

    fn refused(entries: &[([u8; 16], u32, u32)]) -> TableError {
        certificates(&table(entries, 200)).unwrap_err()
    }

    #[test]
    fn certificates_are_found_where_their_entries_say() {
        let (vcek, ask) = (KINDS[0].0, KINDS[2].0);
        let table = table(&[(ask, 110, 2), (FOREIGN, 120, 3), (vcek, 100, 4)], 130);
        assert_eq!(
            certificates(&table).unwrap(),
            [
                Certificate {
                    cert_type: "ASK",
                    data: &[110, 111]
                },
                Certificate {
                    cert_type: "VCEK",
                    data: &[100, 101, 102, 103]
                }
            ]
        );
    }

    #[test]
    fn no_table_and_an_empty_one_have_no_certificates() {
        assert_eq!(certificates(&[]), Ok(vec![]));
        assert_eq!(certificates(&[0; 4096]), Ok(vec![]));
    }

    #[test]
    fn an_entry_that_leads_outside_is_refused() {
        let vcek = KINDS[0].0;
        for (offset, len) in [
            (0xffff_f000, 0x1000),
            (100, 0x7fff_ffff),
            (100, u32::MAX),
            (u32::MAX, u32::MAX),
            (200, 1),
            (199, 2),
        ] {
            let error = refused(&[(vcek, offset, len)]);
            assert_eq!(error, TableError::OutOfBounds(0), "{offset} {len}");
        }
        // Of kinds that are not used as well.
        assert_eq!(refused(&[(FOREIGN, 200, 1)]), TableError::OutOfBounds(0));
    }

    #[test]
    fn entries_that_share_bytes_are_refused() {
        let [vcek, vlek, ask, _] = KINDS.map(|(guid, _)| guid);
        assert_eq!(
            refused(&[(vcek, 110, 10), (ask, 119, 5)]),
            TableError::Overlap(1)
        );
        assert_eq!(
            refused(&[(vcek, 110, 10), (vlek, 100, 90)]),
            TableError::Overlap(1)
        );
        // Over the list itself, the last of which ends at 48.
        assert_eq!(refused(&[(vcek, 47, 10)]), TableError::Overlap(0));
        assert!(certificates(&table(&[(vcek, 48, 10)], 200)).is_ok());
    }

    #[test]
    fn a_second_entry_of_a_kind_and_an_empty_one_are_refused() {
        let vcek = KINDS[0].0;
        let twice = [(vcek, 110, 10), (vcek, 130, 10)];
        assert_eq!(refused(&twice), TableError::Duplicate(1));
        assert_eq!(refused(&[(vcek, 110, 0)]), TableError::EmptyEntry(0));
    }

    #[test]
    fn a_list_without_an_end_or_of_too_many_is_refused() {
        let entries: Vec<_> = (1..=9)
            .map(|kind| ([kind; 16], 220 + u32::from(kind), 1))
            .collect();
        assert_eq!(
            certificates(&table(&entries, 400)),
            Err(TableError::TooManyEntries)
        );
        assert!(certificates(&table(&entries[..8], 400)).is_ok());
        let endless = table(&entries[..1], 200);
        for len in 1..48 {
            assert_eq!(certificates(&endless[..len]), Err(TableError::Endless));
        }
        let long = vec![0; MAX_TABLE_LEN + 1];
        assert_eq!(
            certificates(&long),
            Err(TableError::TooLong(MAX_TABLE_LEN + 1))
        );
    }

    proptest! {
        #[test]
        fn whatever_the_host_hands_over_no_certificate_lies_outside_it(
            entries in prop::collection::vec((0..5_usize, 0..400_u32, 0..400_u32), 0..10),
            noise in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let entries: Vec<_> = entries
                .into_iter()
                .map(|(kind, offset, len)| (KINDS.get(kind).map_or(FOREIGN, |kind| kind.0), offset, len))
                .collect();
            for table in [table(&entries, 300), noise] {
                let whole = table.as_ptr_range();
                for found in certificates(&table).unwrap_or_default() {
                    let data = found.data.as_ptr_range();
                    prop_assert!(whole.start <= data.start && data.end <= whole.end);
                    prop_assert!(!found.data.is_empty());
                }
            }
        }
    }

    /// The files are not ours to publish: they lie where `NITRIDE_VECTORS` says.
    #[test]
    fn tables_that_others_read_beyond_are_refused_and_good_ones_are_read() {
        let Some(folder) = std::env::var_os("NITRIDE_VECTORS") else {
            eprintln!("skipped: NITRIDE_VECTORS is not set");
            return;
        };
        let folder = std::path::Path::new(&folder).join("snp/cert-tables");
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let good = read("good-vcek-ask-ark.bin");
        let found = certificates(&good).unwrap();
        let kinds: Vec<_> = found.iter().map(|found| found.cert_type).collect();
        assert_eq!(kinds, ["VCEK", "ASK", "ARK"]);
        assert!(
            found
                .iter()
                .all(|found| found.data.starts_with(&[0x30, 0x82]))
        );
        assert_eq!(certificates(&read("empty.bin")), Ok(vec![]));
        for name in ["bad-offset-out-of-range.bin", "bad-length-out-of-range.bin"] {
            let refused = certificates(&read(name)).map(|_| ()).err();
            assert!(
                matches!(refused, Some(TableError::OutOfBounds(_))),
                "{name}"
            );
        }
    }
}
