use super::fault::SealError;
use nitride_ipc::trusted_file;
use nitride_vault::seal::MAX_FILE_LEN;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::resource::{Resource, getrlimit};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Whoever reads and writes here holds a lock on this file.
const LOCK: &str = "lock";
/// A head is no longer than this, with its params.
const MAX_HEAD_LEN: u64 = 8192;

/// More than the smallest file has, in bytes.
const TRIAL_LEN: usize = 16 << 10;

/// One of the files that there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// The one that counts, unless the counter says otherwise.
    Current,
    /// The one that is to take its place.
    Next,
    /// The one that is being written.
    Half,
}

impl Name {
    fn as_str(self) -> &'static str {
        match self {
            Self::Current => "vault.sealed",
            Self::Next => "vault.sealed.next",
            Self::Half => "vault.sealed.half",
        }
    }
}

/// The folder of the sealed file.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// How long a file may become; asked at the start, since nobody who serves may ask.
    max_file_len: u64,
    /// Held for as long as this is there.
    lock: Option<File>,
}

impl Folder {
    /// Makes it if it is not there; to be called before vhsmd gives up what is outside.
    pub(super) fn make(path: &Path) -> Self {
        // What is wrong with it says `take`.
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(path);
        let limit = getrlimit(Resource::RLIMIT_FSIZE).map_or(u64::MAX, |(soft, _)| soft);
        Self {
            path: path.to_owned(),
            max_file_len: limit,
            lock: None,
        }
    }

    /// Takes it for this process alone.
    pub(super) fn take(&mut self) -> Result<(), SealError> {
        if self.lock.is_some() {
            return Ok(());
        }
        let path = || self.path.clone();
        let unusable = |error| SealError::Folder {
            path: path(),
            error,
        };
        trusted_file::check_folder(&self.path).map_err(|error| match error {
            trusted_file::TrustError::Unreadable(error) => unusable(error),
            error => SealError::FolderNotTrusted {
                path: path(),
                error,
            },
        })?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(self.path.join(LOCK))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SealError::Taken { path: path() }),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        self.lock = Some(lock);
        Ok(())
    }

    /// The beginning of a file, in which its whole head is; `None` where there is no such file.
    pub(super) fn read_head(&self, name: Name) -> Result<Option<Vec<u8>>, SealError> {
        self.read_at_most(name, MAX_HEAD_LEN)
    }

    /// A whole file; `None` where there is none.
    pub(super) fn read(&self, name: Name) -> Result<Option<Vec<u8>>, SealError> {
        self.read_at_most(name, u64::MAX)
    }

    fn read_at_most(&self, name: Name, most: u64) -> Result<Option<Vec<u8>>, SealError> {
        let path = self.path_of(name);
        let unreadable = |error| SealError::Unreadable {
            path: path.clone(),
            error,
        };
        // A link leads elsewhere, and a pipe would keep us waiting.
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits())
            .open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        let found = file.metadata().map_err(unreadable)?;
        if !found.is_file() {
            return Err(unreadable(io::Error::other("it is not a regular file")));
        }
        let len = found.len();
        if usize::try_from(len).map_or(true, |len| len > MAX_FILE_LEN) {
            let path = path.clone();
            return Err(SealError::TooLong { path, len });
        }
        let mut bytes = Vec::new();
        file.take(len.min(most))
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        Ok(Some(bytes))
    }

    /// Tries whether a file could be written.
    pub(super) fn try_to_write(&self) -> Result<(), SealError> {
        self.write_half(&[0; TRIAL_LEN])
            .and_then(|()| remove(&self.path_of(Name::Half)))
            .map_err(SealError::Write)
    }

    /// Has `file` on the disk as the next one, whole or not at all.
    pub(super) fn write_next(&self, file: &[u8]) -> Result<(), SealError> {
        let written = || {
            self.write_half(file)?;
            fs::rename(self.path_of(Name::Half), self.path_of(Name::Next))?;
            self.sync()
        };
        written().map_err(SealError::Write)
    }

    fn write_half(&self, file: &[u8]) -> io::Result<()> {
        let path = self.path_of(Name::Half);
        {
            // Past the limit the kernel sends a signal that ends the process.
            if u64::try_from(file.len()).map_or(true, |len| len > self.max_file_len) {
                return Err(Errno::EFBIG.into());
            }
            remove(&path)?;
            let mut half = OpenOptions::new()
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(&path)?;
            let written = half.write_all(file).and_then(|()| half.sync_all());
            if let Err(error) = written {
                // What there was of it is given back.
                let _ = fs::remove_file(&path);
                return Err(error);
            }
            Ok(())
        }
    }

    /// Has the file take the first name, for good.
    pub(super) fn take_over(&self) -> Result<(), SealError> {
        fs::rename(self.path_of(Name::Next), self.path_of(Name::Current))
            .and_then(|()| self.sync())
            .map_err(SealError::Write)
    }

    /// Removes a file, for good, if it is there.
    pub(super) fn remove(&self, name: Name) -> Result<(), SealError> {
        remove(&self.path_of(name))
            .and_then(|()| self.sync())
            .map_err(SealError::Write)
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn path_of(&self, name: Name) -> PathBuf {
        self.path.join(name.as_str())
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn taken() -> (tempfile::TempDir, Folder) {
        let above = tempfile::tempdir().unwrap();
        let mut folder = Folder::make(&above.path().join("a/seal"));
        folder.take().unwrap();
        (above, folder)
    }

    #[test]
    fn a_file_is_vhsmds_alone_and_takes_over_whole() {
        let (_above, folder) = taken();
        assert_eq!(folder.read(Name::Current).unwrap(), None);
        folder.write_next(b"first").unwrap();
        assert_eq!(folder.read(Name::Current).unwrap(), None);
        folder.take_over().unwrap();
        folder.write_next(b"second, and longer").unwrap();
        assert_eq!(folder.read(Name::Current).unwrap().unwrap(), b"first");
        folder.take_over().unwrap();
        let read = folder.read(Name::Current).unwrap().unwrap();
        assert_eq!(read, b"second, and longer");
        assert_eq!(folder.read(Name::Next).unwrap(), None);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&folder.path_of(Name::Current)), 0o600);
        assert_eq!(mode(&folder.path), 0o700);
        folder.remove(Name::Current).unwrap();
        folder.remove(Name::Current).unwrap();
        assert_eq!(folder.read(Name::Current).unwrap(), None);
    }

    #[test]
    fn a_folder_is_one_vhsmds_and_nobody_elses() {
        let (_above, folder) = taken();
        let mut other = Folder::make(&folder.path);
        assert!(matches!(other.take(), Err(SealError::Taken { .. })));
        let open = tempfile::tempdir().unwrap();
        fs::set_permissions(open.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let refused = Folder::make(open.path()).take();
        assert!(matches!(refused, Err(SealError::FolderNotTrusted { .. })));
        let file = open.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = Folder::make(&file.join("seal")).take();
        assert!(matches!(refused, Err(SealError::Folder { .. })));
    }

    #[test]
    fn what_is_no_file_is_not_taken_for_none() {
        let (above, folder) = taken();
        let path = folder.path_of(Name::Current);
        symlink("/etc/passwd", &path).unwrap();
        assert!(matches!(
            folder.read(Name::Current),
            Err(SealError::Unreadable { .. })
        ));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(
            folder.read(Name::Current),
            Err(SealError::Unreadable { .. })
        ));
        fs::remove_dir(&path).unwrap();
        File::create(&path)
            .unwrap()
            .set_len(MAX_FILE_LEN as u64 + 1)
            .unwrap();
        assert!(matches!(
            folder.read_head(Name::Current),
            Err(SealError::TooLong { .. })
        ));
        drop(above);
    }

    #[test]
    fn what_cannot_be_written_leaves_the_file_that_counts() {
        let (_above, folder) = taken();
        folder.write_next(b"first").unwrap();
        folder.take_over().unwrap();
        let half = folder.path_of(Name::Half);
        fs::create_dir(&half).unwrap();
        let refused = folder.write_next(b"second");
        assert!(matches!(refused, Err(SealError::Write(_))));
        assert_eq!(folder.read(Name::Current).unwrap().unwrap(), b"first");
        fs::remove_dir(&half).unwrap();
        let small = Folder {
            path: folder.path.clone(),
            max_file_len: 5,
            lock: None,
        };
        assert!(small.write_next(b"second").is_err());
        assert!(small.write_next(b"fifth").is_ok());
    }
}
