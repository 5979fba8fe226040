use super::leaving::leave;
use super::quota::{Account, ConnectionSlot};
use super::shared::Attached;
use crate::daemon::Daemon;
use crate::event::Event;
use crate::executable::NoDigest;
use nitride_ipc::memory::SharedMemory;
use nitride_ipc::message::{ask_for_senders, take_descriptors};
use nitride_ipc::peer::{CgroupRoot, IdentityError, PeerIdentity, resolve};
use nitride_ipc::{Connection, NextPacket, RecvError, SendError};
use nitride_vault::{Peer, Socket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// A packet that was received.
#[derive(Debug)]
pub(super) struct Received {
    /// Its length in bytes.
    pub(super) len: usize,
    /// Whether it may be looked at.
    pub(super) is_from_peer: bool,
    /// What came with it.
    pub(super) attached: Attached,
}

/// A connection and who is at its other end. Its own thread reads from it; whoever has an answer
/// writes to it, since one packet is one call.
#[derive(Debug)]
pub(crate) struct Link {
    /// Counted since the start; with a request's id it names the request in the log.
    pub(crate) number: u64,
    /// Over which socket.
    pub(crate) socket: Socket,
    connection: Connection,
    identity: PeerIdentity,
    /// Given back when it is closed, which may be later than this is dropped.
    slot: Arc<ConnectionSlot>,
    has_parked: AtomicBool,
    executable_digest: OnceLock<[u8; 32]>,
    per_message: AtomicBool,
    attaches: AtomicBool,
}

impl Link {
    pub(crate) fn new(
        number: u64,
        socket: Socket,
        connection: Connection,
        identity: PeerIdentity,
        slot: ConnectionSlot,
    ) -> Self {
        Self {
            number,
            socket,
            connection,
            identity,
            slot: Arc::new(slot),
            has_parked: AtomicBool::new(false),
            executable_digest: OnceLock::new(),
            per_message: AtomicBool::new(false),
            attaches: AtomicBool::new(false),
        }
    }

    /// Takes descriptors from now on, or none any more: the kernel keeps them from a connection that
    /// has not announced any, so that nobody has to close what it does not want.
    pub(super) fn take_descriptors(&self, takes: bool) {
        // Where that fails, the peer is told so when it sends one.
        let _ = take_descriptors(&self.connection, takes);
    }

    /// The packets.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What the user has used.
    pub(crate) fn account(&self) -> &Arc<Account> {
        self.slot.account()
    }

    /// Who is there.
    pub(crate) fn identity(&self) -> &PeerIdentity {
        &self.identity
    }

    /// Who is there, as the vault takes it.
    pub(crate) fn peer(&self) -> Peer {
        Peer {
            uid: self.identity.uid,
            gid: self.identity.gid,
            groups: self.identity.groups.clone(),
            pid: self.identity.pid,
            unit: self.identity.unit.clone(),
            cgroup: self.identity.cgroup.clone(),
            executable_digest: self.executable_digest.get().copied(),
            per_message: self.is_per_message(),
        }
    }

    /// Finds out what a rule asks of this peer besides who it is, and whether any does. Once, on a
    /// thread that may wait as long as reading the peer's program takes. A rule that asks from a
    /// later reload on is about new connections alone.
    pub(crate) fn look_closer(&self, daemon: &Daemon) -> bool {
        let asked = daemon.vault.asks_about(&self.peer());
        // Asked for by the listener, so that the first packet has its sender too; what nobody asks
        // for costs nothing from here on.
        let told = ask_for_senders(&self.connection, asked.per_message);
        let is_per_message = asked.per_message && told.is_ok();
        self.per_message.store(is_per_message, Ordering::Release);
        if asked.executable_digest {
            let digest = match &daemon.programs {
                Some(programs) => programs.digest_of(&self.identity),
                None => Err(NoDigest::NoReader),
            };
            match digest {
                Ok(digest) => {
                    let _ = self.executable_digest.set(digest);
                }
                Err(error) => {
                    let (link, error) = (self, &error);
                    let undigested = Event::ProgramUnknown { link, error };
                    daemon.log_of(Some(self.identity.uid), &undigested);
                }
            }
        }
        asked.per_message || asked.executable_digest
    }

    /// Whether every message has to come from the process that connected.
    pub(crate) fn is_per_message(&self) -> bool {
        self.per_message.load(Ordering::Acquire)
    }

    /// Whether packets from here on may carry descriptors, as the peer said in its last `hello`.
    pub(super) fn set_attaches(&self, attaches: bool) {
        self.attaches.store(attaches, Ordering::Release);
    }

    /// Whether the peer has said that its packets may carry descriptors. That it would be granted
    /// a request that needs one says nothing: rules come and go, and it would lose the first.
    pub(super) fn attaches(&self) -> bool {
        self.attaches.load(Ordering::Acquire)
    }

    /// Takes `next` into `buf`, which has room for it. Where every message has to come from the
    /// process that connected, it is asked whether this one does.
    pub(super) fn recv(
        &self,
        next: NextPacket,
        buf: &mut [u8],
    ) -> Result<Option<Received>, RecvError> {
        if self.is_per_message() || (self.attaches() && next.has_attachment) {
            return self.recv_all(next.len, buf);
        }
        self.recv_bare(buf)
    }

    /// Takes the next packet into `buf`, which has room for any, without having looked at it.
    pub(super) fn recv_unseen(&self, buf: &mut [u8]) -> Result<Option<Received>, RecvError> {
        if self.is_per_message() || self.attaches() {
            return self.recv_all(buf.len(), buf);
        }
        self.recv_bare(buf)
    }

    /// Takes a packet alone, which costs less; the kernel closes what came with it.
    fn recv_bare(&self, buf: &mut [u8]) -> Result<Option<Received>, RecvError> {
        let received = self.connection.recv(buf)?;
        Ok(received.map(|len| Received {
            len,
            is_from_peer: true,
            attached: self.nothing(),
        }))
    }

    /// What there is with a packet that nothing was taken with.
    fn nothing(&self) -> Attached {
        if self.attaches() {
            Attached::Nothing
        } else {
            Attached::Unannounced
        }
    }

    /// Takes a packet of at most `len` bytes with all that may come with it.
    fn recv_all(&self, len: usize, buf: &mut [u8]) -> Result<Option<Received>, RecvError> {
        let mut message = match self.connection.recv_message(buf, 1) {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(None),
            Err(RecvError::TooManyDescriptors { .. }) => {
                return Ok(Some(Received {
                    len,
                    is_from_peer: !self.is_per_message(),
                    attached: Attached::TooMany,
                }));
            }
            Err(error) => return Err(error),
        };
        let attached = match message.descriptors.pop() {
            None => self.nothing(),
            // Closed here, as the kernel does where nobody is asked for the sender.
            Some(_) if !self.attaches() => Attached::Unannounced,
            Some(descriptor) if SharedMemory::is_memory(&descriptor) => Attached::One(descriptor),
            // Closed here: anywhere else, others might wait for it.
            Some(_) => Attached::Foreign,
        };
        Ok(Some(Received {
            len: message.len,
            is_from_peer: !self.is_per_message() || self.identity.has_sent(message.sender.as_ref()),
            attached,
        }))
    }

    /// Whether the peer still runs and is still who it was when it connected: a process may have
    /// been moved to another cgroup since.
    pub(crate) fn check_unchanged(&self, cgroups: Option<&CgroupRoot>) -> Result<(), PeerChanged> {
        let now = resolve(&self.connection, cgroups)?;
        let was = &self.identity;
        let same = now.uid == was.uid
            && now.gid == was.gid
            && now.groups == was.groups
            && now.pid == was.pid
            && now.unit == was.unit
            && now.cgroup == was.cgroup;
        same.then_some(()).ok_or(PeerChanged::Moved)
    }

    /// Answers without waiting. A peer that does not read its answers loses the connection: what
    /// it is not told is told to nobody else.
    pub(crate) fn answer_or_end(&self, reply: &[u8]) {
        match self.connection.try_send(reply) {
            Ok(()) | Err(SendError::Closed) => {}
            Err(_) => self.connection.shutdown(),
        }
    }

    /// Notes that requests of this connection may be parked.
    pub(crate) fn note_parked(&self) {
        self.has_parked.store(true, Ordering::Release);
    }

    /// Whether requests of this connection may be parked.
    pub(crate) fn has_parked(&self) -> bool {
        self.has_parked.load(Ordering::Acquire)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        leave(&self.connection, Arc::clone(&self.slot));
    }
}

/// Somebody else than the process that connected has sent a message on its connection, which a
/// rule asked to be looked for.
#[derive(Debug, thiserror::Error)]
#[error("another process than the one that connected has sent the message")]
pub(crate) struct SentByAnother;

/// Why a peer is no longer the one that was decided about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerChanged {
    /// The kernel no longer tells.
    #[error("the peer cannot be identified any more")]
    Unknown(#[from] IdentityError),
    /// It is in another cgroup now.
    #[error("the peer was moved to another cgroup since it connected")]
    Moved,
}
