//! The firmware's event log, as the kernel shows it (`binary_bios_measurements`). It is passed on as it
//! is: whether it is one, and replays, the verifier says.

use crate::tdx::event_log::MAX_LOG_LEN;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Reads it whole.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error| format!("cannot read {}: {error}", path.display());
    let file = File::open(path).map_err(unreadable)?;
    let mut log = Vec::new();
    let max = MAX_LOG_LEN as u64;
    file.take(max + 1)
        .read_to_end(&mut log)
        .map_err(unreadable)?;
    match log.len() {
        0 => Err(format!("{} is empty", path.display())),
        len if len > MAX_LOG_LEN => Err(format!(
            "{} has more than {MAX_LOG_LEN} bytes",
            path.display()
        )),
        _ => Ok(log),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert!(read(&path).unwrap_err().contains("cannot read"));
        for (len, is_read) in [(0, false), (1, true), (81_920, true), (81_921, false)] {
            std::fs::write(&path, vec![1; len]).unwrap();
            assert_eq!(read(&path).is_ok(), is_read, "{len}");
        }
    }
}
