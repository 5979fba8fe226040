//! HTTP to vendors: one request at a time, at a pace, each bounded in time and length.

use super::patience::Patience;
use super::{Limits, Trust, trust};
use crate::obstacle::{Obstacle, told};
use bytes::Bytes;
use http::header::{RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use std::net::IpAddr;
use std::time::Duration;
use thiserror::Error;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Length in bytes at which a head that has no end yet is given up; the last read may go beyond it.
/// PCS sends a chain of certificates in one header.
const MAX_HEAD_LEN: usize = 65_536;

/// One answer that is a success.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Asks one thing after the other.
#[derive(Debug)]
pub(super) struct Asker {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    limits: Limits,
    not_before: Instant,
}

/// Why there is no answer.
#[derive(Debug, Error)]
enum Fault {
    #[error("answered {0}")]
    Status(StatusCode),
    #[error("is busy ({status}) and asks for {} of patience", waits(.retry_after))]
    Busy {
        status: StatusCode,
        retry_after: Option<Duration>,
    },
    #[error("did not answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    #[error("answered with more than {0} bytes")]
    TooLong(usize),
    #[error("cannot be asked: {0}")]
    Transport(String),
}

impl Asker {
    pub(super) fn new(trust: &Trust, limits: Limits) -> Result<Self, Obstacle> {
        Ok(Self::of_tls(trust::client_config(trust)?, limits))
    }

    fn of_tls(tls: ClientConfig, limits: Limits) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(limits.connect_timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            // A connection that is kept is one that a slow service may have closed.
            .pool_max_idle_per_host(0)
            .http1_max_buf_size(MAX_HEAD_LEN)
            .build(connector);
        Self {
            client,
            limits,
            not_before: Instant::now(),
        }
    }

    /// The answer to a GET, of at most `max_len` bytes. What passes is asked for again, as long as
    /// there is patience.
    pub(super) async fn ask(&mut self, url: &str, max_len: usize) -> Result<Answer, Obstacle> {
        let uri = safe_uri(url)?;
        let mut patience = Patience::new(&self.limits);
        loop {
            sleep_until(self.not_before).await;
            let asked = timeout(self.limits.request_timeout, self.ask_once(&uri, max_len)).await;
            self.not_before = Instant::now() + self.limits.gap;
            let fault = match asked {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(fault)) => fault,
                Err(_) => Fault::TimedOut(self.limits.request_timeout),
            };
            let wait = fault
                .passes()
                .then(|| patience.after_failure(fault.wanted_wait()));
            match wait.flatten() {
                Some(wait) => sleep(wait).await,
                None => return Err(Obstacle::of(url, told(&fault), fault.remedy())),
            }
        }
    }

    async fn ask_once(&self, uri: &Uri, max_len: usize) -> Result<Answer, Fault> {
        let agent = concat!("nitride-collateral/", env!("CARGO_PKG_VERSION"));
        let request = Request::get(uri.clone())
            .header(USER_AGENT, agent)
            .body(Empty::new())
            .map_err(|fault| Fault::Transport(told(&fault)))?;
        let response = self.client.request(request).await;
        let response = response.map_err(|fault| Fault::Transport(told(&fault)))?;
        let (head, body) = response.into_parts();
        match head.status {
            StatusCode::OK => {}
            status @ (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => {
                let retry_after = retry_after(&head.headers);
                return Err(Fault::Busy {
                    status,
                    retry_after,
                });
            }
            // Nor is a redirect followed: where to ask is the operator's to say.
            status => return Err(Fault::Status(status)),
        }
        let body = Limited::new(body, max_len).collect().await;
        let body = body.map_err(|fault| match fault.is::<LengthLimitError>() {
            true => Fault::TooLong(max_len),
            false => Fault::Transport(told(fault.as_ref())),
        })?;
        Ok(Answer {
            headers: head.headers,
            body: body.to_bytes().into(),
        })
    }
}

impl Fault {
    /// Whether it may be otherwise in a moment.
    fn passes(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::TimedOut(_) | Self::Transport(_) => true,
            Self::Status(status) => status.is_server_error(),
            Self::TooLong(_) => false,
        }
    }

    fn wanted_wait(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    fn remedy(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "try again later; what was fetched is kept",
            Self::TimedOut(_) => "see whether the address is right and can be reached from here",
            Self::Status(StatusCode::NOT_FOUND) => {
                "see whether chip, TCB, FMSPC and the service's address are right"
            }
            Self::Status(_) => "see what the service says of it",
            Self::TooLong(_) => "see whether this is the vendor's service",
            Self::Transport(_) => "see that it can be reached, and that its CA is trusted",
        }
    }
}

/// What is fetched in the clear anybody on the way may hold back, or exchange for what was valid
/// once: that is for this machine alone.
fn safe_uri(url: &str) -> Result<Uri, Obstacle> {
    let refuse = |reason: &str| Obstacle::of(url, reason, "write https://HOST[:PORT]");
    let uri: Uri = url.parse().map_err(|_| refuse("is not an address"))?;
    let host = uri.host().ok_or_else(|| refuse("names no host"))?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_loopback => Ok(uri),
        _ => Err(refuse("is neither https nor at a loopback address")),
    }
}

/// A date in its place is not read: whose clock is right is not known here.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let secs = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse();
    secs.ok().map(Duration::from_secs)
}

fn waits(retry_after: &Option<Duration>) -> String {
    retry_after.map_or("an unnamed time".to_owned(), |wait| {
        format!("{} s", wait.as_secs())
    })
}

#[cfg(test)]
mod tests;
