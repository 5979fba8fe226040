//! Files that are there whole or not at all, whatever dies in between.

use crate::entropy::{KernelEntropy, draw_array};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Replaces `path` by a file of `bytes` and `mode`: temporary file, fsync, rename, fsync of the
/// folder. A reader sees the old bytes or the new ones.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let write = |file: &mut File| file.write_all(bytes);
    by_way_of_temporary(path, mode, write, |temporary| fs::rename(temporary, path))
}

/// Makes a file that must not exist yet, such as a key: an old key is never overwritten.
pub(crate) fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    create_by(path, mode, |file| file.write_all(bytes))
}

/// The same, of what `write` writes.
pub(crate) fn create_by(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    by_way_of_temporary(path, mode, write, |temporary| {
        let flags = RenameFlags::RENAME_NOREPLACE;
        Ok(renameat2(AT_FDCWD, temporary, AT_FDCWD, path, flags)?)
    })
}

fn by_way_of_temporary(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut File) -> io::Result<()>,
    name: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let folder = folder_of(path)?;
    let suffix: [u8; 8] = draw_array(&mut KernelEntropy).map_err(io::Error::other)?;
    // No resource's file begins with a dot, so that a leftover can be told from one.
    let temporary = folder.join(format!(".new-{:016x}", u64::from_be_bytes(suffix)));
    let written = write_new(&temporary, mode, write).and_then(|()| name(&temporary));
    if written.is_err() {
        // The first error is the one to tell; a leftover does no harm.
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| sync_folder(folder))
}

/// Removes a file durably.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let folder = folder_of(path)?;
    fs::remove_file(path)?;
    sync_folder(folder)
}

/// Makes the folder (mode 0700) if it is not there; its parent must be.
pub(crate) fn ensure_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_folder(folder_of(path)?),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Not through a symbolic link: what is below must be where the store says it is.
            if fs::symlink_metadata(path)?.is_dir() {
                Ok(())
            } else {
                Err(io::Error::new(io::ErrorKind::NotADirectory, "not a folder"))
            }
        }
        Err(error) => Err(error),
    }
}

fn write_new(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    write(&mut file)?;
    file.sync_all()
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn folder_of(path: &Path) -> io::Result<&Path> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(parent) => Ok(parent),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "path has no folder",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Barrier;

    #[test]
    fn replacing_leaves_one_file_with_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        replace(&path, b"one", 0o600).unwrap();
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_replacement_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, b"one", 0o600).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn creating_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, b"one", 0o600).unwrap();
        let error = create(&path, b"two", 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_never_seen_in_part() {
        const LEN: u64 = 4 << 20;
        let folder = tempfile::tempdir().unwrap();
        let (bytes, begin) = (vec![7; 4 << 20], Barrier::new(2));
        for round in 0..20 {
            let path = folder.path().join(round.to_string());
            std::thread::scope(|scope| {
                let reader = scope.spawn(|| {
                    begin.wait();
                    loop {
                        if let Ok(metadata) = fs::metadata(&path) {
                            return metadata.len();
                        }
                    }
                });
                begin.wait();
                create(&path, &bytes, 0o600).unwrap();
                assert_eq!(reader.join().unwrap(), LEN);
            });
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_symbolic_link_is_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(ensure_folder(&link).is_err());
    }
}
