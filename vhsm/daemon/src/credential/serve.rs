use super::address::Asked;
use super::refusing::overfill;
use crate::audit;
use crate::config::Credential;
use crate::daemon::Daemon;
use crate::event::Event;
use crate::reader::{Reader, Unread, accept_readers};
use crate::stop::StopSignal;
use crate::store::HeldReaders;
use nitride_ipc::peer::{PeerIdentity, resolve};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::Arc;

/// Credentials that are loaded at a time: a boot starts many units at once, and who comes later
/// waits.
const MAX_CONNECTIONS: usize = 16;

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
enum NotAdmitted {
    /// Its address is not one of the service manager's.
    #[error("the address that asks names no unit and no credential")]
    Nothing,
    /// It is not root, as the service manager is.
    #[error("uid {0} asks, and not the service manager")]
    NotRoot(u32),
    /// It lives elsewhere than in the unit that it asks for.
    #[error("it is asked for from {0}, and not from the unit itself")]
    Foreign(String),
    /// The configuration has none of this name for the unit.
    #[error("no [[credential]] of vhsmd.toml names it")]
    Unknown,
}

/// Serves credentials until `stop`, first to who has waited for an earlier process, which crashed.
pub(crate) fn serve_credentials(
    daemon: &Arc<Daemon>,
    listener: &UnixListener,
    earlier: Vec<(UnixStream, SocketAddr)>,
    stop: &StopSignal,
) {
    let daemon = Arc::clone(daemon);
    let held = HeldReaders::find(daemon.config.arena_sizes, MAX_CONNECTIONS);
    let held = Arc::new(held);
    let limits = ("credentials", MAX_CONNECTIONS);
    accept_readers((listener, earlier), limits, stop, move |stream, address| {
        serve((&daemon, &held), &stream, address);
    });
}

/// A connection from its first byte, of which there is none, to its last.
fn serve((daemon, held): (&Daemon, &HeldReaders), stream: &UnixStream, address: &SocketAddr) {
    // What a process sets before it writes stays with the socket: nobody knows how much was read.
    let has_begun = !matches!(stream.write_timeout(), Ok(None));
    if has_begun {
        return refuse(stream, None, "an earlier process was at writing it");
    }
    if let Err(error) = held.hold(stream.as_fd()) {
        let reason = format!("the service manager does not hold the connection: {error}");
        return refuse(stream, None, &reason);
    }
    let peer = match resolve(stream, daemon.cgroups.as_ref()) {
        Ok(peer) => peer,
        Err(error) => {
            let (socket, error) = ("credentials", &error);
            Event::TurnedAway { socket, error }.emit();
            return refuse(stream, None, "nobody knows who asks");
        }
    };
    let asked = address.as_abstract_name().and_then(Asked::of);
    let known = &daemon.config.credentials;
    match admit(known, &peer, asked) {
        Ok((asked, credential)) => hand_out(daemon, (asked, credential), stream, &peer),
        Err(refusal) => {
            let (reason, who) = (refusal.to_string(), audit::peer(&peer));
            let to = asked.map_or("a credential".to_owned(), |asked| asked.to_string());
            daemon.watch.refused_to(who, None, &to, &reason);
            refuse(stream, asked.as_ref(), &reason);
        }
    }
}

/// What is asked for, if this peer may ask for it.
///
/// The address is the peer's own choice and selects. What authenticates is the kernel's word: root,
/// in the cgroup of the unit, where PID 1 has put the process of its own that loads the unit's
/// credentials before it becomes the unit's program (systemd 257: `(sd-mkdcreds)`, a child of what
/// PID 1 has started for the unit). Nobody but root can move there.
fn admit<'a, 'd>(
    known: &'d [Credential],
    peer: &PeerIdentity,
    asked: Option<Asked<'a>>,
) -> Result<(Asked<'a>, &'d Credential), NotAdmitted> {
    if peer.uid != 0 {
        return Err(NotAdmitted::NotRoot(peer.uid));
    }
    let asked = asked.ok_or(NotAdmitted::Nothing)?;
    if peer.unit.as_deref() != Some(asked.unit) {
        let place = peer.unit.as_deref().or(peer.cgroup.as_deref());
        return Err(NotAdmitted::Foreign(
            place.unwrap_or("nowhere known").to_owned(),
        ));
    }
    let is_it = |known: &&Credential| known.unit == asked.unit && known.name == asked.name;
    let credential = known.iter().find(is_it).ok_or(NotAdmitted::Unknown)?;
    Ok((asked, credential))
}

/// Holds the unit's start up until the credential is written or the time is up.
fn hand_out(
    daemon: &Daemon,
    (asked, credential): (Asked<'_>, &Credential),
    stream: &UnixStream,
    peer: &PeerIdentity,
) {
    let asked = &asked;
    let key = credential.key.as_name();
    let reader = Reader::new(stream, peer, credential.timeout);
    let ask = |now| daemon.vault.release_to_unit(key, asked.unit, now);
    let waits = |reason: &str| Event::CredentialWaits { asked, reason }.emit();
    let found = match reader.wait_for(daemon, &ask, &waits) {
        Ok(found) => found,
        Err(Unread::Denied(reason)) => {
            let (who, to) = (audit::peer(peer), asked.to_string());
            daemon.watch.refused_to(who, Some(key), &to, &reason);
            return refuse(stream, Some(asked), &reason);
        }
        Err(Unread::GaveUp(reason)) => return refuse(stream, Some(asked), &reason),
    };
    let (who, released) = (audit::peer(peer), (key, found.version));
    if let Err(unaudited) = daemon.watch.released_to(who, released, &asked.to_string()) {
        return refuse(stream, Some(asked), &unaudited.to_string());
    }
    match reader.give(&found.secret) {
        Ok(()) => Event::CredentialReleased { asked, peer }.emit(),
        // Not whole: a part of it must not pass for it.
        Err(error) => refuse(stream, Some(asked), &format!("nobody read it: {error}")),
    }
}

/// Says so, and has the unit fail.
fn refuse(stream: &UnixStream, asked: Option<&Asked<'_>>, reason: &str) {
    Event::CredentialRefused { asked, reason }.emit();
    if let Err(error) = overfill(stream) {
        let reason = format!("the unit may not have failed, for it reads on: {error}");
        let reason = &reason;
        Event::CredentialRefused { asked, reason }.emit();
    }
}
