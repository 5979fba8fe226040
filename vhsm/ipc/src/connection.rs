use crate::sys;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, Shutdown, SockFlag, SockType, UnixAddr, connect, recv,
    recvmsg, send, sendmsg, setsockopt, shutdown, socket, socketpair, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a socket could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The path does not fit a socket address (107 bytes).
    #[error("{path} is too long for a socket")]
    PathTooLong {
        /// The path asked for.
        path: PathBuf,
    },
    /// Nobody listens there, or this process may not connect.
    #[error("connect to {path}")]
    Refused {
        /// The path asked for.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        errno: Errno,
    },
    /// The process has no descriptor or memory left for a socket.
    #[error("open a socket")]
    Socket(#[source] Errno),
}

/// Why a packet could not be received.
#[derive(Debug, thiserror::Error)]
pub enum RecvError {
    /// The packet is longer than the buffer; what did not fit is lost.
    #[error("a packet of {len} bytes does not fit {room} bytes")]
    Truncated {
        /// Length of the packet in bytes.
        len: usize,
        /// Length of the buffer in bytes.
        room: usize,
    },
    /// More descriptors came with the packet than were asked for; the packet is lost.
    #[error("a packet came with more than {room} descriptors")]
    TooManyDescriptors {
        /// How many were asked for.
        room: usize,
    },
    /// The read timeout passed without a packet.
    #[error("no packet came in time")]
    TimedOut,
    /// The kernel refused.
    #[error("receive a packet")]
    System(#[source] Errno),
}

/// Why a packet could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The peer has closed the connection.
    #[error("the peer has closed the connection")]
    Closed,
    /// The peer does not read, and its buffer is full.
    #[error("the peer did not read in time")]
    TimedOut,
    /// The packet is longer than the socket's buffer takes.
    #[error("a packet of {len} bytes is too long for the socket")]
    TooLong {
        /// Length of the packet in bytes.
        len: usize,
    },
    /// The kernel refused.
    #[error("send a packet")]
    System(#[source] Errno),
}

/// A packet that is there and was not taken yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextPacket {
    /// Its length in bytes.
    pub len: usize,
    /// Whether something is attached to it.
    pub has_attachment: bool,
}

/// Whether to wait for a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Until there is one, or the read timeout has passed.
    Blocking,
    /// Not at all.
    None,
}

/// One end of a `SOCK_SEQPACKET` connection.
///
/// Every call is one packet. An empty packet cannot be told from the end of the connection and is
/// taken for it; no message of ours is empty. Descriptors that a peer attaches are closed by the
/// kernel, since nothing here asks for them.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
}

impl Connection {
    /// Connects to the socket at `path`; blocks while the listener's queue is full.
    ///
    /// # Errors
    /// [`ConnectError`] names the path and what the kernel said.
    pub fn connect(path: &Path) -> Result<Self, ConnectError> {
        Self::connect_from(seqpacket().map_err(ConnectError::Socket)?, path)
    }

    /// As [`Connection::connect`], but a queue that stays full for `timeout` refuses. The time-out
    /// is that of sending and of receiving, too, until it is changed.
    ///
    /// # Errors
    /// As [`Connection::connect`].
    pub fn connect_within(path: &Path, timeout: Duration) -> Result<Self, ConnectError> {
        let socket = seqpacket().map_err(ConnectError::Socket)?;
        let timeout = time_val(Some(timeout));
        // The kernel counts the wait for a place in the queue as sending.
        setsockopt(&socket, sockopt::SendTimeout, &timeout)
            .and_then(|()| setsockopt(&socket, sockopt::ReceiveTimeout, &timeout))
            .map_err(ConnectError::Socket)?;
        Self::connect_from(socket, path)
    }

    fn connect_from(socket: OwnedFd, path: &Path) -> Result<Self, ConnectError> {
        let address = UnixAddr::new(path).map_err(|_| ConnectError::PathTooLong {
            path: path.to_owned(),
        })?;
        loop {
            match connect(socket.as_raw_fd(), &address) {
                Ok(()) => return Ok(Self { socket }),
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    return Err(ConnectError::Refused {
                        path: path.to_owned(),
                        errno,
                    });
                }
            }
        }
    }

    /// Two connected ends within this process.
    ///
    /// # Errors
    /// [`ConnectError::Socket`].
    pub fn pair() -> Result<(Self, Self), ConnectError> {
        let (one, other) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .map_err(ConnectError::Socket)?;
        Ok((Self { socket: one }, Self { socket: other }))
    }

    pub(crate) fn from_accepted(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Blocks until a packet is there and returns its length in bytes without taking it;
    /// `None` when the connection has ended.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`] after the read timeout, [`RecvError::System`].
    pub fn next_len(&self) -> Result<Option<usize>, RecvError> {
        self.receive(&mut [], MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC)
    }

    /// Blocks until a packet is there, writes it to the start of `buf` and returns its length in
    /// bytes; `None` when the connection has ended.
    ///
    /// # Errors
    /// [`RecvError::Truncated`] when the packet does not fit: it is gone then, the connection
    /// stays usable.
    pub fn recv(&self, buf: &mut [u8]) -> Result<Option<usize>, RecvError> {
        let room = buf.len();
        match self.receive(buf, MsgFlags::MSG_TRUNC)? {
            Some(len) if len > room => Err(RecvError::Truncated { len, room }),
            received => Ok(received),
        }
    }

    /// As [`Connection::next_len`], and whether descriptors are attached to the packet (or anything
    /// else that the kernel was asked to attach, such as its sender). Those who then receive it by
    /// [`Connection::recv`] have the kernel close them.
    ///
    /// # Errors
    /// As [`Connection::next_len`].
    pub fn next_packet(&self, wait: Patience) -> Result<Option<NextPacket>, RecvError> {
        let mut flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
        flags.set(MsgFlags::MSG_DONTWAIT, wait == Patience::None);
        loop {
            match recvmsg::<()>(self.socket.as_raw_fd(), &mut [], None, flags) {
                Ok(next) if next.bytes == 0 => return Ok(None),
                Ok(next) => {
                    return Ok(Some(NextPacket {
                        len: next.bytes,
                        has_attachment: next.flags.contains(MsgFlags::MSG_CTRUNC),
                    }));
                }
                Err(Errno::ECONNRESET) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Err(RecvError::TimedOut),
                Err(errno) => return Err(RecvError::System(errno)),
            }
        }
    }

    /// Takes the next packet away unread.
    ///
    /// # Errors
    /// As [`Connection::recv`], but never [`RecvError::Truncated`].
    pub fn discard(&self) -> Result<(), RecvError> {
        self.receive(&mut [], MsgFlags::MSG_TRUNC).map(|_| ())
    }

    fn receive(&self, buf: &mut [u8], flags: MsgFlags) -> Result<Option<usize>, RecvError> {
        loop {
            match recv(self.socket.as_raw_fd(), buf, flags) {
                Ok(0) | Err(Errno::ECONNRESET) => return Ok(None),
                Ok(len) => return Ok(Some(len)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Err(RecvError::TimedOut),
                Err(errno) => return Err(RecvError::System(errno)),
            }
        }
    }

    /// Sends `packet`, whole or not at all; blocks while the peer's buffer is full.
    ///
    /// # Errors
    /// [`SendError::TimedOut`] after the write timeout; see [`SendError`].
    pub fn send(&self, packet: &[u8]) -> Result<(), SendError> {
        self.transmit(packet, MsgFlags::MSG_NOSIGNAL)
    }

    /// As [`Connection::send`], with copies of descriptors attached.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send_with(
        &self,
        packet: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        let numbers: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let attached = [ControlMessage::ScmRights(&numbers)];
        let attached = if numbers.is_empty() {
            &[]
        } else {
            &attached[..]
        };
        let socket = self.socket.as_raw_fd();
        sent(packet, || {
            let parts = [IoSlice::new(packet)];
            sendmsg::<()>(socket, &parts, attached, MsgFlags::MSG_NOSIGNAL, None)
        })
    }

    /// As [`Connection::send`], but a full buffer is [`SendError::TimedOut`] at once.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn try_send(&self, packet: &[u8]) -> Result<(), SendError> {
        self.transmit(packet, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT)
    }

    fn transmit(&self, packet: &[u8], flags: MsgFlags) -> Result<(), SendError> {
        sent(packet, || send(self.socket.as_raw_fd(), packet, flags))
    }

    /// Bounds how long receiving blocks; `None` waits for ever. Rounded up to a microsecond.
    ///
    /// # Errors
    /// [`RecvError::System`].
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<(), RecvError> {
        setsockopt(&self.socket, sockopt::ReceiveTimeout, &time_val(timeout))
            .map_err(RecvError::System)
    }

    /// Bounds how long sending blocks; `None` waits for ever. Rounded up to a microsecond.
    ///
    /// # Errors
    /// [`SendError::System`].
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<(), SendError> {
        setsockopt(&self.socket, sockopt::SendTimeout, &time_val(timeout))
            .map_err(SendError::System)
    }

    /// Ends the connection in both directions and wakes whoever blocks on it.
    pub fn shutdown(&self) {
        // The one error is that the peer has ended it first.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }

    /// Ends the receiving direction: whoever blocks in [`Connection::recv`] sees the end, and
    /// answers can still be sent.
    pub fn shutdown_read(&self) {
        // As above.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Read);
    }

    /// A second handle to the same connection.
    ///
    /// # Errors
    /// [`ConnectError::Socket`] when the process has no descriptor left.
    pub fn try_clone(&self) -> Result<Self, ConnectError> {
        let socket = self
            .socket
            .try_clone()
            .map_err(|error| ConnectError::Socket(sys::errno_of(&error)))?;
        Ok(Self { socket })
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<Connection> for OwnedFd {
    fn from(connection: Connection) -> Self {
        connection.socket
    }
}

/// A `SOCK_SEQPACKET` socket that nothing inherits.
pub(crate) fn seqpacket() -> Result<OwnedFd, Errno> {
    socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
}

/// What came of sending, once nothing interrupted it.
fn sent(packet: &[u8], mut send: impl FnMut() -> Result<usize, Errno>) -> Result<(), SendError> {
    loop {
        match send() {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Err(SendError::TimedOut),
            Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN) => {
                return Err(SendError::Closed);
            }
            Err(Errno::EMSGSIZE) => return Err(SendError::TooLong { len: packet.len() }),
            Err(errno) => return Err(SendError::System(errno)),
        }
    }
}

/// The kernel reads zero as "for ever", so a bound never rounds down to it.
fn time_val(timeout: Option<Duration>) -> TimeVal {
    let micros = timeout.map_or(0, |limit| {
        i64::try_from(limit.as_micros()).unwrap_or(i64::MAX).max(1)
    });
    TimeVal::microseconds(micros)
}

#[cfg(test)]
mod tests;
