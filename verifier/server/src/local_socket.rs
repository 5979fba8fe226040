//! Sockets of this machine alone, in folders.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use tokio::net::UnixListener;

/// Listens at `path`, for the users of `mode`. A socket of a service that has ended is replaced; one that
/// somebody listens at, and anything else in its place, is not.
pub(crate) fn bind(path: &Path, mode: u32) -> io::Result<UnixListener> {
    remove_stale(path)?;
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() && is_stale(path)? => fs::remove_file(path),
        Ok(found) if found.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "a service listens there; stop it, or name another socket",
        )),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "something that is no socket is in its place",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether nobody has the socket. Asked with one of another kind, which no listener takes: to connect
/// may be all that it takes to have something done.
fn is_stale(path: &Path) -> io::Result<bool> {
    match UnixDatagram::unbound()?.connect(path) {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EPROTOTYPE) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    #[tokio::test]
    async fn a_socket_is_replaced_once_nobody_listens_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reload.sock");
        let first = bind(&path, 0o600).unwrap();
        let refused = bind(&path, 0o600).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        // And whoever listens was asked for nothing.
        let moment = Duration::from_millis(50);
        let asked = tokio::time::timeout(moment, first.accept()).await;
        assert!(asked.is_err(), "{asked:?}");
        assert!(UnixStream::connect(&path).is_ok());
        drop(first);
        assert!(UnixStream::connect(&path).is_err());
        let _second = bind(&path, 0o600).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        let refused = bind(&path, 0o600).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    }
}
