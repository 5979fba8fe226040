use super::address;
use crate::audit;
use crate::config::DiskKey;
use crate::daemon::Daemon;
use crate::event::Event;
use crate::rounds::{Parking, Waiter, Woken};
use crate::seal::Stake;
use crate::stop::{StopSignal, Wait};
use nitride_ipc::peer::{PeerIdentity, resolve};
use nitride_protocol::Status;
use nitride_vault::{ForVolume, Refusal, VolumeRefusal, Want};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fmt;
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Connections of one volume at a time: systemd-cryptsetup makes one.
const MAX_CONNECTIONS: usize = 8;
const STACK_LEN: usize = 256 * 1024;
/// How long the passphrase may wait to be read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two tries: doubled each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often a wait looks whether somebody still listens.
const LOOK_UP: Duration = Duration::from_millis(500);

/// Serves one volume until `stop`.
pub(crate) fn serve_volume(
    daemon: &Arc<Daemon>,
    disk_key: &Arc<DiskKey>,
    listener: &UnixListener,
    stop: &StopSignal,
) {
    let open = Arc::new(AtomicUsize::new(0));
    while stop.wait_for(listener.as_fd()) == Wait::Ready {
        let (stream, address) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                Event::NotAccepting {
                    socket: "disk-key",
                    error: &error,
                }
                .emit();
                thread::sleep(Duration::from_millis(50));
                continue;
            }
        };
        if open.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
            refused(disk_key, "too many connections ask for it");
            continue;
        }
        let Some(peer) = admit(daemon, disk_key, &stream, &address) else {
            continue;
        };
        open.fetch_add(1, Ordering::Relaxed);
        let (daemon, disk_key, count) = (daemon.clone(), disk_key.clone(), open.clone());
        let spawned = thread::Builder::new()
            .name(format!("disk-{}", disk_key.volume))
            .stack_size(STACK_LEN)
            .spawn(move || {
                nitride_secmem::block_signals_on_this_thread();
                hand_out(&daemon, &disk_key, stream, &peer);
                count.fetch_sub(1, Ordering::Relaxed);
            });
        if let Err(error) = spawned {
            open.fetch_sub(1, Ordering::Relaxed);
            Event::NotAccepting {
                socket: "disk-key",
                error: &error,
            }
            .emit();
        }
    }
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
        note_denial(daemon, disk_key, Some(&peer), "its user may not ask for it");
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

/// Tries in a row that may follow each other without a pause: first the gate, then the key.
const MAX_AT_ONCE: u8 = 4;

/// What one try came to.
enum Try {
    Secret(ForVolume),
    /// Something has just arrived.
    AtOnce,
    /// Not there yet; the wait is over, or there is none, so try again after a pause.
    Later(String),
    Never(String),
}

/// Holds the connection open, fetching and trying again, until the passphrase is written or the
/// time is up: what systemd-cryptsetup reads as the end of the stream is the end of the attempt.
fn hand_out(daemon: &Daemon, disk_key: &DiskKey, mut stream: UnixStream, peer: &PeerIdentity) {
    let deadline = Instant::now() + disk_key.timeout;
    let mut pause = FIRST_PAUSE;
    let mut at_once = 0;
    loop {
        let tried = match attempt(daemon, disk_key, (&stream, peer), deadline) {
            Try::AtOnce if at_once < MAX_AT_ONCE => {
                at_once += 1;
                continue;
            }
            Try::AtOnce => Try::Later("it went as soon as it had arrived".to_owned()),
            tried => tried,
        };
        at_once = 0;
        match tried {
            Try::AtOnce => {}
            Try::Secret(_) if has_gone(&stream, peer) => return refused(disk_key, NOBODY_WAITS),
            Try::Secret(ForVolume {
                secret, version, ..
            }) => {
                let (key, volume) = (disk_key.key.as_name(), disk_key.volume.as_str());
                let who = audit::peer(peer);
                let released = (key, version);
                if let Err(unaudited) = daemon.watch.released_to_volume(who, released, volume) {
                    return refused(disk_key, unaudited);
                }
                // Straight from the arena into the socket, without a newline.
                let written = stream
                    .set_write_timeout(Some(WRITE_TIMEOUT))
                    .and_then(|()| stream.write_all(secret.expose()))
                    .and_then(|()| stream.shutdown(Shutdown::Write));
                return match written {
                    Ok(()) => Event::VolumeReleased {
                        volume: &disk_key.volume,
                        peer,
                    }
                    .emit(),
                    Err(error) => refused(disk_key, format_args!("nobody read it: {error}")),
                };
            }
            Try::Never(reason) => {
                note_denial(daemon, disk_key, Some(peer), &reason);
                return refused(disk_key, reason);
            }
            Try::Later(reason) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() || daemon.is_stopping() || has_gone(&stream, peer) {
                    return refused(disk_key, reason);
                }
                Event::VolumeWaits {
                    volume: &disk_key.volume,
                    reason: &reason,
                }
                .emit();
                thread::sleep(pause.min(left));
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

fn attempt(daemon: &Daemon, disk_key: &DiskKey, client: Client<'_>, deadline: Instant) -> Try {
    let seen = daemon.waiting.moment();
    let now = Daemon::now();
    let unchanged = daemon.vault.seal_changes();
    // What is released is not needed again, but its use is counted.
    let stake = |secret: &ForVolume| match secret.has_changed {
        true => Stake::Rests,
        false => Stake::Nothing,
    };
    let want = match daemon.vault.release_to_volume(&disk_key.volume, now) {
        // Its use counts after a reboot, too.
        Ok(secret) => match daemon.settle_seal(unchanged, |_| stake(&secret)) {
            Ok(()) => return Try::Secret(secret),
            Err(error) => return Try::Later(error.to_string()),
        },
        Err(VolumeRefusal::Want(want)) => want,
        Err(VolumeRefusal::Refused(refusal @ Refusal::ArenaFull)) => {
            return Try::Later(refusal.to_string());
        }
        Err(VolumeRefusal::Refused(refusal)) => return Try::Never(refusal.to_string()),
        Err(refusal @ VolumeRefusal::Denied) => return Try::Never(refusal.to_string()),
    };
    wait(daemon, want, seen, client, deadline)
}

/// Waits in the same parking lot as requests do, so that everybody shares one round.
fn wait(
    daemon: &Daemon,
    want: Want,
    seen: crate::rounds::Moment,
    (stream, peer): Client<'_>,
    deadline: Instant,
) -> Try {
    let (told, outcome) = channel();
    let now = Daemon::now();
    let left_ms = deadline
        .saturating_duration_since(Instant::now())
        .as_millis();
    let deadline_ms = now
        .boot_ms
        .saturating_add(u64::try_from(left_ms).unwrap_or(u64::MAX));
    let waiter = Waiter::Volume(told);
    match daemon
        .waiting
        .park(&daemon.vault, want, seen, deadline_ms, waiter, now)
    {
        Parking::Waits => {}
        Parking::TryAgain(_) => return Try::AtOnce,
        Parking::Refused(refused) => return Try::Later(refused.status().to_string()),
    }
    loop {
        match outcome.recv_timeout(LOOK_UP) {
            Ok(woken) => return later(woken),
            Err(RecvTimeoutError::Disconnected) => return later(Err(Status::ShuttingDown)),
            Err(RecvTimeoutError::Timeout) if has_gone(stream, peer) || daemon.is_stopping() => {
                return Try::Never(NOBODY_WAITS.to_owned());
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn later(woken: Woken) -> Try {
    match woken {
        Ok(()) => Try::AtOnce,
        Err(status) => Try::Later(status.to_string()),
    }
}

/// The connection, and who was let in over it.
type Client<'a> = (&'a UnixStream, &'a PeerIdentity);

const NOBODY_WAITS: &str = "nobody waits for it any more";

/// Whether the peer has hung up, or has ended and left the connection to somebody else. That it
/// will write nothing, which systemd-cryptsetup says at once, is not that: only both directions
/// closed is a hang-up.
fn has_gone(stream: &UnixStream, peer: &PeerIdentity) -> bool {
    if !peer.still_alive() {
        return true;
    }
    let mut watched = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    match poll(&mut watched, PollTimeout::ZERO) {
        Ok(_) => watched[0].any() == Some(true),
        Err(_) => false,
    }
}

fn note_denial(daemon: &Daemon, disk_key: &DiskKey, peer: Option<&PeerIdentity>, reason: &str) {
    let (key, volume) = (disk_key.key.as_name(), disk_key.volume.as_str());
    let who = peer.map(audit::peer);
    daemon.watch.refused_to_volume(who, key, volume, reason);
}

fn refused(disk_key: &DiskKey, reason: impl fmt::Display) {
    let reason = reason.to_string();
    Event::VolumeRefused {
        volume: &disk_key.volume,
        reason: &reason,
    }
    .emit();
}
