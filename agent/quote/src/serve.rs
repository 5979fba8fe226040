//! Connections and their requests.

use crate::answer::{Desk, chain};
use crate::caller::{Admitted, Gate};
use crate::tell;
use nitride_ipc::{AcceptError, Connection, Listener, RecvError};
use nitride_protocol::limits::{MAX_PACKET_LEN, MAX_PLATFORM_PARAMS_LEN};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sd_notify::NotifyState;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use zeroize::{Zeroize, Zeroizing};

/// Connections at a time. vhsmd has five at most (four for evidence, one for the seal), each of which
/// may begin before the one before it has ended here, with its buffers erased.
const MAX_CONNECTIONS: usize = 16;
/// The longest request has a platform's params beside short fields.
const MAX_REQUEST_LEN: usize = MAX_PLATFORM_PARAMS_LEN + 256;
/// How long a caller that does not read may hold a thread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for a descriptor when there is none.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// Longest sleep between looks at the clock.
const MAX_SLEEP: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    pub(crate) gate: Gate,
    pub(crate) desk: Desk,
}

/// Serves until the process ends, or until nobody was connected for `idle_exit`.
pub(crate) fn run(
    listener: &Listener,
    server: Arc<Server>,
    idle_exit: Option<Duration>,
) -> anyhow::Result<()> {
    let connections = Arc::new(AtomicUsize::new(0));
    let watchdog = sd_notify::watchdog_enabled().map(|period| period / 2);
    let mut last_busy = Instant::now();
    loop {
        // Whoever calls stays in the queue for the helper that is started in our place. The watchdog is
        // told nothing any more, so that systemd ends us if a library does not let us.
        if server.desk.device.has_ended() {
            anyhow::bail!("the device's thread has ended by a fault");
        }
        if let Some(taken) = server.desk.device.hangs_for() {
            let secs = taken.as_secs();
            anyhow::bail!("the device has not answered for {secs} seconds: it hangs");
        }
        if watchdog.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
        if connections.load(Ordering::Acquire) > 0 {
            last_busy = Instant::now();
        }
        let idle_left = idle_exit.map(|idle| idle.saturating_sub(last_busy.elapsed()));
        if idle_left.is_some_and(|left| left.is_zero()) {
            tracing::info!("idle: leaving the socket to systemd");
            tell(&[NotifyState::Stopping]);
            return Ok(());
        }
        let sleep = [watchdog, idle_left].into_iter().flatten().min();
        let sleep = sleep.unwrap_or(MAX_SLEEP).min(MAX_SLEEP);
        let is_called = somebody_calls(listener, sleep)?;
        let device = &server.desk.device;
        if !is_called || device.has_ended() || device.hangs_for().is_some() {
            continue;
        }
        match listener.accept() {
            Ok(connection) => {
                last_busy = Instant::now();
                take_in(connection, &server, &connections);
            }
            Err(AcceptError::Exhausted(error)) => {
                tracing::warn!(%error, "no room for another connection");
                thread::sleep(EXHAUSTED_PAUSE);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

pub(crate) fn somebody_calls(listener: &Listener, sleep: Duration) -> anyhow::Result<bool> {
    let mut watched = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(sleep).unwrap_or(PollTimeout::MAX);
    match poll(&mut watched, timeout) {
        Ok(ready) => Ok(ready > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Checks who calls, and serves them on a thread of their own. Whoever is not served is not
/// answered either: the connection is closed, and the log says why.
fn take_in(connection: Connection, server: &Arc<Server>, connections: &Arc<AtomicUsize>) {
    let admitted = match server.gate.admit(&connection) {
        Ok(admitted) => admitted,
        Err(error) => {
            tracing::warn!(error = chain(&error), "connection refused");
            return;
        }
    };
    let seat = Seat::take(connections);
    let admitted = Arc::new(admitted);
    let Some(seat) = seat else {
        tracing::warn!(pid = admitted.pid(), "connection refused: too many");
        return;
    };
    let server = Arc::clone(server);
    let spawned = thread::Builder::new()
        .name("connection".to_owned())
        .spawn(move || {
            let _seat = seat;
            serve(&server, &connection, &admitted);
        });
    if let Err(error) = spawned {
        tracing::warn!(%error, "connection refused: no thread");
    }
}

/// One of [`MAX_CONNECTIONS`], given back when dropped.
struct Seat(Arc<AtomicUsize>);

impl Seat {
    /// Only the accepting thread takes seats, so that the check and the addition may be apart.
    fn take(connections: &Arc<AtomicUsize>) -> Option<Self> {
        if connections.load(Ordering::Acquire) >= MAX_CONNECTIONS {
            return None;
        }
        connections.fetch_add(1, Ordering::AcqRel);
        Some(Self(Arc::clone(connections)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn serve(server: &Server, connection: &Connection, admitted: &Arc<Admitted>) {
    if let Err(error) = connection.set_write_timeout(Some(WRITE_TIMEOUT)) {
        tracing::warn!(error = chain(&error), "connection refused");
        return;
    }
    let mut packet = [0; MAX_REQUEST_LEN];
    // It may hold a platform's secret until that is sent.
    let mut reply = Zeroizing::new(vec![0; MAX_PACKET_LEN]);
    loop {
        let len = match connection.recv(&mut packet) {
            Ok(Some(len)) => len,
            Ok(None) => return,
            Err(error @ RecvError::Truncated { .. }) => {
                tracing::warn!(error = chain(&error), "connection closed");
                return;
            }
            Err(error) => {
                tracing::info!(error = chain(&error), "connection closed");
                return;
            }
        };
        let request = packet.get(..len).unwrap_or_default();
        let Some(answer) = server.desk.answer(admitted, request, &mut reply) else {
            return;
        };
        let written = reply.get_mut(..answer.len).unwrap_or_default();
        let sent = connection.send(written);
        written.zeroize();
        if let Err(error) = sent {
            tracing::info!(error = chain(&error), "connection closed");
            server.desk.take_back(answer);
            return;
        }
    }
}
