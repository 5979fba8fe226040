//! The event log of the firmware in its ACPI table CCEL (ACPI 6.5, section 5.2.34; TCG PC client
//! platform firmware profile, section 10.4). The table reserves more than is written: what is sent
//! ends with the last event.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use thiserror::Error;

/// Longest log that is sent: with it and the quote in base64, evidence is within its bound.
pub(crate) const MAX_LOG_LEN: usize = 81_920;
/// Longest area that is read.
const MAX_AREA_LEN: u64 = 4 << 20;
const MAX_TABLE_LEN: u64 = 4096;
/// Of the table's header; then the type of confidential computing stands.
const HEADER_LEN: usize = 36;
const CC_TYPE_TDX: u8 = 2;
/// Of events after the first.
const MAX_DIGESTS: u32 = 8;
const SPEC_ID: &[u8; 16] = b"Spec ID Event03\0";

/// Why there is no event log.
#[derive(Debug, Error)]
pub(crate) enum LogError {
    #[error("cannot read {path}: {source}")]
    Unreadable { path: String, source: io::Error },
    #[error("the table CCEL is not of TDX")]
    ForeignTable,
    #[error("the event log is malformed at byte {0}")]
    Malformed(usize),
    #[error("the event log has more than {MAX_LOG_LEN} bytes")]
    TooLong,
}

/// Reads the log that the tables of `folder` point to.
pub(crate) fn read(folder: &Path) -> Result<Vec<u8>, LogError> {
    let table = read_up_to(&folder.join("CCEL"), MAX_TABLE_LEN)?;
    if !table.starts_with(b"CCEL") || table.get(HEADER_LEN) != Some(&CC_TYPE_TDX) {
        return Err(LogError::ForeignTable);
    }
    let mut area = read_up_to(&folder.join("data/CCEL"), MAX_AREA_LEN)?;
    let len = log_len(&area)?;
    if len > MAX_LOG_LEN {
        return Err(LogError::TooLong);
    }
    area.truncate(len);
    Ok(area)
}

fn read_up_to(path: &Path, max_len: u64) -> Result<Vec<u8>, LogError> {
    let unreadable = |source| LogError::Unreadable {
        path: path.display().to_string(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(max_len)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}

/// Where the last event ends.
fn log_len(area: &[u8]) -> Result<usize, LogError> {
    let mut log = Cursor { area, at: 0 };
    let algorithms = log.first_event()?;
    while !log.is_at_fill() {
        log.event(&algorithms)?;
    }
    Ok(log.at)
}

/// A digest's algorithm and length.
type Algorithm = (u16, usize);

struct Cursor<'a> {
    area: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], LogError> {
        let malformed = LogError::Malformed(self.at);
        let end = self.at.checked_add(len);
        let found = end.and_then(|end| self.area.get(self.at..end));
        let found = found.ok_or(malformed)?;
        self.at += len;
        Ok(found)
    }

    fn u16(&mut self) -> Result<u16, LogError> {
        let bytes = self.bytes(2)?.first_chunk();
        Ok(bytes.map_or(0, |bytes| u16::from_le_bytes(*bytes)))
    }

    fn u32(&mut self) -> Result<u32, LogError> {
        let bytes = self.bytes(4)?.first_chunk();
        Ok(bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes)))
    }

    /// As many bytes as the number before them says.
    fn counted(&mut self) -> Result<&'a [u8], LogError> {
        let len = self.u32()?;
        self.bytes(len as usize)
    }

    /// In the old form, with a SHA-1 of zeroes; it tells the digests of the others.
    fn first_event(&mut self) -> Result<Vec<Algorithm>, LogError> {
        self.bytes(28)?;
        let mut event = Cursor {
            area: self.counted()?,
            at: 0,
        };
        let malformed = LogError::Malformed(0);
        let is_known = event.bytes(SPEC_ID.len())? == SPEC_ID;
        event.bytes(8)?;
        let count = event.u32()?;
        if !is_known || count == 0 || count > MAX_DIGESTS {
            return Err(malformed);
        }
        (0..count)
            .map(|_| Ok((event.u16()?, usize::from(event.u16()?))))
            .collect()
    }

    fn event(&mut self, algorithms: &[Algorithm]) -> Result<(), LogError> {
        let began = self.at;
        let malformed = || LogError::Malformed(began);
        self.bytes(8)?;
        let count = self.u32()?;
        if count == 0 || count > MAX_DIGESTS {
            return Err(malformed());
        }
        for _ in 0..count {
            let algorithm = self.u16()?;
            let known = algorithms.iter().find(|(known, _)| *known == algorithm);
            let (_, len) = known.ok_or_else(malformed)?;
            self.bytes(*len)?;
        }
        self.counted()?;
        Ok(())
    }

    /// No event is of register 2^32 - 1, and none has type, register and number of digests 0:
    /// firmware fills its area with one or the other.
    fn is_at_fill(&self) -> bool {
        let rest = self.area.get(self.at..).unwrap_or_default();
        let head = rest.get(..12).unwrap_or(rest);
        head.is_empty()
            || head.iter().all(|byte| *byte == 0)
            || head.iter().take(4).all(|byte| *byte == 0xff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A log of two events after the first, which ends where the numbers say.
    fn log() -> Vec<u8> {
        let mut spec = SPEC_ID.to_vec();
        spec.extend([0; 8]);
        spec.extend([1, 0, 0, 0, 0x0c, 0, 48, 0, 0]);
        let mut log = vec![0; 28];
        log.extend(u32::try_from(spec.len()).unwrap().to_le_bytes());
        log.extend(spec);
        for (register, data) in [(1_u8, &b"kernel"[..]), (2, b"")] {
            log.extend([register, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0x0c, 0]);
            log.extend([7; 48]);
            log.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
            log.extend(data);
        }
        log
    }

    #[test]
    fn the_log_ends_with_its_last_event_whatever_fills_the_area() {
        let log = log();
        for fill in [0x00, 0xff] {
            for len in [0, 1, 3, 11, 12, 4096] {
                let area = [&log[..], &vec![fill; len]].concat();
                assert_eq!(log_len(&area).unwrap(), log.len(), "{fill} {len}");
            }
        }
    }

    #[test]
    fn a_log_that_is_cut_or_counts_wrong_is_malformed() {
        let log = log();
        let second = log.len() - 18 - 48;
        let first = second - 18 - 48 - 6;
        for len in (0..log.len()).filter(|len| ![first, second].contains(len)) {
            let refused = log_len(&log[..len]);
            // A head of zeroes alone is fill.
            let is_fill = matches!(refused, Ok(end) if end == first || end == second);
            assert!(refused.is_err() || is_fill, "{len}");
        }
        for (at, value) in [(8, 0), (8, 9), (12, 0x0b), (62, 0xff)] {
            let mut bad = log.clone();
            bad[first + at] = value;
            assert!(log_len(&bad).is_err(), "{at}");
        }
        let mut bad = log.clone();
        bad[40] = b'!';
        assert!(matches!(log_len(&bad), Err(LogError::Malformed(0))));
    }

    #[test]
    fn only_a_table_of_tdx_leads_to_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes);
        let read = || read(folder.path());
        assert!(matches!(read(), Err(LogError::Unreadable { .. })));
        let mut table = b"CCEL".to_vec();
        table.resize(56, 0);
        write("CCEL", &table).unwrap();
        assert!(matches!(read(), Err(LogError::ForeignTable)));
        table[HEADER_LEN] = CC_TYPE_TDX;
        write("CCEL", &table).unwrap();
        let missing = read().unwrap_err().to_string();
        assert!(missing.contains("data/CCEL"), "{missing}");
        std::fs::create_dir(folder.path().join("data")).unwrap();
        write("data/CCEL", &[&log()[..], &[0xff; 100]].concat()).unwrap();
        assert_eq!(read().unwrap(), log());
        let mut long = log();
        let len_at = long.len() - 4;
        long[len_at..].copy_from_slice(&100_000_u32.to_le_bytes());
        long.resize(long.len() + 100_000, 1);
        write("data/CCEL", &long).unwrap();
        assert!(matches!(read(), Err(LogError::TooLong)));
    }

    proptest! {
        #[test]
        fn whatever_the_tables_hold_the_log_ends_within_them(
            changes in prop::collection::vec((0..250_usize, any::<u8>()), 0..6),
            noise in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let mut area = log();
            for (at, byte) in changes {
                let len = area.len();
                area[at % len] = byte;
            }
            for area in [area, noise] {
                if let Ok(len) = log_len(&area) {
                    prop_assert!(len <= area.len());
                }
            }
        }
    }

    /// The file is not ours to publish: it lies where `NITRIDE_VECTORS` says.
    #[test]
    fn a_log_of_real_firmware_is_read_to_its_end() {
        let Some(folder) = std::env::var_os("NITRIDE_VECTORS") else {
            eprintln!("skipped: NITRIDE_VECTORS is not set");
            return;
        };
        let path = Path::new(&folder).join("tdx/ccel/ccel_ovmf.bin");
        let area = std::fs::read(path).unwrap();
        assert_eq!(log_len(&area).unwrap(), area.len() - 64);
    }
}
