//! What is logged, as data: no other place writes a log line about what vhsmd does.
//!
//! No event has a field that could hold a secret or a payload. Texts that a peer chose are quoted
//! (`{:?}`), so that none can forge a line.

use crate::credential::Asked;
use crate::executable::NoDigest;
use crate::serve::{Link, PeerChanged, QuotaExceeded};
use nitride_ipc::peer::PeerIdentity;
use nitride_protocol::agent::FailureClass;
use nitride_protocol::{KeyName, Operation, Status};
use nitride_vault::rounds::{Order, RoundId, Settled};
use nitride_vault::{Socket, Want, audit};
use std::error::Error;
use std::fmt;
use tracing::{debug, error, info, warn};

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// The arenas stand and the sockets are open.
    Serving { arenas: &'a str, generation: u64 },
    /// Something weakens a guarantee here.
    Warning { text: &'a str },
    /// The service manager was told, or asked, to stop.
    Stopping,
    /// Every key was ended, and the process ends.
    Wiped,
    /// The phase of this process has ended, and nothing is served any more.
    PhaseEnded {
        phase: Option<&'a str>,
        protection: &'a str,
        keys_kept: bool,
    },
    /// A key is not released, since that could not be measured.
    ReleaseNotMeasured { key: &'a str, error: &'a dyn Error },
    /// Everything has ended; so many connections had to be cut.
    Stopped { cut: usize },
    /// A new policy is in force.
    Reloaded {
        generation: u64,
        digest: &'a [u8; 32],
    },
    /// The new policy has a fault; the old one stays in force.
    ReloadRefused { error: &'a dyn Error },
    /// A setting that is fixed until a restart was changed in the file.
    RestartNeeded,

    /// A peer connected.
    Connected { link: &'a Link },
    /// It has gone.
    Disconnected { link: &'a Link },
    /// Somebody was turned away at the door.
    TurnedAway {
        socket: &'a str,
        error: &'a dyn Error,
    },
    /// A connection was refused for want of room.
    NoRoom {
        peer: &'a PeerIdentity,
        error: QuotaExceeded,
    },
    /// No connection could be accepted.
    NotAccepting {
        socket: &'a str,
        error: &'a dyn Error,
    },
    /// The peer is no longer who it was, and the connection ends.
    PeerChanged {
        link: &'a Link,
        error: &'a PeerChanged,
    },
    /// A rule asks for the digest of the peer's program, and there is none: the rule is not about
    /// this peer.
    ProgramUnknown { link: &'a Link, error: &'a NoDigest },
    /// A request was refused; `reason` is what the peer is not told.
    Refused {
        link: &'a Link,
        request: u32,
        operation: &'a str,
        key: Option<&'a str>,
        status: Status,
        reason: &'a dyn Error,
    },
    /// Lines about a user were left out, since there were too many; `None` is nobody in particular.
    LinesLeftOut { uid: Option<u32>, count: u64 },
    /// A request waits for a round.
    Parked {
        link: &'a Link,
        request: u32,
        want: &'a Want,
    },

    /// The agent is there.
    AgentConnected { peer: &'a PeerIdentity },
    /// It has gone.
    AgentGone { pid: u32 },
    /// Somebody else wanted to be the agent.
    AgentRefused {
        peer: &'a PeerIdentity,
        reason: &'a str,
    },
    /// The agent was given work.
    Ordered { order: &'a Order },
    /// Something the agent brought, or asked, was refused.
    RoundRefused {
        operation: &'a str,
        error: &'a dyn Error,
    },
    /// What the agent says went wrong.
    CourierFailed {
        round: &'a RoundId,
        resource: Option<&'a str>,
        class: FailureClass,
        reason: &'a str,
    },
    /// The evidence helper gave nothing.
    NoEvidence {
        round: &'a RoundId,
        error: &'a dyn Error,
    },
    /// Something that was wanted is there, or failed.
    Settled { settled: &'a Settled },

    /// A key whose lease has run out could not be erased.
    LeasesNotEnded { error: &'a dyn Error },

    /// The seal is open: so many keys came back.
    SealOpened {
        platform: &'a str,
        keys: u64,
        generation: u64,
    },
    /// It is not, or a file is not written; why, and what to do about it.
    SealFailed { what: &'a str, because: &'a str },
    /// The file has everything again.
    SealWrittenAgain { generation: u64 },

    /// An entry of the audit; `sequence` is `None` where it stands in no file.
    Audited {
        sequence: Option<u64>,
        event: &'a audit::Event<'a>,
    },
    /// An entry of the audit could not be written.
    AuditNotWritten { error: &'a dyn Error },
    /// The audit's files cannot grow.
    AuditFull { error: &'a dyn Error, refuses: bool },

    /// A volume's passphrase was handed out.
    VolumeReleased {
        volume: &'a str,
        peer: &'a PeerIdentity,
    },
    /// A volume's passphrase was not handed out.
    VolumeRefused { volume: &'a str, reason: &'a str },
    /// A volume's passphrase is waited for.
    VolumeWaits { volume: &'a str, reason: &'a str },

    /// A unit's credential was handed out.
    CredentialReleased {
        asked: &'a Asked<'a>,
        peer: &'a PeerIdentity,
    },
    /// A unit's credential was not handed out.
    CredentialRefused {
        asked: Option<&'a Asked<'a>>,
        reason: &'a str,
    },
    /// A unit's credential is waited for.
    CredentialWaits {
        asked: &'a Asked<'a>,
        reason: &'a str,
    },
}

impl Event<'_> {
    /// Writes it to the log.
    pub(crate) fn emit(&self) {
        match self {
            Self::Serving { .. }
            | Self::Warning { .. }
            | Self::Stopping
            | Self::Wiped
            | Self::PhaseEnded { .. }
            | Self::ReleaseNotMeasured { .. }
            | Self::Stopped { .. }
            | Self::Reloaded { .. }
            | Self::ReloadRefused { .. }
            | Self::RestartNeeded => self.emit_lifecycle(),
            Self::Connected { .. }
            | Self::Disconnected { .. }
            | Self::TurnedAway { .. }
            | Self::NoRoom { .. }
            | Self::NotAccepting { .. }
            | Self::PeerChanged { .. }
            | Self::ProgramUnknown { .. }
            | Self::Refused { .. }
            | Self::LinesLeftOut { .. }
            | Self::Parked { .. } => self.emit_serving(),
            Self::AgentConnected { .. }
            | Self::AgentGone { .. }
            | Self::AgentRefused { .. }
            | Self::Ordered { .. }
            | Self::RoundRefused { .. }
            | Self::CourierFailed { .. }
            | Self::NoEvidence { .. }
            | Self::Settled { .. }
            | Self::LeasesNotEnded { .. } => self.emit_rounds(),
            Self::Audited { .. } | Self::AuditNotWritten { .. } | Self::AuditFull { .. } => {
                self.emit_audit();
            }
            Self::SealOpened {
                platform,
                keys,
                generation,
            } => info!(platform, keys, generation, "seal opened"),
            Self::SealFailed { what, because } => error!(because, "{what}"),
            Self::SealWrittenAgain { generation } => {
                info!(generation, "sealed file written again");
            }
            Self::VolumeReleased { .. }
            | Self::VolumeRefused { .. }
            | Self::VolumeWaits { .. }
            | Self::CredentialReleased { .. }
            | Self::CredentialRefused { .. }
            | Self::CredentialWaits { .. } => self.emit_readers(),
        }
    }

    fn emit_readers(&self) {
        match self {
            Self::VolumeReleased { volume, peer } => {
                let (uid, pid) = (peer.uid, peer.pid);
                info!(volume, uid, pid, "passphrase released to volume");
            }
            Self::VolumeRefused { volume, reason } => {
                warn!(volume, reason, "passphrase not released to volume");
            }
            Self::VolumeWaits { volume, reason } => {
                info!(volume, reason, "passphrase of volume is waited for");
            }
            Self::CredentialReleased { asked, peer } => {
                let (unit, name, pid) = (asked.unit, asked.name, peer.pid);
                info!(?unit, ?name, pid, "credential released to unit");
            }
            Self::CredentialRefused { asked, reason } => {
                let unit = asked.map(|asked| asked.unit);
                let name = asked.map(|asked| asked.name);
                warn!(?unit, ?name, reason, "credential not released to unit");
            }
            Self::CredentialWaits { asked, reason } => {
                let (unit, name) = (asked.unit, asked.name);
                info!(?unit, ?name, reason, "credential of unit is waited for");
            }
            _ => {}
        }
    }

    fn emit_lifecycle(&self) {
        match self {
            Self::Serving { arenas, generation } => info!(arenas, generation, "serving"),
            Self::Warning { text } => warn!("{text}"),
            Self::Stopping => info!("stopping"),
            Self::Wiped => warn!("every key wiped, ending"),
            Self::PhaseEnded {
                phase,
                protection,
                keys_kept,
            } => info!(phase, protection, keys_kept, "phase ended, serving nobody"),
            Self::ReleaseNotMeasured { key, error } => {
                error!(key, error = %Chain(*error), "release not measured, and so not done");
            }
            Self::Stopped { cut } => info!(cut, "stopped"),
            Self::Reloaded { generation, digest } => {
                info!(generation, digest = %Hex(*digest), "policy reloaded");
            }
            Self::ReloadRefused { error } => {
                error!(error = %Chain(*error), "policy not reloaded, the one before stays in force");
            }
            Self::RestartNeeded => {
                warn!("vhsmd.toml has changed in what is fixed until a restart");
            }
            _ => {}
        }
    }

    fn emit_serving(&self) {
        match self {
            Self::Connected { link } => {
                let peer = link.identity();
                debug!(
                    connection = link.number,
                    socket = name_of(link.socket),
                    uid = peer.uid,
                    gid = peer.gid,
                    pid = peer.pid,
                    unit = ?peer.unit,
                    "connected"
                );
            }
            Self::Disconnected { link } => debug!(connection = link.number, "disconnected"),
            Self::TurnedAway { socket, error } => {
                warn!(socket, error = %Chain(*error), "peer turned away");
            }
            Self::NoRoom { peer, error } => {
                warn!(uid = peer.uid, pid = peer.pid, %error, "connection refused");
            }
            Self::NotAccepting { socket, error } => {
                error!(socket, error = %Chain(*error), "no connection accepted");
            }
            Self::PeerChanged { link, error } => {
                warn!(
                    connection = link.number,
                    uid = link.identity().uid,
                    pid = link.identity().pid,
                    error = %Chain(*error),
                    "connection ended"
                );
            }
            Self::ProgramUnknown { link, error } => {
                warn!(
                    connection = link.number,
                    uid = link.identity().uid,
                    pid = link.identity().pid,
                    error = %Chain(*error),
                    "no rule with an executable-digest is about the peer"
                );
            }
            Self::Refused {
                link,
                request,
                operation,
                key,
                status,
                reason,
            } => {
                let peer = link.identity();
                info!(
                    connection = link.number,
                    request,
                    uid = peer.uid,
                    pid = peer.pid,
                    unit = ?peer.unit,
                    operation,
                    key,
                    %status,
                    reason = %Chain(*reason),
                    "request refused"
                );
            }
            Self::LinesLeftOut { uid, count } => {
                warn!(uid, count, "refusals not logged, there were too many");
            }
            Self::Parked {
                link,
                request,
                want,
            } => {
                debug!(connection = link.number, request, want = %Wanted(want), "request waits");
            }
            _ => {}
        }
    }

    fn emit_audit(&self) {
        match self {
            Self::Audited { sequence, event } => {
                let (peer, request) = (event.peer, event.request);
                // Every second of every peer is too much for a journal that is read by people.
                let kind = event.kind.as_str();
                if event.kind == audit::AuditKind::Uses {
                    debug!(
                        target: "audit", sequence, kind, uid = peer.map(|peer| peer.uid),
                        pid = peer.map(|peer| peer.pid), unit = ?peer.and_then(|peer| peer.unit),
                        operation = event.operation.map(Operation::as_str),
                        key = event.key.map(KeyName::as_str), version = event.version,
                        status = %event.status, count = event.count, "uses"
                    );
                    return;
                }
                info!(
                    target: "audit", sequence, kind, uid = peer.map(|peer| peer.uid),
                    pid = peer.map(|peer| peer.pid), unit = ?peer.and_then(|peer| peer.unit),
                    operation = event.operation.map(Operation::as_str),
                    key = event.key.map(KeyName::as_str), version = event.version,
                    status = %event.status, count = event.count,
                    connection = request.map(|request| request.connection),
                    request = request.map(|request| request.request),
                    reason = ?event.reason, "audit"
                );
            }
            Self::AuditNotWritten { error } => {
                error!(error = %Chain(*error), "entry of the audit not written");
            }
            Self::AuditFull { error, refuses } => {
                error!(error = %Chain(*error), refuses, "the audit's files cannot grow");
            }
            _ => {}
        }
    }

    fn emit_rounds(&self) {
        match self {
            Self::AgentConnected { peer } => {
                info!(uid = peer.uid, pid = peer.pid, unit = ?peer.unit, "agent connected");
            }
            Self::AgentGone { pid } => info!(pid, "agent gone"),
            Self::AgentRefused { peer, reason } => {
                warn!(
                    uid = peer.uid,
                    pid = peer.pid,
                    unit = ?peer.unit,
                    reason,
                    "agent refused"
                );
            }
            Self::Ordered { order } => info!(
                round = %order.round,
                service = order.service,
                resources = order.resources.len(),
                result_wanted = order.result_wanted,
                in_clear = order.in_clear,
                cause = %order.cause,
                "round ordered"
            ),
            Self::RoundRefused { operation, error } => {
                warn!(operation, error = %Chain(*error), "agent's message refused");
            }
            Self::CourierFailed {
                round,
                resource,
                class,
                reason,
            } => warn!(%round, resource, %class, reason = ?reason, "agent reports a failure"),
            Self::NoEvidence { round, error } => {
                error!(%round, error = %Chain(*error), "no evidence for the round");
            }
            Self::Settled { settled } => match &settled.outcome {
                Ok(()) if settled.in_clear => warn!(
                    want = %Wanted(&settled.want),
                    "plaintext-courier: the agent has read what the round brought"
                ),
                Ok(()) => info!(want = %Wanted(&settled.want), "round brought what was wanted"),
                Err(failure) => warn!(
                    want = %Wanted(&settled.want),
                    reason = %Chain(failure),
                    "round failed"
                ),
            },
            Self::LeasesNotEnded { error } => {
                error!(error = %Chain(*error), "key with an ended lease not erased");
            }
            _ => {}
        }
    }
}

fn name_of(socket: Socket) -> &'static str {
    match socket {
        Socket::Application => "application",
        Socket::Admin => "admin",
    }
}

/// An error and all that it came from, on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

/// Bytes in hexadecimal.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What is waited for, as the policy names it.
struct Wanted<'a>(&'a Want);

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Want::Key { name } => write!(f, "key {name}"),
            Want::Gate { name } => write!(f, "gate {name}"),
            Want::Signers { name } => write!(f, "list of signer {name}"),
        }
    }
}
