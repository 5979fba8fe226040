//! The file of the record, in a folder that a reboot empties. Nobody but root and we may put
//! anything there: what is read says which phase has ended, and what is written goes over what it
//! finds.

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// More than any record has.
const MAX_RECORD_LEN: u64 = 64 << 10;
/// Group and others.
const OTHERS_WRITE: u32 = 0o022;

/// The folder of the record, opened, and the record's name in it.
pub(super) struct RecordFile {
    folder: OwnedFd,
    name: OsString,
}

impl RecordFile {
    /// Looks at the folder; the record need not be there yet.
    ///
    /// # Errors
    /// A reason for people.
    pub(super) fn at(path: &Path) -> Result<Self, String> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err("it is no path of a file".to_owned());
        };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folder = open(parent, flags, Mode::empty())
            .map_err(|error| format!("its folder cannot be opened as one: {error}"))?;
        let folder = File::from(folder);
        let found = folder.metadata().map_err(|error| error.to_string())?;
        if is_others(&found) {
            return Err("others than root and we can write its folder".to_owned());
        }
        Ok(Self {
            folder: folder.into(),
            name: name.to_owned(),
        })
    }

    /// All of it; empty where there is none.
    ///
    /// # Errors
    /// A reason for people.
    pub(super) fn read(&self) -> Result<String, String> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = match openat(&self.folder, self.name.as_os_str(), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT) => return Ok(String::new()),
            Err(error) => return Err(format!("it cannot be opened: {error}")),
        };
        let found = file.metadata().map_err(|error| error.to_string())?;
        if !found.is_file() {
            return Err("it is no regular file".to_owned());
        }
        if is_others(&found) {
            return Err("others than root and we can write it".to_owned());
        }
        let mut text = String::new();
        let read = file.take(MAX_RECORD_LEN + 1).read_to_string(&mut text);
        read.map_err(|error| error.to_string())?;
        if text.len() as u64 > MAX_RECORD_LEN {
            return Err("it is longer than any record".to_owned());
        }
        Ok(text)
    }

    /// All of it or nothing of it.
    pub(super) fn write(&self, text: &str) -> io::Result<()> {
        let mut new = self.name.clone();
        new.push(".new");
        let new: &OsStr = &new;
        // What a crash has left; anything else that is there is refused below.
        match unlinkat(&self.folder, new, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => (),
            Err(error) => return Err(error.into()),
        }
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let mut file = File::from(openat(&self.folder, new, flags, mode)?);
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        renameat(&self.folder, new, &self.folder, self.name.as_os_str())?;
        Ok(())
    }
}

/// Whether anybody but root and we can write it.
fn is_others(found: &Metadata) -> bool {
    let is_foreign = found.uid() != 0 && found.uid() != geteuid().as_raw();
    is_foreign || found.mode() & OTHERS_WRITE != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::mkfifo;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::{Duration, Instant};

    fn fault(path: &Path) -> String {
        let read = RecordFile::at(path).and_then(|file| file.read());
        read.expect_err("it is read")
    }

    #[test]
    fn a_record_is_what_was_written_and_none_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("phases");
        let file = RecordFile::at(&path).unwrap();
        assert_eq!(file.read().unwrap(), "");
        for text in ["one", "another"] {
            file.write(text).unwrap();
            assert_eq!(file.read().unwrap(), text);
        }
        let mode = std::fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let long = "a".repeat(usize::try_from(MAX_RECORD_LEN).unwrap() + 1);
        std::fs::write(&path, long).unwrap();
        assert!(fault(&path).contains("longer"));
    }

    #[test]
    fn no_link_is_followed_to_a_record_or_from_one() {
        let folder = tempfile::tempdir().unwrap();
        let (other, path) = (folder.path().join("other"), folder.path().join("phases"));
        std::fs::write(&other, "untouched").unwrap();
        symlink(&other, &path).unwrap();
        assert!(fault(&path).contains("cannot be opened"));
        // What is written does not go through a link that stands in the way either.
        symlink(&other, folder.path().join("phases.new")).unwrap();
        RecordFile::at(&path).unwrap().write("text").unwrap();
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "untouched");
        let linked = folder.path().join("linked");
        symlink(folder.path(), &linked).unwrap();
        assert!(fault(&linked.join("phases")).contains("folder"));
    }

    #[test]
    fn a_pipe_is_refused_at_once_and_a_folder_of_everybody_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("phases");
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let began = Instant::now();
        assert!(fault(&path).contains("no regular file"));
        assert!(began.elapsed() < Duration::from_secs(5));
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        mode(&path, 0o622);
        assert!(fault(&path).contains("can write it"));
        mode(&path, 0o600);
        mode(folder.path(), 0o1777);
        assert!(fault(&path).contains("can write its folder"));
    }
}
