//! Bounded reading: every file has a greatest length, and so has all of it together.

use crate::obstacle::Obstacle;
use crate::write;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A fleet's keys are a few megabytes.
const MAX_TOTAL_LEN: u64 = 64 << 20;
/// An initrd may have hundreds of megabytes.
const MAX_IMAGES_LEN: u64 = 2 << 30;
/// A fleet has a key for each chip; a folder with more entries is another one.
const MAX_ENTRIES: usize = 65_536;

/// What may still be read.
#[derive(Debug)]
pub struct Files {
    left: u64,
}

impl Files {
    /// Everything that may be read in one go.
    #[must_use]
    pub fn new() -> Self {
        Self {
            left: MAX_TOTAL_LEN,
        }
    }

    /// For images of kernels, which are longer than all evidence together.
    #[must_use]
    pub fn of_images() -> Self {
        Self {
            left: MAX_IMAGES_LEN,
        }
    }

    /// All of a regular file of at most `max_len` bytes.
    ///
    /// # Errors
    ///
    /// [`Obstacle`] for what cannot be read, or is longer.
    pub fn read(&mut self, path: &Path, max_len: u64) -> Result<Vec<u8>, Obstacle> {
        let mut bytes = Vec::new();
        let limit = max_len.min(self.left);
        regular(path)
            // One byte more tells what is too long from what just fits.
            .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes))
            .map_err(|error| unreadable(path, &error))?;
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if len > max_len {
            let reason = format!("is longer than {max_len} bytes");
            return Err(Obstacle::at(path, reason, "name the right file"));
        }
        self.left = self.left.checked_sub(len).ok_or_else(|| {
            let reason = "all files together are longer than is read";
            Obstacle::at(
                path,
                reason,
                "keep less collateral in one folder, or name fewer images",
            )
        })?;
        Ok(bytes)
    }

    /// The same as text.
    ///
    /// # Errors
    ///
    /// As [`Self::read`], and for what is not UTF-8.
    pub fn read_text(&mut self, path: &Path, max_len: u64) -> Result<String, Obstacle> {
        let bytes = self.read(path, max_len)?;
        String::from_utf8(bytes)
            .map_err(|_| Obstacle::at(path, "is not UTF-8 text", "name the right file"))
    }
}

/// Opens what is a file. A FIFO without a writer would hold the reader up for ever, and opening a
/// device may do something.
fn regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "it is no regular file",
    ))
}

/// What is in a folder, in the order of the names; not what a writer is at.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Obstacle> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        if found.len() == MAX_ENTRIES {
            let reason = format!("has more than {MAX_ENTRIES} entries");
            return Err(Obstacle::at(folder, reason, "name the right folder"));
        }
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        if !write::is_temporary(&path) {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

impl Default for Files {
    fn default() -> Self {
        Self::new()
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Obstacle {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => "name a file that is there",
        io::ErrorKind::PermissionDenied => "let this user read it",
        _ => "name a file that can be read",
    };
    Obstacle::at(path, format!("cannot be read: {error}"), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_beyond_it_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.bin");
        fs::write(&path, "123456").unwrap();
        assert_eq!(Files::new().read(&path, 6).unwrap(), b"123456");
        let told = Files::new().read(&path, 5).unwrap_err().to_string();
        assert!(
            told.contains("report.bin: is longer than 5 bytes"),
            "{told}"
        );
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        let (told, is_told) = std::sync::mpsc::channel();
        let paths = [fifo, folder.path().to_owned(), PathBuf::from("/dev/zero")];
        std::thread::spawn(move || {
            for path in paths {
                let refused = Files::new().read(&path, 1 << 16).unwrap_err();
                told.send(refused.to_string()).unwrap();
            }
        });
        for _ in 0..3 {
            let told = is_told.recv_timeout(std::time::Duration::from_secs(20));
            let told = told.expect("nobody waits for a writer");
            assert!(told.contains("no regular file"), "{told}");
        }
    }

    #[test]
    fn all_files_together_have_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "123456").unwrap();
        let mut files = Files { left: 9 };
        files.read(&path, 6).unwrap();
        let told = files.read(&path, 6).unwrap_err().to_string();
        assert!(told.contains("all files together"), "{told}");
    }

    #[test]
    fn an_absent_file_is_named() {
        let told = Files::new().read(Path::new("/nowhere/a"), 1).unwrap_err();
        assert!(told.to_string().starts_with("/nowhere/a: cannot be read: "));
        assert!(entries(Path::new("/nowhere")).is_err());
    }
}
