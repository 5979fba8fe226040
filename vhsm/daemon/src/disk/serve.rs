use super::{address, statement};
use crate::audit;
use crate::config::DiskKey;
use crate::daemon::Daemon;
use crate::event::Event;
use crate::reader::{Reader, Service, Unread, accept_readers};
use crate::stop::StopSignal;
use nitride_ipc::peer::{PeerIdentity, resolve};
use std::fmt;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::Arc;

/// Connections of one volume at a time: systemd-cryptsetup makes one.
const MAX_CONNECTIONS: usize = 8;

/// Serves one volume until `stop`.
pub(crate) fn serve_volume(
    daemon: &Arc<Daemon>,
    disk_key: &Arc<DiskKey>,
    listener: &UnixListener,
    stop: &StopSignal,
) {
    let (daemon, disk_key) = (Arc::clone(daemon), Arc::clone(disk_key));
    let service = Service {
        socket: "disk-key",
        seats: MAX_CONNECTIONS,
        serve: move |stream: &UnixStream, address: &SocketAddr| {
            if let Some(peer) = admit(&daemon, &disk_key, stream, address) {
                hand_out(&daemon, &disk_key, stream, &peer);
            }
        },
        // The end of the stream is the end of the attempt, and no volume opens by nothing.
        turn_away: |_: &UnixStream| (),
    };
    accept_readers((listener, Vec::new()), stop, &service);
}

/// Who asks, if it may: the kernel's word authenticates, the address selects the volume.
fn admit(
    daemon: &Daemon,
    disk_key: &DiskKey,
    stream: &UnixStream,
    address: &SocketAddr,
) -> Option<PeerIdentity> {
    let peer = match resolve(stream, None) {
        Ok(peer) => peer,
        Err(error) => {
            Event::TurnedAway {
                socket: "disk-key",
                error: &error,
            }
            .emit();
            return None;
        }
    };
    if !disk_key.allowed_uids.contains(&peer.uid) {
        note_denial(daemon, disk_key, &peer, "its user may not ask for it");
        refused(
            disk_key,
            format_args!("uid {} may not ask for it", peer.uid),
        );
        return None;
    }
    let asked = address.as_abstract_name().and_then(address::volume);
    if asked != Some(disk_key.volume.as_str()) {
        refused(
            disk_key,
            format_args!("uid {} asks for volume {asked:?}", peer.uid),
        );
        return None;
    }
    Some(peer)
}

/// Holds the connection open until the passphrase is written or the time is up: what
/// systemd-cryptsetup reads as the end of the stream is the end of the attempt.
fn hand_out(daemon: &Daemon, disk_key: &DiskKey, stream: &UnixStream, peer: &PeerIdentity) {
    let (key, volume) = (disk_key.key.as_name(), disk_key.volume.as_str());
    let disk = match statement::read(stream) {
        Ok(disk) => disk,
        Err(fault) => {
            note_denial(daemon, disk_key, peer, &fault.to_string());
            return refused(disk_key, fault);
        }
    };
    let reader = Reader::new(stream, peer, disk_key.timeout);
    let ask = |now| daemon.vault.release_to_volume(volume, disk.as_ref(), now);
    let waits = |reason: &str| Event::VolumeWaits { volume, reason }.emit();
    let found = match reader.wait_for(daemon, &ask, &waits) {
        Ok(found) => found,
        Err(Unread::Denied(reason)) => {
            note_denial(daemon, disk_key, peer, &reason);
            return refused(disk_key, reason);
        }
        Err(Unread::GaveUp(reason)) => return refused(disk_key, reason),
    };
    let (who, released) = (audit::peer(peer), (key, found.version));
    if let Err(unaudited) = daemon.watch.released_to(who, released, &to(volume)) {
        return refused(disk_key, unaudited);
    }
    match reader.give(&found.secret) {
        Ok(()) => Event::VolumeReleased { volume, peer }.emit(),
        Err(error) => refused(disk_key, format_args!("nobody read it: {error}")),
    }
}

/// As the audit calls it.
fn to(volume: &str) -> String {
    format!("volume {volume}")
}

fn note_denial(daemon: &Daemon, disk_key: &DiskKey, peer: &PeerIdentity, reason: &str) {
    let (who, key) = (audit::peer(peer), disk_key.key.as_name());
    let to = to(&disk_key.volume);
    daemon.watch.refused_to(who, Some(key), &to, reason);
}

fn refused(disk_key: &DiskKey, reason: impl fmt::Display) {
    let reason = reason.to_string();
    Event::VolumeRefused {
        volume: &disk_key.volume,
        reason: &reason,
    }
    .emit();
}
