//! Packets together with what the kernel attaches to them: who sent them, and descriptors.

use crate::connection::{Connection, RecvError};
use crate::sys;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recvmsg, setsockopt, sockopt};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Most descriptors that one packet can carry to us.
pub const MAX_DESCRIPTORS: usize = 4;

/// A packet that was received.
#[derive(Debug)]
pub struct Message {
    /// Its length in bytes.
    pub len: usize,
    /// Who sent it; `None` where the kernel was not asked in time, or cannot say it here.
    pub sender: Option<Sender>,
    /// What came with it, not inherited by children.
    pub descriptors: Vec<OwnedFd>,
}

/// Who sent one packet, in the kernel's words. Whoever has CAP_SYS_ADMIN may name another process,
/// and CAP_SETUID another user: root can be anybody anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// Process number in our own namespace.
    pub pid: u32,
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
}

/// Whether the kernel notes the sender of each packet to `socket` (`SO_PASSCRED`). Connections
/// inherit it from their listener, so that not even the first packet comes unsigned.
///
/// # Errors
/// [`RecvError::System`].
pub fn ask_for_senders(socket: &impl AsFd, asks: bool) -> Result<(), RecvError> {
    setsockopt(&socket.as_fd(), sockopt::PassCred, &asks).map_err(RecvError::System)
}

/// Whether packets to `socket` may carry descriptors; connections inherit it from their listener.
/// Before Linux 6.16 they always may.
///
/// A descriptor that came is closed some time, and closing may take as long as whoever sent it
/// likes: a socket that lingers, a file whose file system is the sender's program. The kernel closes
/// what nobody takes on the thread that takes the packet, or that closes the connection. So
/// descriptors are taken only from those, and on threads, that may wait.
///
/// # Errors
/// [`RecvError::System`].
pub fn take_descriptors(socket: &impl AsFd, takes: bool) -> Result<(), RecvError> {
    sys::pass_rights(socket.as_fd(), takes).map_err(RecvError::System)
}

impl Connection {
    /// Whether there are packets that nobody has taken, empty ones included. After
    /// [`Connection::shutdown`] there come no more.
    ///
    /// # Errors
    /// [`RecvError::System`].
    pub fn has_unread(&self) -> Result<bool, RecvError> {
        // Every packet has something attached then, which tells an empty one from the end.
        ask_for_senders(self, true)?;
        self.is_next(MsgFlags::MSG_PEEK)
    }

    /// Takes away all packets that are there, which takes as long as closing what is attached does;
    /// see [`take_descriptors`].
    ///
    /// # Errors
    /// [`RecvError::System`].
    pub fn discard_all(&self) -> Result<(), RecvError> {
        ask_for_senders(self, true)?;
        while self.is_next(MsgFlags::empty())? {}
        Ok(())
    }

    fn is_next(&self, flags: MsgFlags) -> Result<bool, RecvError> {
        let flags = flags | MsgFlags::MSG_DONTWAIT;
        loop {
            match recvmsg::<()>(self.as_fd().as_raw_fd(), &mut [], None, flags) {
                Ok(next) => return Ok(next.flags.contains(MsgFlags::MSG_CTRUNC)),
                Err(Errno::EAGAIN | Errno::ECONNRESET) => return Ok(false),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(RecvError::System(errno)),
            }
        }
    }

    /// As [`Connection::recv`], with the sender; see [`ask_for_senders`].
    ///
    /// # Errors
    /// As [`Connection::recv_message`].
    pub fn recv_with_credentials(&self, buf: &mut [u8]) -> Result<Option<Message>, RecvError> {
        self.recv_message(buf, 0)
    }

    /// As [`Connection::recv`], with the sender and at most `max_descriptors` descriptors
    /// ([`MAX_DESCRIPTORS`] at most).
    ///
    /// # Errors
    /// As [`Connection::recv`], and [`RecvError::TooManyDescriptors`]: they are closed then and the
    /// packet is gone, but the connection stays usable.
    pub fn recv_message(
        &self,
        buf: &mut [u8],
        max_descriptors: usize,
    ) -> Result<Option<Message>, RecvError> {
        let room = buf.len();
        let received = loop {
            match sys::receive(self.as_fd(), buf, max_descriptors.min(MAX_DESCRIPTORS)) {
                Ok(received) if received.len == 0 => return Ok(None),
                Ok(received) => break received,
                Err(Errno::ECONNRESET) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Err(RecvError::TimedOut),
                Err(errno) => return Err(RecvError::System(errno)),
            }
        };
        if received.len > room {
            let len = received.len;
            return Err(RecvError::Truncated { len, room });
        }
        if received.cut_control || received.descriptors.len() > max_descriptors {
            return Err(RecvError::TooManyDescriptors {
                room: max_descriptors,
            });
        }
        Ok(Some(Message {
            len: received.len,
            sender: received.sender,
            descriptors: received.descriptors,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Listener;
    use nix::sys::socket::{ControlMessage, sendmsg};
    use nix::unistd::{getgid, getuid, pipe};
    use std::io::{IoSlice, Read};
    use std::os::fd::RawFd;

    fn send_with(connection: &Connection, packet: &[u8], descriptors: &[RawFd]) {
        let attached = [ControlMessage::ScmRights(descriptors)];
        sendmsg::<()>(
            connection.as_fd().as_raw_fd(),
            &[IoSlice::new(packet)],
            &attached,
            MsgFlags::empty(),
            None,
        )
        .unwrap();
    }

    #[test]
    fn every_packet_names_its_sender_even_the_first_of_a_connection() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = Listener::bind(&path, 0o600).unwrap();
        let theirs = Connection::connect(&path).unwrap();
        theirs.send(b"before the accept").unwrap();
        let ours = listener.accept().unwrap();
        theirs.send(b"after it").unwrap();
        let us = Sender {
            pid: std::process::id(),
            uid: getuid().as_raw(),
            gid: getgid().as_raw(),
        };
        for len in [17, 8] {
            let mut buf = [0; 32];
            let message = ours.recv_with_credentials(&mut buf).unwrap().unwrap();
            assert_eq!((message.len, message.sender), (len, Some(us)));
        }
        let identity = crate::peer::resolve(&ours, None).unwrap();
        assert!(identity.has_sent(Some(&us)));
        for other in [
            Sender { pid: 1, ..us },
            Sender {
                uid: us.uid + 1,
                ..us
            },
            Sender {
                gid: us.gid + 1,
                ..us
            },
        ] {
            assert!(!identity.has_sent(Some(&other)), "{other:?}");
        }
        assert!(!identity.has_sent(None));
    }

    #[test]
    fn a_packet_has_no_sender_unless_the_kernel_was_asked() {
        let (ours, theirs) = Connection::pair().unwrap();
        theirs.send(b"x").unwrap();
        let message = ours.recv_with_credentials(&mut [0; 8]).unwrap().unwrap();
        assert_eq!(message.sender, None);
        ask_for_senders(&ours, true).unwrap();
        theirs.send(b"x").unwrap();
        let message = ours.recv_with_credentials(&mut [0; 8]).unwrap().unwrap();
        assert!(message.sender.is_some());
    }

    #[test]
    fn descriptors_come_with_their_packet_and_no_more_than_asked_for() {
        let (ours, theirs) = Connection::pair().unwrap();
        for asks in [false, true] {
            ask_for_senders(&ours, asks).unwrap();
            for max in 0..=MAX_DESCRIPTORS {
                for sent in 1..=12 {
                    let (read, write) = pipe().unwrap();
                    send_with(&theirs, b"packet", &vec![write.as_raw_fd(); sent]);
                    drop(write);
                    let received = ours.recv_message(&mut [0; 8], max);
                    match received {
                        Ok(Some(message)) => {
                            assert_eq!((message.descriptors.len(), message.len), (sent, 6));
                            assert_eq!(message.sender.is_some(), asks);
                        }
                        Err(RecvError::TooManyDescriptors { room }) => {
                            assert!(sent > max && room == max);
                        }
                        other => panic!("{other:?}"),
                    }
                    // Every one of them is closed, or this would wait for ever.
                    let mut rest = Vec::new();
                    std::fs::File::from(read).read_to_end(&mut rest).unwrap();
                }
            }
        }
    }

    #[test]
    fn a_packet_that_is_too_long_is_named_and_the_end_is_the_end() {
        let (ours, theirs) = Connection::pair().unwrap();
        theirs.send(&[1; 9]).unwrap();
        theirs.send(&[2; 8]).unwrap();
        drop(theirs);
        let cut = ours.recv_message(&mut [0; 8], 1);
        assert!(matches!(cut, Err(RecvError::Truncated { len: 9, room: 8 })));
        assert_eq!(ours.recv_message(&mut [0; 8], 1).unwrap().unwrap().len, 8);
        assert!(ours.recv_message(&mut [0; 8], 1).unwrap().is_none());
    }

    #[test]
    fn a_connection_takes_no_descriptors_until_it_is_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = Listener::bind(&path, 0o600).unwrap();
        let adopted = Listener::from_fd(listener.into()).unwrap();
        // Before Linux 6.16 there is no such thing.
        let is_known =
            |connection: &Connection| connection.send_with(b"x", &[connection.as_fd()]).is_err();
        let theirs = Connection::connect(&path).unwrap();
        let is_refused = is_known(&theirs);
        let ours = adopted.accept().unwrap();
        assert_eq!(ours.has_unread().unwrap(), !is_refused);
        ours.discard_all().unwrap();
        take_descriptors(&ours, true).unwrap();
        assert!(!is_known(&theirs));
        let message = ours.recv_message(&mut [0; 8], 1).unwrap().unwrap();
        assert_eq!(message.descriptors.len(), 1);
        take_descriptors(&ours, false).unwrap();
        assert_eq!(is_known(&theirs), is_refused);
    }

    #[test]
    fn what_is_unread_is_seen_and_taken_away_even_if_it_is_empty() {
        let (ours, theirs) = Connection::pair().unwrap();
        assert!(!ours.has_unread().unwrap());
        let (read, write) = pipe().unwrap();
        theirs.send(b"").unwrap();
        send_with(&theirs, b"", &[write.as_raw_fd()]);
        theirs.send(b"x").unwrap();
        drop(write);
        assert!(ours.has_unread().unwrap());
        ours.shutdown();
        assert!(theirs.send(b"y").is_err());
        assert!(ours.has_unread().unwrap());
        ours.discard_all().unwrap();
        assert!(!ours.has_unread().unwrap());
        let mut rest = Vec::new();
        std::fs::File::from(read).read_to_end(&mut rest).unwrap();
    }
}
