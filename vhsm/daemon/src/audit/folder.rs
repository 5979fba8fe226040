use crate::config::AuditSettings;
use nitride_protocol::audit::MAGIC;
use nitride_vault::audit::UNIT_LEN;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::resource::{Resource, getrlimit};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What a file's name ends with; before it stands its number, of ten digits.
const SUFFIX: &str = ".audit";
/// The file that is ready to follow.
const SPARE: &str = "spare";
/// Whoever writes here holds a lock on this file.
const LOCK: &str = "lock";

/// The folder of the audit's files. They are numbered, and the newest has the highest number.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    files: usize,
    file_len: usize,
    /// How long a file may become; asked at the start, since nobody who serves may ask.
    max_file_len: u64,
    /// Held for as long as this is there.
    _lock: File,
}

/// Why the audit cannot be written at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// The folder cannot be made, opened or read.
    #[error("open the audit's folder {path}")]
    Unusable {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Another process writes there.
    #[error("the audit's folder {path} is another vhsmd's; state another one in [audit]")]
    Taken {
        /// Its path.
        path: PathBuf,
    },
}

impl Folder {
    /// Makes the folder if it is not there, and takes it.
    pub(super) fn open(settings: &AuditSettings) -> Result<Self, FolderError> {
        let path = &settings.folder;
        let unusable = |error| FolderError::Unusable {
            path: path.clone(),
            error,
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(unusable)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(FolderError::Taken { path: path.clone() });
            }
            Err(fs::TryLockError::Error(error)) => return Err(unusable(error)),
        }
        Ok(Self {
            path: path.clone(),
            files: settings.files,
            file_len: settings.file_len,
            max_file_len: getrlimit(Resource::RLIMIT_FSIZE)
                .map_err(|errno| unusable(errno.into()))?
                .0,
            _lock: lock,
        })
    }

    /// The files' numbers, oldest first.
    pub(super) fn numbers(&self) -> Result<Vec<u64>, FolderError> {
        let read = || {
            let mut numbers = Vec::new();
            for entry in fs::read_dir(&self.path)? {
                numbers.extend(number_of(&entry?.path()));
            }
            numbers.sort_unstable();
            Ok(numbers)
        };
        read().map_err(|error| self.unusable(error))
    }

    /// A whole file, and the file to go on writing.
    pub(super) fn read(&self, number: u64) -> Result<(Vec<u8>, File), FolderError> {
        let read = || {
            let path = self.path_of(number);
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            Ok((fs::read(&path)?, file))
        };
        read().map_err(|error| self.unusable(error))
    }

    /// Makes the file that is to follow, in its full length, so that writing to it takes nothing
    /// from the file system. The oldest files go first where there would be too many.
    pub(super) fn make_spare(&self) -> io::Result<Spare> {
        let numbers = self.numbers().map_err(io::Error::other)?;
        let too_many = (numbers.len() + 1).saturating_sub(self.files);
        for number in numbers.into_iter().take(too_many) {
            fs::remove_file(self.path_of(number))?;
        }
        let path = self.path.join(SPARE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new()
            .create_new(true)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)?;
        let made = self
            .allocate(&file)
            .and_then(|()| file.write_all_at(MAGIC, 0))
            .and_then(|()| file.sync_all());
        if let Err(error) = made {
            // What there was of it is given back.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Spare {
            file,
            len: self.file_len,
        })
    }

    /// Makes the spare the file `number`.
    pub(super) fn adopt_spare(&self, number: u64) -> io::Result<()> {
        fs::rename(self.path.join(SPARE), self.path_of(number))?;
        File::open(&self.path)?.sync_all()
    }

    /// Has the file system set the whole length aside.
    fn allocate(&self, mut file: &File) -> io::Result<()> {
        let wanted = u64::try_from(self.file_len).unwrap_or(u64::MAX);
        // Past the limit the kernel sends a signal that ends the process.
        if self.max_file_len < wanted {
            return Err(Errno::EFBIG.into());
        }
        let len = i64::try_from(self.file_len).map_err(io::Error::other)?;
        match fallocate(file, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            // A file system that cannot: what is written takes its place, too.
            Err(Errno::EOPNOTSUPP) => {
                let zeros = [0; UNIT_LEN];
                let mut left = self.file_len;
                while left > 0 {
                    let part = left.min(zeros.len());
                    file.write_all(&zeros[..part])?;
                    left -= part;
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn path_of(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:010}{SUFFIX}"))
    }

    fn unusable(&self, error: io::Error) -> FolderError {
        FolderError::Unusable {
            path: self.path.clone(),
            error,
        }
    }
}

/// A file that is ready to follow.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) file: File,
    /// Its whole length in bytes.
    pub(super) len: usize,
}

fn number_of(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    let plain = digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}
