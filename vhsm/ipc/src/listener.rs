use crate::connection::{Connection, seqpacket};
use crate::sys;
use crate::trusted_file::is_open_to_all;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockType, SockaddrLike, SockaddrStorage, UnixAddr, bind, connect,
    getsockname, getsockopt, listen, setsockopt, socket, sockopt,
};
use nix::sys::stat::{Mode, fchmod};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Connections that may wait to be accepted. A full queue makes an asynchronous connect of a client
/// look as if it had succeeded, so it is long; the kernel caps it by `net.core.somaxconn`.
const BACKLOG_LEN: i32 = 4096;

/// Why a socket could not be opened for listening.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The path does not fit a socket address (107 bytes).
    #[error("{path} is too long for a socket")]
    PathTooLong {
        /// The path asked for.
        path: PathBuf,
    },
    /// Another process listens there.
    #[error("another process listens on {path}")]
    InUse {
        /// The path asked for.
        path: PathBuf,
    },
    /// Something that is not a socket is in the way; it is left alone.
    #[error("{path} is in the way and not a socket")]
    NotASocket {
        /// The path asked for.
        path: PathBuf,
    },
    /// Everybody can put another socket, or a link, in its place.
    #[error("everybody can replace what is in the folder of {path}")]
    Replaceable {
        /// The path asked for.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("listen on {path}")]
    System {
        /// The path asked for.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        errno: Errno,
    },
    /// A descriptor handed over is not a listening local socket of the wanted kind.
    #[error("the descriptor handed over is not a listening {wanted} socket")]
    WrongKind {
        /// "seqpacket" or "stream".
        wanted: &'static str,
    },
}

/// Why no connection could be accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// No descriptor or memory is left; waiting may help.
    #[error("no room for another connection")]
    Exhausted(#[source] Errno),
    /// The listener was shut down.
    #[error("the listener is closed")]
    Closed,
    /// The kernel refused.
    #[error("accept a connection")]
    System(#[source] Errno),
}

/// A listening `SOCK_SEQPACKET` socket. Its connections take no descriptors until they are told to
/// ([`take_descriptors`](crate::message::take_descriptors)), where the kernel can see to that.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
}

impl Listener {
    /// Listens at `path` with the permission bits `mode`, in place of a socket that nobody listens
    /// on any more. Its connections name the sender of each packet until they are told otherwise
    /// ([`ask_for_senders`](crate::message::ask_for_senders)).
    ///
    /// # Errors
    /// [`BindError`] names the path and what is in the way.
    pub fn bind(path: &Path, mode: u32) -> Result<Self, BindError> {
        let system = |errno| BindError::System {
            path: path.to_owned(),
            errno,
        };
        let socket = seqpacket().map_err(system)?;
        // Before anybody can connect: a connection has it from its listener at that moment (from
        // Linux 6.16 on), and a first packet without a sender is never given one.
        setsockopt(&socket, sockopt::PassCred, &true).map_err(system)?;
        bind_at(&socket, SockType::SeqPacket, path, mode)?;
        Ok(Self { socket })
    }

    /// Takes over a socket that systemd opened.
    ///
    /// # Errors
    /// [`BindError::WrongKind`] unless it is a listening `SOCK_SEQPACKET` socket of `AF_UNIX`.
    pub fn from_fd(socket: OwnedFd) -> Result<Self, BindError> {
        check_listening(&socket, SockType::SeqPacket, "seqpacket")?;
        Ok(Self { socket })
    }

    /// Blocks until a peer connects.
    ///
    /// # Errors
    /// [`AcceptError`]; a peer that has gone again is not one.
    pub fn accept(&self) -> Result<Connection, AcceptError> {
        loop {
            match sys::accept(self.socket.as_fd()) {
                Ok(socket) => return Ok(Connection::from_accepted(socket)),
                Err(Errno::EINTR | Errno::ECONNABORTED) => {}
                Err(Errno::EINVAL) => return Err(AcceptError::Closed),
                Err(errno @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)) => {
                    return Err(AcceptError::Exhausted(errno));
                }
                Err(errno) => return Err(AcceptError::System(errno)),
            }
        }
    }

    /// Refuses everybody from now on and wakes whoever blocks in [`Listener::accept`].
    pub fn shutdown(&self) {
        // The one error is that it was shut down before.
        let _ =
            nix::sys::socket::shutdown(self.socket.as_raw_fd(), nix::sys::socket::Shutdown::Both);
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<Listener> for OwnedFd {
    fn from(listener: Listener) -> Self {
        listener.socket
    }
}

/// Binds `socket` at `path` and listens.
///
/// The mode is set on the socket before it has a name, since `bind` takes it from there and the
/// umask can only narrow it, and then on the name: at no time is it wider than asked for.
pub(crate) fn bind_at(
    socket: &OwnedFd,
    kind: SockType,
    path: &Path,
    mode: u32,
) -> Result<(), BindError> {
    let address = UnixAddr::new(path).map_err(|_| BindError::PathTooLong {
        path: path.to_owned(),
    })?;
    let system = |errno| BindError::System {
        path: path.to_owned(),
        errno,
    };
    // What is done by path from here on would be done to whatever stands there.
    if let Some(folder) = path.parent().filter(|folder| *folder != Path::new(""))
        && fs::metadata(folder).is_ok_and(|folder| is_open_to_all(&folder))
    {
        let path = path.to_owned();
        return Err(BindError::Replaceable { path });
    }
    clear_stale(kind, path, &address)?;
    fchmod(socket, Mode::from_bits_truncate(mode)).map_err(system)?;
    bind(socket.as_raw_fd(), &address).map_err(|errno| match errno {
        Errno::EADDRINUSE => BindError::InUse {
            path: path.to_owned(),
        },
        errno => system(errno),
    })?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o777))
        .map_err(|error| system(sys::errno_of(&error)))?;
    sys::pass_rights(socket.as_fd(), false).map_err(system)?;
    let backlog = Backlog::new(BACKLOG_LEN).map_err(system)?;
    listen(socket, backlog).map_err(system)
}

/// Removes a socket at `path` that refuses connections, and nothing else.
fn clear_stale(kind: SockType, path: &Path, address: &UnixAddr) -> Result<(), BindError> {
    let system = |errno| BindError::System {
        path: path.to_owned(),
        errno,
    };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system(sys::errno_of(&error))),
    };
    if !found.file_type().is_socket() {
        return Err(BindError::NotASocket {
            path: path.to_owned(),
        });
    }
    let flags =
        nix::sys::socket::SockFlag::SOCK_CLOEXEC | nix::sys::socket::SockFlag::SOCK_NONBLOCK;
    let probe = socket(AddressFamily::Unix, kind, flags, None).map_err(system)?;
    match connect(probe.as_raw_fd(), address) {
        Err(Errno::ECONNREFUSED) => {
            fs::remove_file(path).map_err(|error| system(sys::errno_of(&error)))
        }
        Err(Errno::ENOENT) => Ok(()),
        // Answered, queue full, of another kind, or not allowed to ask: somebody's socket.
        Ok(()) | Err(_) => Err(BindError::InUse {
            path: path.to_owned(),
        }),
    }
}

/// Whether `socket` is a listening `AF_UNIX` socket of this kind.
pub(crate) fn check_listening(
    socket: &OwnedFd,
    kind: SockType,
    wanted: &'static str,
) -> Result<(), BindError> {
    let local = getsockname::<SockaddrStorage>(socket.as_raw_fd())
        .is_ok_and(|address| address.family() == Some(AddressFamily::Unix));
    let of_kind = getsockopt(socket, sockopt::SockType).is_ok_and(|found| found == kind);
    let listening = getsockopt(socket, sockopt::AcceptConn).unwrap_or(false);
    if local && of_kind && listening && sys::pass_rights(socket.as_fd(), false).is_ok() {
        Ok(())
    } else {
        Err(BindError::WrongKind { wanted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn stale_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        drop(Listener::bind(&path, 0o600).unwrap());
        assert!(path.exists());
        let listener = Listener::bind(&path, 0o600).unwrap();
        let client = Connection::connect(&path).unwrap();
        client.send(b"hello").unwrap();
        assert_eq!(listener.accept().unwrap().next_len().unwrap(), Some(5));
    }

    #[test]
    fn living_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _first = Listener::bind(&path, 0o600).unwrap();
        assert!(matches!(
            Listener::bind(&path, 0o600),
            Err(BindError::InUse { .. })
        ));
        let stream = dir.path().join("stream");
        let _stream = UnixListener::bind(&stream).unwrap();
        assert!(matches!(
            Listener::bind(&stream, 0o600),
            Err(BindError::InUse { .. })
        ));
    }

    #[test]
    fn file_in_the_way_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        fs::write(&path, b"precious").unwrap();
        assert!(matches!(
            Listener::bind(&path, 0o600),
            Err(BindError::NotASocket { .. })
        ));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn folder_where_everybody_can_replace_the_socket_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(
            Listener::bind(&path, 0o600),
            Err(BindError::Replaceable { .. })
        ));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(Listener::bind(&path, 0o600).is_ok());
    }

    #[test]
    fn mode_is_as_asked() {
        let dir = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o660, 0o666] {
            let path = dir.path().join(format!("s{mode:o}"));
            let _listener = Listener::bind(&path, mode).unwrap();
            let found = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode);
        }
    }

    #[test]
    fn handed_over_descriptor_must_listen_and_be_seqpacket() {
        let dir = tempfile::tempdir().unwrap();
        let stream = UnixListener::bind(dir.path().join("stream")).unwrap();
        assert!(Listener::from_fd(stream.into()).is_err());
        let (end, _other) = Connection::pair().unwrap();
        assert!(Listener::from_fd(end.into()).is_err());
        let listener = Listener::bind(&dir.path().join("s"), 0o600).unwrap();
        assert!(Listener::from_fd(listener.into()).is_ok());
    }

    #[test]
    fn shutdown_wakes_accept() {
        let dir = tempfile::tempdir().unwrap();
        let listener = Listener::bind(&dir.path().join("s"), 0o600).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| listener.accept());
            std::thread::sleep(std::time::Duration::from_millis(50));
            listener.shutdown();
            assert!(matches!(waiting.join().unwrap(), Err(AcceptError::Closed)));
        });
    }

    #[test]
    fn too_long_path_is_named() {
        let path = PathBuf::from(format!("/tmp/{}", "x".repeat(200)));
        assert!(matches!(
            Listener::bind(&path, 0o600),
            Err(BindError::PathTooLong { .. })
        ));
    }
}
