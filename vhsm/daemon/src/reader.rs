//! Readers to the end: systemd-cryptsetup reads its key file, and the service manager a unit's
//! credential, from a stream socket until it is closed. Neither sends a request. The connection is
//! held open while what is missing is fetched, and nothing is said before it is there.

use crate::daemon::Daemon;
use crate::event::Event;
use crate::rounds::{Moment, Parking, Waiter, Woken};
use crate::seal::Stake;
use crate::stop::{StopSignal, Wait};
use nitride_ipc::peer::PeerIdentity;
use nitride_protocol::Status;
use nitride_secmem::SecretBuf;
use nitride_vault::{ForVolume, Now, Refusal, VolumeRefusal, Want};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

const STACK_LEN: usize = 256 * 1024;
/// How long what is written may wait to be read.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Before the next try to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long those who are served may take to be told that vhsmd stops.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Between two tries: doubled each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often a wait looks whether somebody still listens.
const LOOK_UP: Duration = Duration::from_millis(500);
/// Tries in a row that may follow each other without a pause: first the gate, then the key.
const MAX_AT_ONCE: u8 = 4;

const NOBODY_WAITS: &str = "nobody waits for it any more";

/// What a reader's thread does.
type Work = Box<dyn FnOnce() + Send>;

/// How readers of one kind are served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service<S, T> {
    /// What the log calls their socket.
    pub(crate) socket: &'static str,
    /// How many at a time.
    pub(crate) seats: usize,
    /// Serves one.
    pub(crate) serve: S,
    /// Turns one away for whom there is no thread, before the connection is closed.
    pub(crate) turn_away: T,
}

/// Accepts readers until `stop`, those of `earlier` first, and gives each a thread, as many at a time
/// as there are seats. Who finds none waits unaccepted; who has one when vhsmd stops is told so.
pub(crate) fn accept_readers(
    accepting: (&UnixListener, Vec<(UnixStream, SocketAddr)>),
    stop: &StopSignal,
    service: &Service<
        impl Fn(&UnixStream, &SocketAddr) + Clone + Send + 'static,
        impl Fn(&UnixStream),
    >,
) {
    let socket = service.socket;
    accept_with(accepting, stop, service, &|work| {
        let thread = thread::Builder::new().name(format!("{socket}-reader"));
        thread.stack_size(STACK_LEN).spawn(work).map(|_| ())
    });
}

/// The same, with threads that `start` starts.
pub(crate) fn accept_with(
    (listener, mut earlier): (&UnixListener, Vec<(UnixStream, SocketAddr)>),
    stop: &StopSignal,
    service: &Service<
        impl Fn(&UnixStream, &SocketAddr) + Clone + Send + 'static,
        impl Fn(&UnixStream),
    >,
    start: &dyn Fn(Work) -> io::Result<()>,
) {
    let (socket, seats) = (service.socket, service.seats);
    let seat = Arc::new(());
    let taken = || Arc::strong_count(&seat) - 1;
    while !earlier.is_empty() || stop.wait_for(listener.as_fd()) == Wait::Ready {
        if taken() >= seats {
            thread::sleep(ACCEPT_PAUSE);
            continue;
        }
        let next = earlier.pop().map_or_else(|| listener.accept(), Ok);
        let accepted = next.and_then(|(stream, address)| {
            let (serve, held) = (service.serve.clone(), Arc::clone(&seat));
            let stream = Arc::new(stream);
            let theirs = Arc::clone(&stream);
            let started = start(Box::new(move || {
                nitride_secmem::block_signals_on_this_thread();
                serve(&theirs, &address);
                drop((theirs, held));
            }));
            // What the thread was to own is gone, and this is the last of the connection: its end
            // alone would be an answer.
            started.inspect_err(|_| (service.turn_away)(&stream))
        });
        if let Err(error) = accepted {
            let error = &error;
            Event::NotAccepting { socket, error }.emit();
            thread::sleep(ACCEPT_PAUSE);
        }
    }
    let deadline = Instant::now() + STOP_GRACE;
    while taken() > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Somebody who was let in, and waits.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    stream: &'a UnixStream,
    peer: &'a PeerIdentity,
    deadline: Instant,
}

/// Why a reader gets nothing.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It was refused for good: an entry of the audit.
    Denied(String),
    /// It did not come in time, or nobody waits for it any more.
    GaveUp(String),
}

/// What one try came to.
enum Try {
    Secret(ForVolume),
    /// Something has just arrived.
    AtOnce,
    /// Not there yet; the wait is over, or there is none, so try again after a pause.
    Later(String),
    Never(String),
}

/// Asks the vault for what the reader is to get.
type Ask<'f> = dyn Fn(Now) -> Result<ForVolume, VolumeRefusal> + 'f;

impl<'a> Reader<'a> {
    /// A reader that is served for at most `patience`.
    pub(crate) fn new(stream: &'a UnixStream, peer: &'a PeerIdentity, patience: Duration) -> Self {
        let deadline = Instant::now() + patience;
        Self {
            stream,
            peer,
            deadline,
        }
    }

    /// Asks, fetches and asks again until the secret is there or the time is up. `waits` is told
    /// the reason of each wait.
    ///
    /// # Errors
    /// [`Unread`].
    pub(crate) fn wait_for(
        &self,
        daemon: &Daemon,
        ask: &Ask<'_>,
        waits: &dyn Fn(&str),
    ) -> Result<ForVolume, Unread> {
        let mut pause = FIRST_PAUSE;
        let mut at_once = 0;
        loop {
            let tried = match self.attempt(daemon, ask) {
                Try::AtOnce if at_once < MAX_AT_ONCE => {
                    at_once += 1;
                    continue;
                }
                Try::AtOnce => Try::Later("it went as soon as it had arrived".to_owned()),
                tried => tried,
            };
            at_once = 0;
            match tried {
                Try::Secret(_) if self.has_gone() => {
                    return Err(Unread::GaveUp(NOBODY_WAITS.to_owned()));
                }
                Try::Secret(found) => return Ok(found),
                Try::Never(reason) => return Err(Unread::Denied(reason)),
                Try::AtOnce => {}
                Try::Later(reason) => {
                    if !self.goes_on(daemon) {
                        return Err(Unread::GaveUp(reason));
                    }
                    waits(&reason);
                    self.rest(daemon, pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Writes the secret, straight from the arena into the socket and without a newline, and the
    /// end.
    ///
    /// # Errors
    /// Of the socket; then it was not read, or not whole.
    pub(crate) fn give(&self, secret: &SecretBuf) -> io::Result<()> {
        self.stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        { self.stream }.write_all(secret.expose())?;
        self.stream.shutdown(Shutdown::Write)
    }

    fn attempt(&self, daemon: &Daemon, ask: &Ask<'_>) -> Try {
        let seen = daemon.waiting.moment();
        let unchanged = daemon.vault.seal_changes();
        // What is released is not needed again, but its use is counted.
        let stake = |secret: &ForVolume| match secret.has_changed {
            true => Stake::Rests,
            false => Stake::Nothing,
        };
        let want = match ask(Daemon::now()) {
            // Its use counts after a reboot, too.
            Ok(secret) => match daemon.settle_seal(unchanged, |_| stake(&secret)) {
                Ok(()) => return Try::Secret(secret),
                Err(error) => return Try::Later(error.to_string()),
            },
            Err(VolumeRefusal::Want(want)) => want,
            // The helper may not be there yet.
            Err(VolumeRefusal::Refused(
                refusal @ (Refusal::ArenaFull | Refusal::ReleaseNotMeasured),
            )) => {
                return Try::Later(refusal.to_string());
            }
            Err(VolumeRefusal::Refused(refusal)) => return Try::Never(refusal.to_string()),
            Err(refusal @ VolumeRefusal::Denied) => return Try::Never(refusal.to_string()),
        };
        self.park(daemon, want, seen)
    }

    /// Waits in the same parking lot as requests do, so that everybody shares one round.
    fn park(&self, daemon: &Daemon, want: Want, seen: Moment) -> Try {
        let (told, outcome) = channel();
        let now = Daemon::now();
        let left_ms = u64::try_from(self.left().as_millis()).unwrap_or(u64::MAX);
        let deadline_ms = now.boot_ms.saturating_add(left_ms);
        let waiter = Waiter::Reader(told);
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
                Err(RecvTimeoutError::Timeout) if self.has_gone() || daemon.is_stopping() => {
                    return Try::Never(NOBODY_WAITS.to_owned());
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Pauses, for as long as there is reason to go on.
    fn rest(&self, daemon: &Daemon, pause: Duration) {
        let end = Instant::now() + pause;
        while self.goes_on(daemon) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(LOOK_UP).min(self.left()));
        }
    }

    fn goes_on(&self, daemon: &Daemon) -> bool {
        !self.left().is_zero() && !daemon.is_stopping() && !self.has_gone()
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Whether the peer has hung up, or has ended and left the connection to somebody else. That it
    /// will write nothing, which both readers say at once, is not that: only both directions closed
    /// is a hang-up.
    fn has_gone(&self) -> bool {
        if !self.peer.still_alive() {
            return true;
        }
        let mut watched = [PollFd::new(self.stream.as_fd(), PollFlags::empty())];
        match poll(&mut watched, PollTimeout::ZERO) {
            Ok(_) => watched[0].any() == Some(true),
            Err(_) => false,
        }
    }
}

fn later(woken: Woken) -> Try {
    match woken {
        Ok(()) => Try::AtOnce,
        Err(status) => Try::Later(status.to_string()),
    }
}
