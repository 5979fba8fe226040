//! Connections: bounded in number, in the time each step may take, and in how long they live.
//!
//! A slow client holds one of the connections and nothing else: the handshake and each request's
//! head have a time-out (which also ends idle connections), the body has its own, and the whole
//! connection has a lifetime, so that one that does not read its answers ends, too. A source that
//! opens ever new ones has its share of the slots, and the rest stay for others. Where others wait
//! for a slot, who has its answer and asks nothing gives its own up.

use crate::admin::ClientChain;
use crate::audit::entry::{Event, Kind};
use crate::http::{ATTEST, AUTH, Source};
use crate::service::Service;
use crate::slots::{FreeSlot, Slot, Slots};
use crate::source::Network;
use crate::tls::Offer;
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

/// The head of a request: a token as a header is its largest part.
const MAX_HEAD_LEN: usize = 32 * 1024;
const MAX_HEADERS: usize = 64;
/// Where all slots are taken, a connection may be idle for this part of what it may be else. A fleet
/// that boots keeps connections in case it needs more, and those behind it have deadlines.
const CROWDED: u32 = 20;
/// After a failed accept (out of descriptors, mostly), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// So many wait for a slot before the kernel drops them, which costs each of them seconds; it takes
/// no more than net.core.somaxconn, 4096 by default.
const BACKLOG: u32 = 4096;

/// Listens.
pub(crate) fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart does not wait for connections that have ended.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves connections until `stopping` turns true, then lets open requests end for as long as the
/// limits say.
pub(crate) async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    let limits = service.limits;
    let slots = Slots::new(&limits);
    let mut connections = JoinSet::new();
    let until_stopped = stopping.clone();
    loop {
        // A slot first: above the bound, clients wait in the kernel's queue.
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer, free)) => {
                let Some(slot) = slots.claim(free, Network::of(peer.ip())) else {
                    // Not worth a line of the log for each: whoever floods would fill that, too.
                    tracing::debug!(%peer, "source has its connections already");
                    continue;
                };
                connections.spawn(connection(
                    stream,
                    peer,
                    slot,
                    service.clone(),
                    router.clone(),
                    until_stopped.clone(),
                ));
            }
            Err(error) => {
                tracing::error!(%error, "accept connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let drained = timeout(limits.drain, async {
        while connections.join_next().await.is_some() {}
        // Also those whose connections are gone.
        service.acts.end().await;
    });
    if drained.await.is_err() {
        tracing::warn!(connections = connections.len(), "requests were cut off");
    }
    tell_cut_off(&service);
}

/// One entry for what admins had begun and has no outcome in the audit.
fn tell_cut_off(service: &Service) {
    let acts = service.acts.cut_off();
    let Ok(count @ 1..) = u64::try_from(acts.len()) else {
        return;
    };
    let what = acts.join(", ");
    tracing::error!(count, what, "acts of admins were cut off");
    let reason = "the service ended before these had; look what the store has";
    let cut_off = Event {
        what: what.into(),
        outcome: "cut-off".into(),
        count,
        ..Event::own(Kind::Admin, reason)
    };
    service.watch.note(&cut_off, service.clock.wall_secs());
}

async fn accept(
    listener: &TcpListener,
    slots: &Slots,
) -> std::io::Result<(TcpStream, SocketAddr, FreeSlot)> {
    let free = slots.free().await?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, free))
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    slot: Slot,
    service: Arc<Service>,
    router: Router,
    stopping: watch::Receiver<bool>,
) {
    // Answers are small and complete: waiting to coalesce them only costs time.
    let _ = stream.set_nodelay(true);
    // The certificate that holds now; a renewal is for new connections.
    let tls = service.current().tls.as_deref().map(Offer::config);
    match tls {
        None => speak(stream, (peer, None), &slot, &service, router, stopping).await,
        Some(tls) => {
            let handshake = TlsAcceptor::from(tls).accept(stream);
            match timeout(service.limits.header_timeout, handshake).await {
                Ok(Ok(stream)) => {
                    let chain = ClientChain::new(stream.get_ref().1.peer_certificates());
                    speak(stream, (peer, chain), &slot, &service, router, stopping).await;
                }
                Ok(Err(error)) => tracing::debug!(%peer, %error, "tls handshake"),
                Err(_) => tracing::debug!(%peer, "tls handshake timed out"),
            }
        }
    }
    drop(slot);
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    (peer, chain): (SocketAddr, Option<ClientChain>),
    slot: &Slot,
    service: &Service,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    let source = Source(peer.ip());
    let idle = Idle::default();
    let answer = service_fn(|mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(source);
        if let Some(chain) = &chain {
            request.extensions_mut().insert(chain.clone());
        }
        // A guest that has a challenge makes evidence, which may take it seconds, and one that has
        // attested asks for what it came for.
        let is_last = ![AUTH, ATTEST].contains(&request.uri().path());
        // A router is always ready.
        let answer = router.clone().call(request.map(Body::new));
        let idle = &idle;
        async move {
            idle.set(None);
            let answer = answer.await;
            idle.set(is_last.then(Instant::now));
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(service.limits.header_timeout)
        .max_buf_size(MAX_HEAD_LEN)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    let end = Instant::now() + service.limits.connection_lifetime;
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = sleep_until(end) => None,
        () = gives_way(&idle, slot, service.limits.header_timeout / CROWDED) => None,
        _ = stopping.wait_for(|stopping| *stopping) => None,
    };
    let ended = match ended {
        Some(ended) => Ok(ended),
        None => {
            // The request that is being answered is the last one.
            connection.as_mut().graceful_shutdown();
            timeout(service.limits.drain, connection).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%peer, %error, "connection"),
        Err(_) => tracing::debug!(%peer, "connection was cut off"),
    }
}

/// Since when a connection has had its answer and asked nothing; `None` while more is to come.
#[derive(Default)]
struct Idle(Mutex<Option<Instant>>);

impl Idle {
    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn lasts(&self, at_least: Duration) -> bool {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() >= at_least)
    }
}

/// Until the connection has been idle for so long, and others wait for its slot.
async fn gives_way(idle: &Idle, slot: &Slot, patience: Duration) {
    while !(slot.is_wanted() && idle.lasts(patience)) {
        sleep(patience / 2).await;
    }
}
