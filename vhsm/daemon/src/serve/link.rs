use super::quota::{Account, ConnectionSlot};
use nitride_ipc::peer::{CgroupRoot, IdentityError, PeerIdentity, resolve};
use nitride_ipc::{Connection, SendError};
use nitride_vault::{Peer, Socket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    slot: ConnectionSlot,
    has_parked: AtomicBool,
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
            slot,
            has_parked: AtomicBool::new(false),
        }
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
            executable_digest: None,
            per_message: false,
        }
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
