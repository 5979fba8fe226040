//! One folder of configfs-tsm and its files.

use crate::tsm::TsmError;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Longest blob that is read. Kernels pass on 32 KiB, newer ones more; no report or quote of today
/// has half of that.
pub(crate) const MAX_BLOB_LEN: usize = 65_536;
/// Longest text of an attribute.
const MAX_TEXT_LEN: usize = 64;
/// What the names of our folders begin with; a pid, its namespace and something random follow.
const PREFIX: &str = "nitride-";

/// A folder of our own, removed when dropped.
#[derive(Debug)]
pub(super) struct Request {
    folder: PathBuf,
}

impl Request {
    /// One folder a request, with a name that nobody else uses: the kernel keeps what is asked and
    /// answered apart by folder alone.
    pub(super) fn make(reports: &Path) -> Result<Self, TsmError> {
        let absent = |source| TsmError::Absent {
            folder: reports.to_owned(),
            source,
        };
        let random = getrandom::u64().map_err(|error| absent(io::Error::other(error)))?;
        let (pid, namespace) = (std::process::id(), pid_namespace().unwrap_or_default());
        let folder = reports.join(format!("{PREFIX}{pid}-{namespace}-{random:016x}"));
        fs::create_dir(&folder).map_err(absent)?;
        Ok(Self { folder })
    }

    /// How many writes this request has seen, and wraps around.
    pub(super) fn generation(&self) -> Result<u64, TsmError> {
        self.number("generation")
    }

    pub(super) fn number_if_there(&self, attribute: &'static str) -> Result<Option<u32>, TsmError> {
        match self.has(attribute)? {
            true => self.number(attribute).map(Some),
            false => Ok(None),
        }
    }

    fn number<N: std::str::FromStr>(&self, attribute: &'static str) -> Result<N, TsmError> {
        let found = self.text(attribute)?;
        found
            .parse()
            .map_err(|_| TsmError::Nonsense { attribute, found })
    }

    /// A line of text, without its end.
    pub(super) fn text(&self, attribute: &'static str) -> Result<String, TsmError> {
        let bytes = self.read(attribute, MAX_TEXT_LEN)?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.trim_end_matches('\n').to_owned())
    }

    pub(super) fn blob(&self, attribute: &'static str) -> Result<Vec<u8>, TsmError> {
        self.read(attribute, MAX_BLOB_LEN)
    }

    /// Empty where the provider has no such attribute.
    pub(super) fn blob_if_there(&self, attribute: &'static str) -> Result<Vec<u8>, TsmError> {
        match self.has(attribute)? {
            true => self.blob(attribute),
            false => Ok(Vec::new()),
        }
    }

    /// An attribute that nobody may look at is not one that is not there.
    fn has(&self, attribute: &'static str) -> Result<bool, TsmError> {
        let there = self.folder.join(attribute).try_exists();
        there.map_err(|source| refusal("look for", attribute, source))
    }

    /// Written in one piece and closed: a binary attribute is stored then.
    pub(super) fn write(&self, attribute: &'static str, value: &[u8]) -> Result<(), TsmError> {
        let written = OpenOptions::new()
            .write(true)
            .open(self.folder.join(attribute))
            .and_then(|mut file| file.write(value));
        let refused = |source| refusal("write", attribute, source);
        match written.map_err(refused)? {
            len if len == value.len() => Ok(()),
            _ => Err(refused(io::ErrorKind::WriteZero.into())),
        }
    }

    fn read(&self, attribute: &'static str, max_len: usize) -> Result<Vec<u8>, TsmError> {
        let refused = |source| refusal("read", attribute, source);
        let mut file = File::open(self.folder.join(attribute)).map_err(refused)?;
        let mut bytes = vec![0; max_len + 1];
        let mut len = 0;
        // Not `read_to_end`, which goes on after EINTR: what was interrupted here is asked anew.
        loop {
            let rest = bytes.get_mut(len..).unwrap_or_default();
            match file.read(rest).map_err(refused)? {
                0 => break,
                more => len += more,
            }
            if len > max_len {
                return Err(TsmError::TooLong { attribute });
            }
        }
        bytes.truncate(len);
        Ok(bytes)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // What stays is removed when the next helper starts.
        let _ = fs::remove_dir(&self.folder);
    }
}

fn refusal(action: &'static str, attribute: &'static str, source: io::Error) -> TsmError {
    TsmError::Refused {
        action,
        attribute,
        source,
    }
}

/// Removes the folders of processes that are no more. A failure leaves a folder that costs the
/// kernel a little memory. A helper in another pid namespace looks as if it had ended, so that its
/// folders are left alone.
pub(super) fn remove_stale(reports: &Path) {
    let Ok(entries) = fs::read_dir(reports) else {
        return;
    };
    let Some(namespace) = pid_namespace() else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| owner_of(name, namespace));
        if owner.is_some_and(has_ended) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// The pid in the name of a folder of ours, if it is one of this namespace.
fn owner_of(name: &str, namespace: u64) -> Option<u32> {
    let (pid, rest) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let (found, _) = rest.split_once('-')?;
    let is_ours = found.parse::<u64>() == Ok(namespace);
    pid.parse().ok().filter(|_| is_ours)
}

/// Which pid namespace this process is in, where the kernel says.
fn pid_namespace() -> Option<u64> {
    let namespace = fs::metadata("/proc/self/ns/pid").ok()?;
    Some(namespace.ino())
}

fn has_ended(pid: u32) -> bool {
    !Path::new("/proc").join(pid.to_string()).exists() && Path::new("/proc/self").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_ours_have_an_owner() {
        assert_eq!(owner_of("nitride-17-5-00ff", 5), Some(17));
        for name in [
            "nitride-17",
            "nitride-17-5",
            "nitride--5-1",
            "nitride-x-5-1",
            "nitride-17-x-1",
            "other-17-5-1",
            "17-5-1",
        ] {
            assert_eq!(owner_of(name, 5), None, "{name}");
        }
    }

    #[test]
    fn a_folder_of_another_pid_namespace_has_no_owner_here() {
        let here = pid_namespace().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let names = [here, here + 1].map(|namespace| format!("nitride-{}-{namespace}-0", u32::MAX));
        for name in &names {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        remove_stale(folder.path());
        let left = names.map(|name| folder.path().join(name).exists());
        assert_eq!(left, [false, true]);
    }

    #[test]
    fn an_attribute_that_cannot_be_looked_for_is_not_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        // Below what is no folder nothing can be looked for: neither there nor not there.
        let request = Request { folder: file };
        assert!(request.blob_if_there("auxblob").is_err());
        assert!(request.number_if_there("privlevel_floor").is_err());
        let empty = Request {
            folder: folder.path().join("empty"),
        };
        fs::create_dir(&empty.folder).unwrap();
        assert_eq!(empty.blob_if_there("auxblob").unwrap(), Vec::<u8>::new());
    }

    #[test]
    fn a_process_that_runs_has_not_ended() {
        assert!(!has_ended(std::process::id()));
        // Beyond what the kernel gives out.
        assert!(has_ended(u32::MAX));
    }
}
