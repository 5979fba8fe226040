//! Files that say what a daemon does: whoever can write one is who it obeys.

use nix::fcntl::OFlag;
use nix::unistd::{getegid, geteuid};
use std::fs::{File, Metadata, OpenOptions, metadata};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Why a file or folder is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It cannot be opened or looked at.
    #[error("cannot be read")]
    Unreadable(#[source] std::io::Error),
    /// It is a folder, a pipe, a device.
    #[error("is not a regular file")]
    NotAFile,
    /// The mode lets everybody write.
    #[error("can be written by everybody")]
    EverybodyWrites,
    /// The mode lets a group write that is neither root's nor our own.
    #[error("can be written by group {gid}")]
    GroupWrites {
        /// The group.
        gid: u32,
    },
    /// It belongs to a user that is neither root nor we.
    #[error("belongs to user {uid}")]
    ForeignOwner {
        /// The user.
        uid: u32,
    },
    /// Everybody can put another file in its place.
    #[error("is in a folder where everybody can replace it")]
    Replaceable,
}

/// Opens the regular file at `path` for reading, if nobody but root and we can write or replace it.
/// Links are followed; what they lead to is looked at.
///
/// # Errors
/// [`TrustError`] says what is wrong with it. A pipe is [`TrustError::NotAFile`] at once, whether or
/// not somebody writes to it.
pub fn open(path: &Path) -> Result<File, TrustError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if is_open_to_all(&metadata(folder).map_err(TrustError::Unreadable)?) {
        return Err(TrustError::Replaceable);
    }
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
        .open(path)
        .map_err(TrustError::Unreadable)?;
    let found = file.metadata().map_err(TrustError::Unreadable)?;
    if !found.is_file() {
        return Err(TrustError::NotAFile);
    }
    check_writers(&found)?;
    Ok(file)
}

/// Whether nobody but root and we can add files to the folder at `path`.
///
/// # Errors
/// [`TrustError`] says what is wrong with it.
pub fn check_folder(path: &Path) -> Result<(), TrustError> {
    check_writers(&metadata(path).map_err(TrustError::Unreadable)?)
}

/// Whether everybody can replace files of others in this folder.
pub(crate) fn is_open_to_all(folder: &Metadata) -> bool {
    // The sticky bit leaves each file to its owner, as in /tmp.
    folder.mode() & 0o1002 == 0o0002
}

fn check_writers(found: &Metadata) -> Result<(), TrustError> {
    if found.mode() & 0o002 != 0 {
        return Err(TrustError::EverybodyWrites);
    }
    let (uid, gid) = (found.uid(), found.gid());
    if uid != 0 && uid != geteuid().as_raw() {
        return Err(TrustError::ForeignOwner { uid });
    }
    if found.mode() & 0o020 != 0 && gid != 0 && gid != getegid().as_raw() {
        return Err(TrustError::GroupWrites { gid });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use nix::unistd::{getuid, mkfifo};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::path::PathBuf;

    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.toml");
        fs::write(&path, "a = 1\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        (folder, path)
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn own_file_is_opened() {
        let (folder, path) = file();
        assert!(open(&path).is_ok());
        assert!(check_folder(folder.path()).is_ok());
        mode(&path, 0o660);
        assert!(open(&path).is_ok());
    }

    #[test]
    fn what_everybody_can_write_or_replace_is_not() {
        let (folder, path) = file();
        mode(&path, 0o602);
        assert!(matches!(open(&path), Err(TrustError::EverybodyWrites)));
        mode(&path, 0o600);
        mode(folder.path(), 0o707);
        assert!(matches!(open(&path), Err(TrustError::Replaceable)));
        let refused = check_folder(folder.path());
        assert!(matches!(refused, Err(TrustError::EverybodyWrites)));
        // Each file is left to its owner there, but everybody can add one.
        mode(folder.path(), 0o1777);
        assert!(open(&path).is_ok());
        assert!(check_folder(folder.path()).is_err());
    }

    #[test]
    fn what_another_user_or_group_can_write_is_not() {
        if !getuid().is_root() {
            // Giving a file away takes root.
            return;
        }
        let (_folder, path) = file();
        chown(&path, Some(61_234), None).unwrap();
        let refused = open(&path);
        assert!(matches!(
            refused,
            Err(TrustError::ForeignOwner { uid: 61_234 })
        ));
        chown(&path, Some(0), Some(61_235)).unwrap();
        assert!(open(&path).is_ok());
        mode(&path, 0o660);
        let refused = open(&path);
        assert!(matches!(
            refused,
            Err(TrustError::GroupWrites { gid: 61_235 })
        ));
    }

    #[test]
    fn pipe_is_no_file_and_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        mkfifo(&path, Mode::S_IRUSR).unwrap();
        assert!(matches!(open(&path), Err(TrustError::NotAFile)));
        assert!(matches!(open(folder.path()), Err(TrustError::NotAFile)));
        let missing = open(Path::new("/nonexistent/x.toml"));
        assert!(matches!(missing, Err(TrustError::Unreadable(_))));
    }
}
