//! One writer at a time in a folder, of however many processes; and the last version that any of its
//! places was given, which a deletion does not take back.

use super::io_error;
use crate::store::{StoreError, Version};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub(super) const NAME: &str = ".lock";

/// Held until it is dropped. Whoever dies lets go of it.
pub(super) struct Lock {
    file: Flock<File>,
    path: PathBuf,
}

impl Lock {
    /// Waits for its turn: nobody keeps it longer than a write takes.
    pub(super) fn take(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(NAME);
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path);
        let file = opened.map_err(io_error("open", &path))?;
        let file = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| io_error("lock", &path)(errno.into()))?;
        Ok(Self { file, path })
    }

    /// A version that no place of this folder had, nor the one that `found` says: remembered before it
    /// is used, so that a crash leaves a gap and no version twice.
    pub(super) fn next_version(&self, found: Option<Version>) -> Result<Version, StoreError> {
        let last = found.max(Some(self.last()?)).unwrap_or(Version::new(0));
        let next = last.next();
        let written = self.file.write_all_at(&next.number().to_be_bytes(), 0);
        written
            .and_then(|()| self.file.sync_data())
            .map_err(io_error("write", &self.path))?;
        Ok(next)
    }

    /// A new file has none, and neither has one that somebody emptied.
    fn last(&self) -> Result<Version, StoreError> {
        let mut number = [0; 8];
        let mut len = 0;
        while let Some(rest) = number.get_mut(len..).filter(|rest| !rest.is_empty()) {
            let offset = u64::try_from(len).unwrap_or(u64::MAX);
            match self.file.read_at(rest, offset) {
                Ok(0) => return Ok(Version::new(0)),
                Ok(read) => len += read,
                Err(error) => return Err(io_error("read", &self.path)(error)),
            }
        }
        Ok(Version::new(u64::from_be_bytes(number)))
    }
}
