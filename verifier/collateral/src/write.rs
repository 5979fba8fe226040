//! Files that are there whole or not at all, whatever dies in between.

use crate::obstacle::Obstacle;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

/// How leftovers begin, which no reader takes for a file.
const TEMPORARY: &str = ".new-";
/// What is published anybody may read.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;
/// A writer is at a file for no more than seconds.
const LEFT_FOR: Duration = Duration::from_secs(3600);
/// As many entries as a folder has that is read.
const MAX_SWEPT: usize = 65_536;

/// Replaces `path`: a reader sees the old bytes or the new ones.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Obstacle> {
    let folder = folder_of(path);
    let mut temporary = OsString::from(format!("{TEMPORARY}{}-", process::id()));
    temporary.push(path.file_name().unwrap_or_default());
    let temporary = folder.join(temporary);
    let written = write_new(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| File::open(&folder)?.sync_all());
    written.map_err(|error| {
        // The first error is the one to tell; a leftover does no harm.
        let _ = fs::remove_file(&temporary);
        unwritable(path, &error)
    })
}

/// Makes the folder, and those above it, and removes what killed writers left in it.
pub(crate) fn ensure_folder(path: &Path) -> Result<(), Obstacle> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(FOLDER_MODE);
    builder
        .create(path)
        .map_err(|error| unwritable(path, &error))?;
    sweep(path);
    Ok(())
}

/// Removes leftovers that no writer can still be at. They do no harm: that one cannot be removed is
/// no reason to stop.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten().take(MAX_SWEPT) {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let age = changed.ok().and_then(|changed| changed.elapsed().ok());
        if is_temporary(&entry.path()) && age.is_some_and(|age| age > LEFT_FOR) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether a writer left this behind when it was killed, or is at it.
pub(crate) fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str);
    name.is_some_and(|name| name.starts_with(TEMPORARY))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(FILE_MODE);
    let file = options.open(path);
    let mut file = match file {
        // Of a process of the same number that was killed.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)?
        }
        other => other?,
    };
    file.write_all(bytes)?;
    file.sync_all()
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Obstacle {
    let reason = format!("cannot be written: {error}");
    Obstacle::at(path, reason, "name a folder that this user may write")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for bytes in [&b"one"[..], b"two"] {
            replace(&path, bytes).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn leftovers_of_killed_writers_go_and_those_of_running_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        for (name, age_secs) in [(".new-1-a", 7200), (".new-2-a", 60), ("a", 7200)] {
            let file = File::create(folder.path().join(name)).unwrap();
            let at = std::time::SystemTime::now() - Duration::from_secs(age_secs);
            file.set_modified(at).unwrap();
        }
        ensure_folder(folder.path()).unwrap();
        let is_there = |name: &str| folder.path().join(name).exists();
        assert!(!is_there(".new-1-a") && is_there(".new-2-a") && is_there("a"));
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let told = replace(Path::new("/proc/a"), b"").unwrap_err().to_string();
        assert!(told.starts_with("/proc/a: cannot be written"), "{told}");
    }
}
