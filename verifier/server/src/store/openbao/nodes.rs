//! The nodes of one cluster: one that answers is asked first, and what one cannot say now, another is
//! asked, until the request's own deadline.

use crate::config::LoginMethod;
use crate::config::OpenBao;
use crate::entropy::{KernelEntropy, draw_array};
use crate::error_chain::chain;
use crate::store::StoreError;
use crate::tls::{TlsError, client_config};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use nitride_openbao::answer::{self, Class};
use nitride_openbao::{Method, Request, TOKEN_HEADER, Token};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use zeroize::Zeroizing;

/// Requests under way at once; the others wait for their turn, as long as they may.
const MAX_IN_FLIGHT: usize = 64;
const MAX_HEAD_LEN: usize = 65_536;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// When every node was asked in vain, the next turn waits so long, and each further one longer.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LAST_PAUSE: Duration = Duration::from_millis(400);

/// All nodes, and which of them answered last.
#[derive(Debug)]
pub(super) struct Nodes {
    nodes: Vec<Node>,
    preferred: AtomicUsize,
    attempt: Duration,
    in_flight: Semaphore,
}

#[derive(Debug)]
struct Node {
    url: String,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// What a node said that could say something.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Zeroizing<Vec<u8>>,
    /// An attempt before this one was not answered: what it asked for may have been done.
    pub(super) may_be_done: bool,
}

/// No node could.
#[derive(Debug)]
pub(super) struct Failed {
    reason: String,
    may_be_done: bool,
}

impl Failed {
    pub(super) fn into_error(self, may_be_done: bool) -> StoreError {
        StoreError::Unavailable {
            reason: self.reason,
            may_be_done: self.may_be_done || may_be_done,
        }
    }
}

/// What a node said it will not do.
pub(super) fn refused(answer: &Answer) -> StoreError {
    StoreError::Refused {
        status: answer.status,
        told: answer::told(&answer.body),
    }
}

impl Nodes {
    /// Reads the CA and the client's certificate; connects to nobody yet.
    pub(super) fn open(config: &OpenBao) -> Result<Self, TlsError> {
        let identity = match &config.login.method {
            LoginMethod::Certificate {
                certificate, key, ..
            } => Some((certificate.as_path(), key.as_path())),
            _ => None,
        };
        let tls = client_config(config.ca.as_deref(), identity)?;
        let nodes = config.addresses.iter().map(|url| {
            let mut tcp = HttpConnector::new();
            tcp.enforce_http(false);
            tcp.set_nodelay(true);
            tcp.set_connect_timeout(Some(config.attempt));
            let schemes = HttpsConnectorBuilder::new().with_tls_config(tls.clone());
            // An address is one or the other: https is never left for http.
            let connector = match url.starts_with("http://") {
                true => schemes.https_or_http(),
                false => schemes.https_only(),
            };
            let client = Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(KEEP_ALIVE)
                .pool_max_idle_per_host(MAX_IN_FLIGHT)
                .http1_max_buf_size(MAX_HEAD_LEN)
                .build(connector.enable_http1().wrap_connector(tcp));
            Node {
                url: url.clone(),
                client,
            }
        });
        Ok(Self {
            nodes: nodes.collect(),
            preferred: AtomicUsize::new(0),
            attempt: config.attempt,
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
        })
    }

    /// Has the next request asked of another node first.
    pub(super) fn prefer_another(&self) {
        let first = self.preferred.load(Ordering::Relaxed);
        self.preferred
            .store(first.wrapping_add(1), Ordering::Relaxed);
    }

    /// Asks one node after the other, over and over, until one says something that another would say
    /// too. Repeating is right for whatever names the version that it replaces.
    pub(super) async fn send(
        &self,
        request: &Request,
        token: Option<&Token>,
        max_len: usize,
        until: Instant,
    ) -> Result<Answer, Failed> {
        let mut failed = Failed {
            reason: "it was not this request's turn in time".to_owned(),
            may_be_done: false,
        };
        let turn = timeout_at(until, self.in_flight.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(failed);
        };
        let mut pause = FIRST_PAUSE;
        loop {
            let first = self.preferred.load(Ordering::Relaxed);
            for offset in 0..self.nodes.len() {
                let index = first.wrapping_add(offset).wrapping_rem(self.nodes.len());
                let Some(node) = self.nodes.get(index) else {
                    continue;
                };
                let attempt_until = until.min(Instant::now() + self.attempt);
                let attempt = node.attempt(request, token, max_len);
                match timeout_at(attempt_until, attempt).await {
                    Ok(Ok(mut answer)) if Class::of(answer.status) != Class::Elsewhere => {
                        self.preferred.store(index, Ordering::Relaxed);
                        answer.may_be_done = failed.may_be_done;
                        return Ok(answer);
                    }
                    Ok(Ok(answer)) => {
                        let told = answer::told(&answer.body);
                        failed.reason = format!("{} says {}: {told}", node.url, answer.status);
                        // A leader that steps down may say so of what it has just written.
                        failed.may_be_done = true;
                    }
                    Ok(Err(NotAnswered { reason, was_sent })) => {
                        failed.reason = format!("{}: {reason}", node.url);
                        failed.may_be_done |= was_sent;
                    }
                    Err(_) => {
                        failed.reason = format!("{} does not answer in time", node.url);
                        failed.may_be_done = true;
                    }
                }
                if Instant::now() >= until {
                    return Err(failed);
                }
            }
            let next = Instant::now() + pause + jitter(pause);
            if next >= until {
                return Err(failed);
            }
            sleep(next - Instant::now()).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

/// Why one attempt gave nothing.
struct NotAnswered {
    reason: String,
    /// Whether the node may have had the request.
    was_sent: bool,
}

impl Node {
    async fn attempt(
        &self,
        request: &Request,
        token: Option<&Token>,
        max_len: usize,
    ) -> Result<Answer, NotAnswered> {
        let not_sent = |error: http::Error| NotAnswered {
            reason: error.to_string(),
            was_sent: false,
        };
        let method = match request.method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
        };
        let agent = concat!("nitride-provisiond/", env!("CARGO_PKG_VERSION"));
        let mut builder = http::Request::builder()
            .method(method)
            .uri(format!("{}{}", self.url, request.path))
            .header(USER_AGENT, agent)
            .header(CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            let value = HeaderValue::from_str(token.expose());
            let mut value = value.map_err(|error| not_sent(error.into()))?;
            value.set_sensitive(true);
            builder = builder.header(TOKEN_HEADER, value);
        }
        let body = Full::new(Bytes::copy_from_slice(&request.body));
        let request = builder.body(body).map_err(not_sent)?;
        let response = self.client.request(request).await;
        let response = response.map_err(|error| NotAnswered {
            reason: chain(&error),
            was_sent: !error.is_connect(),
        })?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), max_len).collect().await;
        let body = body.map_err(|error| NotAnswered {
            reason: chain(error.as_ref()),
            was_sent: true,
        })?;
        Ok(Answer {
            status,
            body: Zeroizing::new(body.to_bytes().into()),
            may_be_done: false,
        })
    }
}

/// Up to half as much again, so that replicas that failed together do not come back together.
fn jitter(pause: Duration) -> Duration {
    let drawn = draw_array::<2>(&mut KernelEntropy).map_or(0, u16::from_be_bytes);
    pause * u32::from(drawn) / (2 * 65_536)
}
