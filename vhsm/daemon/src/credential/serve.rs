use super::address::Asked;
use super::refusing::overfill;
use crate::audit;
use crate::config::{Config, Credential};
use crate::daemon::Daemon;
use crate::event::Event;
use crate::reader::{Reader, Service, Unread, accept_readers};
use crate::stop::StopSignal;
use crate::store::HeldReaders;
use nitride_ipc::peer::{PeerIdentity, resolve};
use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Credentials of one unit that are loaded at a time: each of its commands loads them, and one that is
/// started anew may come before its last reader is seen to have gone.
const SEATS_OF_A_UNIT: usize = 4;
/// Seats besides one for each unit: for second ones, and for whoever is told no.
const OTHER_SEATS: usize = 4;

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
    /// So many of the unit's wait already.
    #[error("other credentials of its unit are being waited for")]
    NoSeat,
    /// The configuration has none of this name for the unit.
    #[error("no [[credential]] of vhsmd.toml names it")]
    Unknown,
}

/// Where readers find a place: each unit its own, so that none whose key does not come keeps another
/// from starting.
#[derive(Debug, Default)]
struct Seats(Mutex<Vec<String>>);

/// A reader's place.
#[derive(Debug)]
struct Seat<'s> {
    seats: &'s Seats,
    unit: &'s str,
}

impl Seats {
    fn of<'s>(&'s self, unit: &'s str) -> Result<Seat<'s>, NotAdmitted> {
        let mut taken = self.taken();
        if taken.iter().filter(|taken| *taken == unit).count() >= SEATS_OF_A_UNIT {
            return Err(NotAdmitted::NoSeat);
        }
        taken.push(unit.to_owned());
        Ok(Seat { seats: self, unit })
    }

    fn taken(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(index) = taken.iter().position(|taken| taken == self.unit) {
            taken.swap_remove(index);
        }
    }
}

/// How many readers are served at a time: one of each unit, and besides those who come anew.
fn seats(known: &[Credential]) -> usize {
    let units: BTreeSet<_> = known.iter().map(|known| &known.unit).collect();
    units.len() + OTHER_SEATS
}

/// What to say where a crash would end the connections of units that wait.
pub(crate) fn crash_warning(config: &Config) -> Option<&'static str> {
    let known = &config.credentials;
    let holds = || HeldReaders::find(config.arena_sizes, seats(known)).is_there();
    (!known.is_empty() && !holds()).then_some(
        "a crash of vhsmd would be an empty credential for each unit that waits: the service manager \
         holds no connections; run vhsmd by its unit on systemd 254 or later, and raise its \
         FileDescriptorStoreMax=",
    )
}

/// Serves credentials until `stop`, first to who has waited for an earlier process, which crashed.
pub(crate) fn serve_credentials(
    daemon: &Arc<Daemon>,
    listener: &UnixListener,
    earlier: Vec<(UnixStream, SocketAddr)>,
    stop: &StopSignal,
) {
    let daemon = Arc::clone(daemon);
    let most = seats(&daemon.config.credentials);
    let held = Arc::new(HeldReaders::find(daemon.config.arena_sizes, most));
    let taken = Arc::new(Seats::default());
    let service = Service {
        socket: "credentials",
        seats: most,
        serve: move |stream: &UnixStream, address: &SocketAddr| {
            serve((&daemon, &held, &taken), stream, address);
        },
        turn_away,
    };
    accept_readers((listener, earlier), stop, &service);
}

/// Has the unit fail: the end of the connection alone would be an empty credential.
fn turn_away(stream: &UnixStream) {
    refuse(stream, None, "no thread could be started to serve it");
}

/// A connection from its first byte, of which there is none, to its last.
fn serve(
    (daemon, held, seats): (&Daemon, &HeldReaders, &Seats),
    stream: &UnixStream,
    address: &SocketAddr,
) {
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
    let admitted = admit(known, &peer, asked)
        .and_then(|(asked, credential)| Ok((asked, credential, seats.of(&credential.unit)?)));
    match admitted {
        Ok((asked, credential, seat)) => {
            hand_out(daemon, (asked, credential), stream, &peer);
            drop(seat);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::accept_with;
    use crate::stop::stopper;
    use nitride_protocol::KeyName;
    use std::io::{self, Read};
    use std::time::Duration;

    #[test]
    fn a_unit_whose_reader_gets_no_thread_reads_more_than_a_credential_may_have() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (stopper, stop) = stopper().unwrap();
        let reading = std::thread::spawn(move || {
            let most = (1 << 20) + 1;
            let mut read = Vec::new();
            let stream = UnixStream::connect(path).unwrap();
            stream.take(most).read_to_end(&mut read).unwrap();
            drop(stopper);
            read.len() as u64 == most
        });
        let service = Service {
            socket: "credentials",
            seats: 1,
            serve: |_: &UnixStream, _: &SocketAddr| (),
            turn_away,
        };
        accept_with((&listener, Vec::new()), &stop, &service, &|_| {
            Err(io::ErrorKind::WouldBlock.into())
        });
        assert!(reading.join().unwrap(), "an end is an empty credential");
    }

    #[test]
    fn a_unit_takes_no_seat_of_another() {
        let known: Vec<_> = ["a.service", "b.service", "b.service"]
            .map(|unit| Credential {
                unit: unit.to_owned(),
                name: "c".to_owned(),
                key: KeyName::parse("k").unwrap().to_owned(),
                timeout: Duration::ZERO,
            })
            .into();
        assert_eq!(seats(&known), 2 + OTHER_SEATS);
        let seats = Seats::default();
        let taken = [(); SEATS_OF_A_UNIT].map(|()| seats.of("a.service").unwrap());
        let refused = seats.of("a.service").unwrap_err();
        assert!(matches!(refused, NotAdmitted::NoSeat), "{refused:?}");
        let other = seats.of("b.service").unwrap();
        drop(taken);
        let again = seats.of("a.service").unwrap();
        assert_eq!(seats.taken().len(), 2);
        drop((other, again));
        assert!(seats.taken().is_empty());
    }
}
