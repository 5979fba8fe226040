//! LUKS2 headers, by the very code that judges them: it is part of a program, not of a library, so
//! its files are included here.

#[expect(
    dead_code,
    reason = "the program uses more of its headers than the target"
)]
#[path = "../../../agent/unlock/src/luks2/mod.rs"]
mod header;

use header::{CheckedHeader, Expected, HeaderFault, Standing, Wanted};
use nitride_kbs::disk::DiskExpectation;
use sha2::{Digest, Sha256};

/// Bytes of one copy, as cryptsetup makes them.
const SIZE: usize = 16_384;
/// Bytes of the binary part of one.
const BINARY_LEN: usize = 4096;
/// Bytes of the device that the headers are for.
const DEVICE_LEN: u64 = 64 << 20;

/// Bytes as both copies of a header, and as the JSON of one whose binary part is right, which
/// reaches further in.
pub fn luks2(data: &[u8]) {
    judge(data);
    if data.len() < SIZE - BINARY_LEN {
        judge(&[copy(data, b"LUKS\xba\xbe", 0), copy(data, b"SKUL\xba\xbe", SIZE)].concat());
    }
}

fn judge(both: &[u8]) {
    match judged(both) {
        Ok(header) => {
            let text = header.is().to_string();
            assert_eq!(text.parse::<DiskExpectation>().as_ref(), Ok(header.is()));
            assert!(header.is().offset >= header.header().len());
            assert!(!text.contains("null"));
            // What it is, is what it has to be.
            let wanted = Wanted {
                expected: Expected::These(vec![header.is().clone()]),
                ..any_volume()
            };
            let again = CheckedHeader::of(header.header().clone(), DEVICE_LEN, &wanted);
            assert_eq!(again.as_ref(), Ok(&header));
        }
        Err(fault) => assert!(!fault.name().is_empty() && !fault.remedy().is_empty()),
    }
}

fn judged(both: &[u8]) -> Result<CheckedHeader, HeaderFault> {
    let read = header::parse(both)?;
    let repaired = header::repaired(both, &read);
    let again = header::parse(&repaired)?;
    assert_eq!(again.standing(), Standing::Whole);
    assert_eq!(again.keyslots(), read.keyslots());
    CheckedHeader::of(read, DEVICE_LEN, &any_volume())
}

fn any_volume() -> Wanted {
    Wanted {
        expected: Expected::DangerAny,
        tokens: Vec::new(),
        flags: Vec::new(),
    }
}

/// A copy around the JSON, with a checksum that is right.
fn copy(json: &[u8], magic: &[u8; 6], place: usize) -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    bytes[..6].copy_from_slice(magic);
    bytes[6..8].copy_from_slice(&2_u16.to_be_bytes());
    bytes[8..16].copy_from_slice(&(SIZE as u64).to_be_bytes());
    bytes[72..78].copy_from_slice(b"sha256");
    bytes[168..204].copy_from_slice(b"7dfa3aba-96d9-4de6-90e8-45d3d2d0d897");
    bytes[256..264].copy_from_slice(&(place as u64).to_be_bytes());
    bytes[BINARY_LEN..BINARY_LEN + json.len()].copy_from_slice(json);
    let sum = Sha256::digest(&bytes);
    bytes[448..480].copy_from_slice(&sum);
    bytes
}
