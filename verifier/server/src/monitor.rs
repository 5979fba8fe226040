//! The listener for whoever looks after the machine: figures, and why this replica is not ready. It is
//! local, on a Unix socket or a loopback address, since what it tells is nobody else's.
//!
//! ```text
//!   GET /metrics    OpenMetrics
//!   GET /healthz    200 while the process answers
//!   GET /readyz     200, or 503 with the reasons, one a line
//! ```

use crate::config::MonitorAddress;
use crate::local_socket;
use crate::metrics::exposition;
use crate::service::Service;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

/// Who asks at one time.
const CONNECTIONS: usize = 16;
/// How long one may take to ask, and a whole connection to be served.
const HEADER_PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A socket that nobody is served on yet.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Listens.
pub(crate) async fn bind(address: &MonitorAddress) -> io::Result<Listener> {
    match address {
        MonitorAddress::Loopback(address) => Ok(Listener::Tcp(TcpListener::bind(address).await?)),
        // The service's user and its group, which a scraper can be in.
        MonitorAddress::Unix(path) => Ok(Listener::Unix(local_socket::bind(path, 0o660)?)),
    }
}

/// Serves until `stopping` turns true.
pub(crate) async fn serve(
    listener: Listener,
    service: Arc<Service>,
    mut stopping: watch::Receiver<bool>,
) {
    let router = router(service);
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = free.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = accept(&listener) => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok(stream) => {
                let router = router.clone();
                tokio::spawn(async move {
                    speak(stream, router).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::error!(%error, "accept connection to the figures");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn accept(listener: &Listener) -> io::Result<Box<dyn Stream>> {
    Ok(match listener {
        Listener::Tcp(listener) => Box::new(listener.accept().await?.0),
        Listener::Unix(listener) => Box::new(listener.accept().await?.0),
    })
}

async fn speak(stream: Box<dyn Stream>, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Ok(Err(error)) = timeout(PATIENCE, connection).await {
        tracing::debug!(%error, "connection to the figures");
    }
}

fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(service)
}

async fn metrics(State(service): State<Arc<Service>>) -> Response {
    ([(CONTENT_TYPE, OPENMETRICS)], exposition(&service)).into_response()
}

async fn ready(State(service): State<Arc<Service>>) -> Response {
    let state = service.watch.health.state();
    let mut lines = state.not_ready.clone();
    let status = match lines.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    if lines.is_empty() {
        lines.push("ready".to_owned());
    }
    if let Some(reason) = &state.refused_reload {
        lines.push(format!("the newest reload changed nothing: {reason}"));
    }
    // One tenant's fault takes no replica from the others.
    let current = service.current();
    let judgement = current.judgement.iter();
    lines.extend(judgement.flat_map(|judgement| judgement.faults()));
    if let Some(reason) = &state.refused_renewal {
        lines.push(format!("the renewed certificate is not taken: {reason}"));
    }
    (status, lines.join("\n") + "\n").into_response()
}
