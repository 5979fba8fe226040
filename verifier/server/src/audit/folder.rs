//! The folder of the audit's files: numbered, the newest with the highest number, bounded in number and
//! length.

use super::entry::{Head, MAX_LINE_LEN};
use super::trail::{Trail, TrailFault};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// What a file's name ends with; before it stands its number, of ten digits.
const SUFFIX: &str = ".audit";
/// Whoever writes here holds a lock on this file.
const LOCK: &str = "lock";
/// No file is longer, whatever the configuration said when it was written.
pub(crate) const MAX_FILE_LEN: u64 = 64 << 20;

/// Why the audit cannot be written or read.
#[derive(Debug, Error)]
pub(crate) enum FolderError {
    #[error("{action} {} of the audit", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the audit's folder {} is another service's; each replica has its own", path.display())]
    Taken { path: PathBuf },
    #[error(
        "{} of the audit cannot be followed; keep the folder for whoever looks into it, and name \
         another one in [audit]",
        path.display()
    )]
    Broken {
        path: PathBuf,
        #[source]
        source: TrailFault,
    },
    #[error("{} is larger than any file of the audit", path.display())]
    TooLarge { path: PathBuf },
    #[error("{} has no file of the audit", path.display())]
    NoFile { path: PathBuf },
}

/// The files, the newest of which is open for writing.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    files: usize,
    file_len: u64,
    number: u64,
    current: Arc<File>,
    len: u64,
    /// Whether the current file ends within a line that could not be taken back.
    is_torn: bool,
    /// Stands for a full disk.
    #[cfg(test)]
    pub(super) is_full: bool,
    _lock: File,
}

/// Where a chain goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) head: Head,
    /// Whether a crash cut off a line at the end, which the next entry has to say.
    pub(super) is_cut_off: bool,
}

impl Folder {
    /// Takes the folder, which is made (0700) if only its parent exists, and finds the chain's end.
    pub(super) fn open(
        path: &Path,
        files: usize,
        file_len: u64,
    ) -> Result<(Self, Found), FolderError> {
        let made = DirBuilder::new().mode(0o700).create(path);
        if let Err(source) = made
            && source.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(failed("make the folder", path)(source));
        }
        let lock_path = path.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let path = path.to_owned();
                return Err(FolderError::Taken { path });
            }
            Err(fs::TryLockError::Error(source)) => return Err(failed("lock", &lock_path)(source)),
        }
        let there = numbered(path)?;
        let (found, is_newest_empty) = find_end(&there)?;
        let newest = there.last();
        // What is cut off stays where it is; what follows begins in a file of its own.
        let number = match newest {
            Some((number, _)) if !found.is_cut_off || is_newest_empty => *number,
            Some((number, _)) => number.saturating_add(1),
            None => 1,
        };
        let (current, len) = open_file(&file_path(path, number))?;
        let folder = Self {
            path: path.to_owned(),
            files,
            file_len,
            number,
            current,
            len,
            is_torn: false,
            #[cfg(test)]
            is_full: false,
            _lock: lock,
        };
        folder.sync_names()?;
        Ok((folder, found))
    }

    /// Appends a whole line, in the next file if this one is full. What could be written in part is
    /// taken back.
    pub(super) fn append(&mut self, line: &[u8]) -> Result<Arc<File>, FolderError> {
        let len = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.is_torn || self.len > 0 && self.len.saturating_add(len) > self.file_len {
            self.rotate()?;
        }
        let path = file_path(&self.path, self.number);
        #[cfg(test)]
        if self.is_full {
            return Err(failed("write", &path)(io::ErrorKind::StorageFull.into()));
        }
        if let Err(source) = (&*self.current).write_all(line) {
            // On a full disk a file can still be made shorter. If not, what follows is in another one,
            // and says so.
            self.is_torn = self.current.set_len(self.len).is_err();
            return Err(failed("write", &path)(source));
        }
        self.len += len;
        Ok(self.current.clone())
    }

    /// Whether the next entry is the first of a file, and has to say that the one before is cut off.
    pub(super) fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// Has what follows begin in another file, since nobody knows what this one has.
    pub(super) fn leave_file(&mut self) {
        self.is_torn = true;
    }

    fn rotate(&mut self) -> Result<(), FolderError> {
        let path = file_path(&self.path, self.number);
        let synced = self.current.sync_data().map_err(failed("sync", &path));
        if !self.is_torn {
            synced?;
        }
        let number = self.number.saturating_add(1);
        let (current, len) = open_file(&file_path(&self.path, number))?;
        (self.number, self.current, self.len) = (number, current, len);
        self.is_torn = false;
        let there = numbered(&self.path)?;
        let beyond = there.len().saturating_sub(self.files);
        for (_, path) in there.iter().take(beyond) {
            fs::remove_file(path).map_err(failed("remove", path))?;
        }
        self.sync_names()
    }

    fn sync_names(&self) -> Result<(), FolderError> {
        File::open(&self.path)
            .and_then(|folder| folder.sync_all())
            .map_err(failed("sync the folder", &self.path))
    }
}

/// The files of a folder, oldest first.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let files: Vec<_> = numbered(folder)?
        .into_iter()
        .map(|(_, path)| path)
        .collect();
    if files.is_empty() {
        let path = folder.to_owned();
        return Err(FolderError::NoFile { path });
    }
    Ok(files)
}

/// A whole file, if it has the size of one.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FolderError> {
    let file = File::open(path).map_err(failed("open", path))?;
    let mut bytes = Vec::new();
    let most = MAX_FILE_LEN + MAX_LINE_LEN as u64;
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(failed("read", path))?;
    if u64::try_from(bytes.len()).map_or(true, |len| len > most) {
        let path = path.to_owned();
        return Err(FolderError::TooLarge { path });
    }
    Ok(bytes)
}

/// The end of the newest file that has an entry, whether the newest that has anything is cut off, and
/// whether the newest of all has nothing.
fn find_end(there: &[(u64, PathBuf)]) -> Result<(Found, bool), FolderError> {
    let (mut is_cut_off, mut is_newest_empty) = (None, false);
    let mut head = Head::default();
    for (_, path) in there.iter().rev() {
        let mut trail = Trail::default();
        let bytes = read(path)?;
        let read = trail.read(&bytes, |_, _| ());
        read.map_err(|source| FolderError::Broken {
            path: path.clone(),
            source,
        })?;
        if !bytes.is_empty() {
            is_cut_off.get_or_insert(trail.is_cut_off());
        } else if is_cut_off.is_none() {
            is_newest_empty = true;
        }
        if let Some(found) = trail.head {
            head = found;
            break;
        }
    }
    let is_cut_off = is_cut_off.unwrap_or(false);
    Ok((Found { head, is_cut_off }, is_newest_empty))
}

fn numbered(folder: &Path) -> Result<Vec<(u64, PathBuf)>, FolderError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed("list the folder", folder))? {
        let path = entry.map_err(failed("list the folder", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let digits = name.and_then(|name| name.strip_suffix(SUFFIX));
        let digits = digits.filter(|digits| digits.len() == 10);
        if let Some(number) = digits.and_then(|digits| digits.parse().ok()) {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files)
}

fn file_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}{SUFFIX}"))
}

fn open_file(path: &Path) -> Result<(Arc<File>, u64), FolderError> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(failed("open", path))?;
    let len = file.metadata().map_err(failed("inspect", path))?.len();
    Ok((Arc::new(file), len))
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FolderError + 'a {
    move |source| FolderError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
