//! Listening stream sockets, for the one interface that is not ours: systemd-cryptsetup reads a key
//! file from one to its end (crypttab(5)).

use crate::listener::{BindError, bind_at, check_listening};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Listens at `path` with the permission bits `mode`, as [`Listener::bind`](crate::Listener::bind).
///
/// # Errors
/// [`BindError`] names the path and what is in the way.
pub fn bind(path: &Path, mode: u32) -> Result<UnixListener, BindError> {
    let socket = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .map_err(|errno| BindError::System {
        path: path.to_owned(),
        errno,
    })?;
    bind_at(&socket, SockType::Stream, path, mode)?;
    Ok(UnixListener::from(socket))
}

/// Takes over a socket that systemd opened.
///
/// # Errors
/// [`BindError::WrongKind`] unless it is a listening `SOCK_STREAM` socket of `AF_UNIX`.
pub fn from_fd(socket: OwnedFd) -> Result<UnixListener, BindError> {
    check_listening(&socket, SockType::Stream, "stream")?;
    Ok(UnixListener::from(socket))
}
