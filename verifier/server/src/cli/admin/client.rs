//! The connection of an admin: TLS under a pinned CA, a token from a file or a certificate, one request.

use crate::error_chain::chain;
use crate::key_file::read_secret;
use crate::tls::client_config;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, ETAG, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use nitride_kbs::messages::parse_error_information;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The service checks every policy before it answers.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// A list of ten thousand names fits.
const MAX_ANSWER_LEN: usize = 8 << 20;
const MAX_HEAD_LEN: usize = 64 * 1024;

/// How the service is reached, and who asks. No secret stands in an argument.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// The service: https://HOST[:PORT].
    #[arg(long, value_name = "URL")]
    url: String,
    /// The CA of its certificate, in PEM; no other is trusted.
    #[arg(long, value_name = "PATH")]
    ca: PathBuf,
    /// The file with the admin's token, of mode 0600: what `admin-token generate` made, or a JWT.
    #[arg(long, value_name = "PATH", required_unless_present = "certificate")]
    token_file: Option<PathBuf>,
    /// The admin's certificate, in PEM.
    #[arg(long, value_name = "PATH", requires = "key")]
    certificate: Option<PathBuf>,
    /// Its private key, in PEM, of mode 0600.
    #[arg(long, value_name = "PATH", requires = "certificate")]
    key: Option<PathBuf>,
}

/// A service, and the credentials for it.
pub(super) struct Client {
    client: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Runtime,
    authority: String,
    token: Option<HeaderValue>,
}

/// An answer that is none of a refusal.
pub(super) struct Reply {
    /// The number of its `ETag`.
    pub(super) version: Option<String>,
    pub(super) body: Bytes,
}

/// The service did not do it.
#[derive(Debug, Error)]
pub(crate) enum NotDone {
    #[error("the service cannot be asked: {0}")]
    Unreachable(String),
    #[error("the service did not answer within {} s; whether it was done is not known", REQUEST_TIMEOUT.as_secs())]
    Late,
    #[error("the service answers {status}: {told}")]
    Refused { status: StatusCode, told: String },
}

impl NotDone {
    /// What the process ends with, so that a script can tell what to do next.
    pub(crate) fn exit_status(&self) -> u8 {
        let Self::Refused { status, .. } = self else {
            return 7;
        };
        match *status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => 3,
            StatusCode::NOT_FOUND => 4,
            StatusCode::PRECONDITION_FAILED => 5,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => 7,
            status if status.is_client_error() => 6,
            _ => 7,
        }
    }
}

impl Client {
    pub(super) fn open(connection: &Connection) -> Result<Self> {
        let Connection {
            url,
            ca,
            token_file,
            certificate,
            key,
        } = connection;
        let identity = certificate.as_deref().zip(key.as_deref());
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(client_config(Some(ca), identity)?)
            .https_only()
            .enable_http1()
            .wrap_connector(tcp);
        let client = HttpClient::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .http1_max_buf_size(MAX_HEAD_LEN)
            .build(connector);
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self {
            client,
            runtime: runtime.context("start the runtime")?,
            authority: authority_of(url)?,
            token: token_file.as_deref().map(token_of).transpose()?,
        })
    }

    /// Asks once. `path` begins below `/kbs/v0/`.
    pub(super) fn ask(
        &self,
        method: Method,
        path: &str,
        head: Vec<(HeaderName, String)>,
        body: Vec<u8>,
    ) -> Result<Reply> {
        let agent = concat!("nitride-provisiond/", env!("CARGO_PKG_VERSION"));
        let mut request = Request::builder()
            .method(method)
            .uri(format!("https://{}/kbs/v0/{path}", self.authority))
            .header(USER_AGENT, agent);
        for (name, value) in head {
            request = request.header(name, value);
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.context("put the request together")?;
        let asked = self
            .runtime
            .block_on(async { timeout(REQUEST_TIMEOUT, self.send(request)).await });
        Ok(asked.map_err(|_| NotDone::Late)??)
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Reply, NotDone> {
        let response = self.client.request(request).await;
        let response = response.map_err(|error| NotDone::Unreachable(chain(&error)))?;
        let status = response.status();
        let version = response.headers().get(ETAG).and_then(|tag| {
            let tag = tag.to_str().ok()?;
            Some(tag.trim_matches('"').to_owned())
        });
        let body = Limited::new(response.into_body(), MAX_ANSWER_LEN);
        let body = body.collect().await;
        let body = body.map_err(|error| NotDone::Unreachable(chain(error.as_ref())))?;
        let body = body.to_bytes();
        // Nor is a redirect followed: the credentials are for this service.
        if status == StatusCode::ACCEPTED {
            // Done, with something that is to be known of it.
            eprintln!("{}", shown(&String::from_utf8_lossy(&body)));
        }
        if [StatusCode::OK, StatusCode::ACCEPTED].contains(&status) {
            return Ok(Reply { version, body });
        }
        let told = parse_error_information(&body).map_or_else(
            |_| "in a form that is not this protocol's".to_owned(),
            |error| format!("{}: {}", error.variant(), error.detail),
        );
        Err(NotDone::Refused {
            status,
            told: shown(&told),
        })
    }
}

impl Reply {
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).context("read the service's answer")
    }
}

/// `HOST[:PORT]` of an address that has nothing else.
fn authority_of(url: &str) -> Result<String> {
    let parsed: Uri = url.trim_end_matches('/').parse().unwrap_or_default();
    let is_bare = parsed.path() == "/" && parsed.query().is_none();
    let authority = parsed.authority().map(|authority| authority.as_str());
    let authority = authority.filter(|authority| !authority.contains('@') && is_bare);
    match authority.filter(|_| parsed.scheme_str() == Some("https")) {
        Some(authority) => Ok(authority.to_owned()),
        None => bail!("{url:?} is no address of a service; write https://HOST[:PORT]"),
    }
}

fn token_of(path: &Path) -> Result<HeaderValue> {
    let bytes = read_secret(path)?;
    let text = std::str::from_utf8(&bytes).ok().map(str::trim);
    let text = text.filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()));
    let no_token = || format!("{} holds no token", path.display());
    let value = zeroize::Zeroizing::new(format!("Bearer {}", text.with_context(no_token)?));
    let mut value = HeaderValue::from_str(&value).with_context(no_token)?;
    value.set_sensitive(true);
    Ok(value)
}

/// What a service says, on a terminal: it moves no cursor.
pub(super) fn shown(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_service_behind_tls_is_asked() {
        for (url, authority) in [
            ("https://localhost:8443", "localhost:8443"),
            ("https://provision.example/", "provision.example"),
            ("https://[::1]:8443", "[::1]:8443"),
        ] {
            assert_eq!(authority_of(url).unwrap(), authority);
        }
        for url in [
            "http://localhost:8443",
            "localhost:8443",
            "https://",
            "https://root@localhost",
            "https://localhost/kbs",
            "https://localhost?a",
            "",
        ] {
            assert!(authority_of(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_status_says_what_to_do_next() {
        for (status, exit) in [
            (401, 3),
            (403, 3),
            (404, 4),
            (412, 5),
            (400, 6),
            (413, 6),
            (422, 6),
            (405, 6),
            (302, 7),
            (429, 7),
            (500, 7),
            (503, 7),
        ] {
            let refused = NotDone::Refused {
                status: StatusCode::from_u16(status).unwrap(),
                told: String::new(),
            };
            assert_eq!(refused.exit_status(), exit, "{status}");
        }
        assert_eq!(NotDone::Late.exit_status(), 7);
    }

    #[test]
    fn what_is_shown_moves_no_cursor() {
        assert_eq!(shown("a\u{1b}[2J\nb\u{9b}c"), "a [2J b c");
    }
}
