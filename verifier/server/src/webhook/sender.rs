//! Who empties one queue: a notice at a time, each until it is delivered or too old.

use super::queue::{Notice, Queue};
use super::signature::Signer;
use crate::clock::Clock;
use crate::config::WebhookSettings;
use crate::entropy::{KernelEntropy, NoEntropy, draw_array};
use crate::error_chain::chain;
use crate::key_file::KeyFileError;
use crate::tls::{TlsError, client_config};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// One attempt, from the connection to the end of the answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// After an attempt in vain; each further one waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(300);
const MAX_HEAD_LEN: usize = 16 * 1024;
/// Of an answer's body so much is read, so that its connection can be used again.
const MAX_ANSWER_LEN: usize = 16 * 1024;

/// Why a webhook cannot be told anything.
#[derive(Debug, Error)]
pub(crate) enum SenderError {
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

/// One receiver, and what is still to be told to it.
#[derive(Debug)]
pub(crate) struct WebhookSender {
    name: String,
    uri: Uri,
    give_up: Duration,
    signer: Signer,
    queue: Arc<Queue>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Why an attempt delivered nothing.
#[derive(Debug, Error)]
enum NotDelivered {
    #[error("it cannot be signed")]
    NotSigned,
    #[error("the request cannot be put together")]
    Request(#[source] http::Error),
    #[error("{0}")]
    Transport(String),
    #[error("it answered {0}")]
    Refused(StatusCode),
    #[error("it did not answer within {} s", ATTEMPT_TIMEOUT.as_secs())]
    TimedOut,
}

impl WebhookSender {
    /// Reads the pinned CA and the key; connects to nobody yet.
    pub(super) fn open(settings: &WebhookSettings, queue: Arc<Queue>) -> Result<Self, SenderError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(client_config(Some(&settings.ca), None)?)
            .https_only()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEEP_ALIVE)
            .pool_max_idle_per_host(1)
            .http1_max_buf_size(MAX_HEAD_LEN)
            .build(connector);
        Ok(Self {
            name: settings.name.clone(),
            uri: settings.url.clone(),
            give_up: settings.give_up,
            signer: Signer::read(&settings.key)?,
            queue,
            client,
        })
    }

    /// Delivers until `stopping` turns true, and what is left then for as long as `drain`.
    pub(crate) async fn run(
        self,
        clock: Clock,
        mut stopping: watch::Receiver<bool>,
        drain: Duration,
    ) {
        let mut pause = Duration::ZERO;
        loop {
            let turn = async {
                sleep(pause).await;
                let notice = self.queue.next().await;
                self.attempt(&notice, &clock).await
            };
            let delivered = tokio::select! {
                delivered = turn => delivered,
                _ = stopping.wait_for(|stopping| *stopping) => break,
            };
            pause = match delivered {
                true => Duration::ZERO,
                false => (pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE) + jitter(),
            };
        }
        let until = Instant::now() + drain;
        while let Some(notice) = self.queue.first() {
            match timeout_at(until, self.attempt(&notice, &clock)).await {
                Ok(true) => {}
                _ => break,
            }
        }
        let left = self.queue.figures().waiting;
        if left > 0 {
            tracing::warn!(
                webhook = self.name,
                left,
                "notices end with the service; the audit has them"
            );
        }
    }

    /// One attempt at the oldest notice, which is taken off if it was delivered, or is too old.
    async fn attempt(&self, notice: &Notice, clock: &Clock) -> bool {
        let failed = match timeout(ATTEMPT_TIMEOUT, self.post(notice, clock)).await {
            Ok(Ok(())) => {
                self.queue.take_off(true);
                return true;
            }
            Ok(Err(failed)) => failed,
            Err(_) => NotDelivered::TimedOut,
        };
        self.queue.count_failure();
        let gives_up = notice.queued.elapsed() >= self.give_up;
        tracing::warn!(webhook = self.name, id = %notice.id, error = %failed, gives_up, "not delivered");
        if gives_up {
            self.queue.take_off(false);
        }
        false
    }

    async fn post(&self, notice: &Notice, clock: &Clock) -> Result<(), NotDelivered> {
        // Of this attempt: a receiver that takes nothing old takes what was tried again.
        let timestamp = clock.wall_secs().to_string();
        let signature = self.signer.sign(&notice.id, &timestamp, &notice.body);
        let agent = concat!("nitride-provisiond/", env!("CARGO_PKG_VERSION"));
        let request = Request::post(self.uri.clone())
            .header(USER_AGENT, agent)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", notice.id.as_ref())
            .header("webhook-timestamp", timestamp)
            .header(
                "webhook-signature",
                signature.ok_or(NotDelivered::NotSigned)?,
            )
            .body(Full::new(Bytes::copy_from_slice(&notice.body)))
            .map_err(NotDelivered::Request)?;
        let response = self.client.request(request).await;
        let response = response.map_err(|error| NotDelivered::Transport(chain(&error)))?;
        let status = response.status();
        // What it says is nobody's concern, and a longer answer ends the connection.
        let _ = Limited::new(response.into_body(), MAX_ANSWER_LEN)
            .collect()
            .await;
        // A redirect is a refusal: the address is the operator's to change.
        match status.is_success() {
            true => Ok(()),
            false => Err(NotDelivered::Refused(status)),
        }
    }
}

/// Up to a second, so that replicas that failed together do not come back together.
fn jitter() -> Duration {
    let drawn = draw_array::<2>(&mut KernelEntropy).map_or(0, u16::from_be_bytes);
    Duration::from_millis(u64::from(drawn) * 1000 / 65_536)
}
