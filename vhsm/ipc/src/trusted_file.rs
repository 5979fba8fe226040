//! Files that say what a daemon does: whoever can write one is who it obeys.

use nix::fcntl::OFlag;
use nix::unistd::{getegid, geteuid};
use std::fs::{File, Metadata, OpenOptions, metadata, read_link, symlink_metadata};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Leaves each file of a folder to its owner, and to the folder's, as in /tmp.
const STICKY: u32 = 0o1000;

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
    /// A user that is neither root nor we can put another file in its place.
    #[error("is in a folder of user {uid}, who can replace it")]
    ForeignFolder {
        /// The user.
        uid: u32,
    },
    /// A group that is neither root's nor our own can put another file in its place.
    #[error("is in a folder where group {gid} can replace it")]
    GroupReplaces {
        /// The group.
        gid: u32,
    },
}

/// Opens the regular file at `path` for reading, if nobody but root and we can write it, or replace it
/// in its folder. A link is followed: its folder is looked at as well as that of the file it leads to,
/// and those above and between are not. Where others may add files, as in /tmp, a link has to be root's
/// or ours.
///
/// # Errors
/// [`TrustError`] says what is wrong with it. A pipe is [`TrustError::NotAFile`] at once, whether or
/// not somebody writes to it.
pub fn open(path: &Path) -> Result<File, TrustError> {
    check_place(path)?;
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
    // Where it is by itself, and not by a second walk, which may lead elsewhere.
    let own = read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    check_place(&own.map_err(TrustError::Unreadable)?)?;
    Ok(file)
}

/// Whether nobody but root and we can put another file in the place of `path`.
fn check_place(path: &Path) -> Result<(), TrustError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let found = metadata(folder).map_err(TrustError::Unreadable)?;
    if is_open_to_all(&found) {
        return Err(TrustError::Replaceable);
    }
    let uid = found.uid();
    if is_foreign(uid) {
        return Err(TrustError::ForeignFolder { uid });
    }
    match foreign_group(&found) {
        Some(gid) if found.mode() & STICKY == 0 => Err(TrustError::GroupReplaces { gid }),
        // Others may add files there. What is theirs they may replace, and a link of theirs says which
        // of our files is read; what is ours stays.
        group if group.is_some() || found.mode() & 0o002 != 0 => {
            let uid = symlink_metadata(path)
                .map_err(TrustError::Unreadable)?
                .uid();
            match is_foreign(uid) {
                true => Err(TrustError::ForeignOwner { uid }),
                false => Ok(()),
            }
        }
        _ => Ok(()),
    }
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
    folder.mode() & (STICKY | 0o002) == 0o002
}

fn is_foreign(uid: u32) -> bool {
    uid != 0 && uid != geteuid().as_raw()
}

/// The group that may write, if it is neither root's nor our own.
fn foreign_group(found: &Metadata) -> Option<u32> {
    let gid = found.gid();
    let is_own = gid == 0 || gid == getegid().as_raw();
    (found.mode() & 0o020 != 0 && !is_own).then_some(gid)
}

fn check_writers(found: &Metadata) -> Result<(), TrustError> {
    if found.mode() & 0o002 != 0 {
        return Err(TrustError::EverybodyWrites);
    }
    let uid = found.uid();
    if is_foreign(uid) {
        return Err(TrustError::ForeignOwner { uid });
    }
    match foreign_group(found) {
        Some(gid) => Err(TrustError::GroupWrites { gid }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use nix::unistd::{getuid, mkfifo};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown, lchown};
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
    fn what_another_user_or_group_can_replace_is_not() {
        if !getuid().is_root() {
            return;
        }
        let (folder, path) = file();
        let links = tempfile::tempdir().unwrap();
        let link = links.path().join("link.toml");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(open(&link).is_ok());
        chown(folder.path(), Some(61_234), None).unwrap();
        for path in [&path, &link] {
            let refused = open(path);
            let is_named = matches!(refused, Err(TrustError::ForeignFolder { uid: 61_234 }));
            assert!(is_named, "{refused:?}");
        }
        chown(folder.path(), Some(0), Some(61_235)).unwrap();
        assert!(open(&link).is_ok());
        mode(folder.path(), 0o770);
        for path in [&path, &link] {
            let refused = open(path);
            let is_named = matches!(refused, Err(TrustError::GroupReplaces { gid: 61_235 }));
            assert!(is_named, "{refused:?}");
        }
        mode(folder.path(), 0o1770);
        assert!(open(&link).is_ok());
        chown(links.path(), Some(61_234), None).unwrap();
        assert!(matches!(open(&link), Err(TrustError::ForeignFolder { .. })));
        assert!(open(&path).is_ok());
    }

    #[test]
    fn a_link_of_another_user_in_a_folder_for_all_leads_nowhere() {
        if !getuid().is_root() {
            return;
        }
        let (_folder, path) = file();
        let links = tempfile::tempdir().unwrap();
        let link = links.path().join("link.toml");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for (group, folder) in [(0, 0o1777), (61_235, 0o1770)] {
            chown(links.path(), Some(0), Some(group)).unwrap();
            mode(links.path(), folder);
            lchown(&link, Some(0), None).unwrap();
            assert!(open(&link).is_ok());
            lchown(&link, Some(61_234), None).unwrap();
            let refused = open(&link);
            let is_named = matches!(refused, Err(TrustError::ForeignOwner { uid: 61_234 }));
            assert!(is_named, "{refused:?}");
        }
        // Nobody but root could have put it here, whoever it belongs to.
        mode(links.path(), 0o755);
        assert!(open(&link).is_ok());
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
