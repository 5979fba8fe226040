//! Connections and their requests.

use crate::caller::{Admitted, Gate};
use crate::device::{Device, DeviceError};
use crate::tell;
use nitride_ipc::{AcceptError, Connection, Listener, RecvError};
use nitride_protocol::limits::{MAX_EVIDENCE_LEN, MAX_PACKET_LEN};
use nitride_protocol::quote::{EvidenceReply, EvidenceRequest, QuoteOperation};
use nitride_protocol::{Message, RequestError, Status};
use nitride_protocol::{open_request, refusal_of, write_refusal, write_reply};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sd_notify::NotifyState;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Connections at a time. vhsmd needs one; a reconnect may overlap.
const MAX_CONNECTIONS: usize = 4;
/// A request has two short fields.
const MAX_REQUEST_LEN: usize = 512;
/// How long a caller that does not read may hold a thread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for a descriptor when there is none.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// Longest sleep between looks at the clock.
const MAX_SLEEP: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    pub(crate) gate: Gate,
    pub(crate) device: Device,
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
        // Whoever calls stays in the queue for the helper that is started in our place.
        if server.device.has_ended() {
            anyhow::bail!("the device's thread has ended by a fault");
        }
        if !is_called {
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

fn somebody_calls(listener: &Listener, sleep: Duration) -> anyhow::Result<bool> {
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

fn serve(server: &Server, connection: &Connection, admitted: &Admitted) {
    if let Err(error) = connection.set_write_timeout(Some(WRITE_TIMEOUT)) {
        tracing::warn!(error = chain(&error), "connection refused");
        return;
    }
    let mut packet = [0; MAX_REQUEST_LEN];
    let mut reply = vec![0; MAX_PACKET_LEN];
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
        let Some(len) = answer(&server.device, admitted, request, &mut reply) else {
            return;
        };
        if let Err(error) = connection.send(reply.get(..len).unwrap_or_default()) {
            tracing::info!(error = chain(&error), "connection closed");
            return;
        }
    }
}

/// Writes the answer to one request and returns its length; `None` closes the connection.
fn answer(device: &Device, admitted: &Admitted, request: &[u8], reply: &mut [u8]) -> Option<usize> {
    let (id, status) = match evidence_for(device, admitted, request) {
        Ok((id, evidence)) => {
            let result = EvidenceReply {
                tee: evidence.tee.as_str(),
                primary_evidence: &evidence.primary_evidence,
                additional_evidence: &evidence.additional_evidence,
            };
            match write_reply(reply, id, Status::Ok, &result) {
                Ok(len) => return Some(len),
                Err(error) => {
                    tracing::error!(error = chain(&error), "evidence is too large to send");
                    (id, Status::EvidenceUnavailable)
                }
            }
        }
        Err(Refusal::Answer { id, status }) => (id, status),
        Err(Refusal::Close) => return None,
    };
    write_refusal(reply, id, status).ok()
}

enum Refusal {
    Answer { id: u32, status: Status },
    Close,
}

fn evidence_for(
    device: &Device,
    admitted: &Admitted,
    request: &[u8],
) -> Result<(u32, nitride_evidence::Evidence), Refusal> {
    let (head, params) = open_request(request).map_err(|RequestError { id, error }| {
        tracing::warn!(error = chain(&error), "malformed request");
        let status = refusal_of(&error);
        id.map_or(Refusal::Close, |id| Refusal::Answer { id, status })
    })?;
    let id = head.id;
    let refuse = |status| Refusal::Answer { id, status };
    let Some(QuoteOperation::Evidence) = QuoteOperation::from_wire(head.operation) else {
        return Err(refuse(Status::UnknownOperation));
    };
    let wanted = EvidenceRequest::decode_last(params).map_err(|error| {
        tracing::warn!(error = chain(&error), "malformed request");
        refuse(refusal_of(&error))
    })?;
    if wanted.tee != device.tee().as_str() {
        tracing::error!(
            wanted = wanted.tee,
            configured = %device.tee(),
            "vhsmd wants evidence of another TEE: its `tee` and ours must be the same"
        );
        return Err(refuse(Status::EvidenceUnavailable));
    }
    let began = Instant::now();
    let evidence = device.collect(wanted.report_data).map_err(|error| {
        tracing::error!(error = chain(&error), "no evidence");
        refuse(match error {
            DeviceError::TimedOut => Status::TimedOut,
            DeviceError::Busy | DeviceError::Stopped | DeviceError::Collect(_) => {
                Status::EvidenceUnavailable
            }
        })
    })?;
    let fits = |text: &str| text.len() <= MAX_EVIDENCE_LEN;
    if !fits(&evidence.primary_evidence) || !fits(&evidence.additional_evidence) {
        tracing::error!("evidence is larger than {MAX_EVIDENCE_LEN} bytes");
        return Err(refuse(Status::EvidenceUnavailable));
    }
    admitted.recheck().map_err(|error| {
        tracing::warn!(error = chain(&error), "evidence withheld");
        Refusal::Close
    })?;
    tracing::info!(tee = %evidence.tee, took_ms = began.elapsed().as_millis(), "evidence given");
    Ok((id, evidence))
}

/// An error with its sources, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
