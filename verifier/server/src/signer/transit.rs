//! A private key in the transit engine of OpenBao or Vault: the digest goes there, the signature
//! comes back. Over HTTPS alone, to a server that a pinned CA vouches for.

use super::description::TransitSettings;
use super::{SignDigest, SignerError};
use crate::key_file::{KeyFileError, read_secret};
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use p256::ecdsa::Signature;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// What connecting, and the whole request, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer and of its head. A signature takes some 500.
const MAX_ANSWER_LEN: usize = 64 * 1024;
const MAX_HEAD_LEN: usize = 16 * 1024;
/// Characters of what the server says of a refusal that are passed on.
const MAX_TOLD_LEN: usize = 300;

/// The engine, and how to ask it.
pub(super) struct Transit {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Runtime,
    uri: Uri,
    token: HeaderValue,
    namespace: Option<HeaderValue>,
}

/// Why OpenBao does not sign.
#[derive(Debug, Error)]
pub(crate) enum TransitError {
    #[error("{address:?} is no address of OpenBao; write https://HOST[:PORT]")]
    NotAnAddress { address: String },
    #[error("{what} {name:?} has other characters than letters, digits, '-', '_', '.' and '/'")]
    NotAName { what: &'static str, name: String },
    #[error(transparent)]
    TokenFile(#[from] KeyFileError),
    #[error("the token's file {} holds no token", path.display())]
    NotAToken { path: PathBuf },
    #[error("read the CA's certificates in {}", path.display())]
    Ca {
        path: PathBuf,
        #[source]
        source: pem::Error,
    },
    #[error("{} has no certificate that can be a trust anchor", path.display())]
    NoCa { path: PathBuf },
    #[error("set up TLS")]
    Tls(#[source] rustls::Error),
    #[error("start the runtime")]
    Runtime(#[source] std::io::Error),
    #[error("the request cannot be put together")]
    Request(#[source] http::Error),
    #[error(
        "the server cannot be asked; see that it can be reached and that its CA is the stated one"
    )]
    Transport(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the server did not answer within {} s", REQUEST_TIMEOUT.as_secs())]
    TimedOut,
    #[error("the server answered with more than {MAX_ANSWER_LEN} bytes")]
    TooLong,
    #[error("the server answered {status}: {told}")]
    Refused { status: StatusCode, told: String },
    #[error("the server's answer has no signature in it, of a key of type ecdsa-p256")]
    NotASignature,
}

#[derive(Serialize)]
struct SignRequest<'a> {
    input: &'a str,
    prehashed: bool,
    hash_algorithm: &'static str,
    marshaling_algorithm: &'static str,
}

#[derive(Deserialize)]
struct SignAnswer {
    data: SignData,
}

#[derive(Deserialize)]
struct SignData {
    signature: String,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<String>,
}

impl Transit {
    pub(super) fn open(settings: TransitSettings) -> Result<Self, TransitError> {
        let uri = uri_of(&settings)?;
        let bytes = read_secret(&settings.token_file)?;
        let token = std::str::from_utf8(&bytes).ok().map(str::trim_end);
        let token = token.filter(|token| !token.is_empty());
        let token = token.and_then(|token| HeaderValue::from_str(token).ok());
        let mut token = token.ok_or_else(|| TransitError::NotAToken {
            path: settings.token_file.clone(),
        })?;
        token.set_sensitive(true);
        let namespace = settings.namespace.as_deref().map(|name| {
            checked("namespace", name)?;
            HeaderValue::from_str(name).map_err(|_| TransitError::NotAName {
                what: "namespace",
                name: name.to_owned(),
            })
        });
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls_of(&settings)?)
            .https_only()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .http1_max_buf_size(MAX_HEAD_LEN)
            .build(connector);
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self {
            client,
            runtime: runtime.map_err(TransitError::Runtime)?,
            uri,
            token,
            namespace: namespace.transpose()?,
        })
    }

    fn request(&self, digest: &[u8; 32]) -> Result<Request<Full<Bytes>>, TransitError> {
        let body = SignRequest {
            input: &Base64::encode_string(digest),
            prehashed: true,
            hash_algorithm: "sha2-256",
            // r || s, as in an envelope (RFC 7518, 3.4).
            marshaling_algorithm: "jws",
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let agent = concat!("nitride-provisiond/", env!("CARGO_PKG_VERSION"));
        let mut request = Request::post(self.uri.clone())
            .header(USER_AGENT, agent)
            .header(CONTENT_TYPE, "application/json")
            .header("X-Vault-Request", "true")
            .header("X-Vault-Token", self.token.clone());
        if let Some(namespace) = &self.namespace {
            request = request.header("X-Vault-Namespace", namespace.clone());
        }
        let request = request.body(Full::new(Bytes::from(body)));
        request.map_err(TransitError::Request)
    }

    async fn ask(&self, digest: &[u8; 32]) -> Result<(StatusCode, Bytes), TransitError> {
        let response = self.client.request(self.request(digest)?).await;
        let response = response.map_err(|fault| TransitError::Transport(fault.into()))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_LEN);
        let body = body.collect().await;
        let body = body.map_err(|fault| match fault.is::<LengthLimitError>() {
            true => TransitError::TooLong,
            false => TransitError::Transport(fault),
        })?;
        Ok((status, body.to_bytes()))
    }
}

impl SignDigest for Transit {
    fn sign(&mut self, digest: &[u8; 32]) -> Result<Signature, SignerError> {
        let asked = self
            .runtime
            .block_on(async { timeout(REQUEST_TIMEOUT, self.ask(digest)).await });
        let (status, body) = asked.map_err(|_| TransitError::TimedOut)??;
        // Nor is a redirect followed: the token is for this server.
        if status != StatusCode::OK {
            let told = told(&body);
            return Err(TransitError::Refused { status, told }.into());
        }
        Ok(signature_of(&body).ok_or(TransitError::NotASignature)?)
    }
}

/// `vault:v3:` and the signature; which version of its key the engine has used is its own affair.
fn signature_of(body: &[u8]) -> Option<Signature> {
    let answer: SignAnswer = serde_json::from_slice(body).ok()?;
    let (head, signature) = answer.data.signature.rsplit_once(':')?;
    head.strip_prefix("vault:v")?.parse::<u32>().ok()?;
    let mut bytes = [0; 64];
    let decoded = Base64UrlUnpadded::decode(signature, &mut bytes).ok()?;
    Signature::from_slice(decoded).ok()
}

/// What the server says, for people: printable, and only so much of it.
fn told(body: &[u8]) -> String {
    let errors = serde_json::from_slice::<Errors>(body);
    let text = errors.map_or_else(
        |_| "nothing that is known".to_owned(),
        |it| it.errors.join("; "),
    );
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(MAX_TOLD_LEN).collect()
}

fn uri_of(settings: &TransitSettings) -> Result<Uri, TransitError> {
    let address = settings.address.trim_end_matches('/');
    let refused = || TransitError::NotAnAddress {
        address: settings.address.clone(),
    };
    let parsed: Uri = address.parse().map_err(|_| refused())?;
    let is_bare = parsed.path() == "/" && parsed.query().is_none();
    let authority = parsed.authority().ok_or_else(refused)?;
    if parsed.scheme_str() != Some("https") || !is_bare || authority.as_str().contains('@') {
        return Err(refused());
    }
    let mount = checked("mount", settings.mount.trim_matches('/'))?;
    let key = checked("key", &settings.key)?;
    let uri = format!("https://{authority}/v1/{mount}/sign/{key}");
    uri.parse().map_err(|_| refused())
}

/// A part of a path that can be nothing else.
fn checked<'n>(what: &'static str, name: &'n str) -> Result<&'n str, TransitError> {
    let known = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let is_up = |part: &str| part.is_empty() || part == "." || part == "..";
    match !name.is_empty() && name.chars().all(known) && !name.split('/').any(is_up) {
        true => Ok(name),
        false => Err(TransitError::NotAName {
            what,
            name: name.to_owned(),
        }),
    }
}

fn tls_of(settings: &TransitSettings) -> Result<ClientConfig, TransitError> {
    let path = || settings.ca.clone();
    let unreadable = |source| TransitError::Ca {
        path: path(),
        source,
    };
    let certificates = CertificateDer::pem_file_iter(&settings.ca).map_err(unreadable)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let added = roots.add(certificate.map_err(unreadable)?);
        added.map_err(|_| TransitError::NoCa { path: path() })?;
    }
    if roots.is_empty() {
        return Err(TransitError::NoCa { path: path() });
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(TransitError::Tls)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(address: &str, mount: &str, key: &str) -> TransitSettings {
        TransitSettings {
            address: address.to_owned(),
            ca: PathBuf::from("/nonexistent"),
            token_file: PathBuf::from("/nonexistent"),
            mount: mount.to_owned(),
            key: key.to_owned(),
            namespace: None,
        }
    }

    #[test]
    fn only_a_server_behind_tls_is_asked_and_only_for_the_key() {
        let uri = uri_of(&settings(
            "https://bao.example:8200/",
            "/eng/transit/",
            "owner",
        ));
        assert_eq!(
            uri.unwrap(),
            "https://bao.example:8200/v1/eng/transit/sign/owner"
        );
        for address in [
            "http://bao.example",
            "https://",
            "bao.example",
            "https://bao.example/v1",
            "https://user@bao.example",
            "https://bao.example/?a",
            "unix:/run/bao.sock",
        ] {
            let refused = uri_of(&settings(address, "transit", "k")).unwrap_err();
            assert!(
                matches!(refused, TransitError::NotAnAddress { .. }),
                "{address}"
            );
        }
        for (mount, key) in [
            ("", "k"),
            ("a/../b", "k"),
            ("transit", "k?x"),
            ("transit", ""),
            ("t", "a/."),
        ] {
            let refused = uri_of(&settings("https://bao", mount, key)).unwrap_err();
            assert!(
                matches!(refused, TransitError::NotAName { .. }),
                "{mount} {key}"
            );
        }
    }

    #[test]
    fn an_answer_without_a_signature_in_its_form_is_none() {
        let answer = |signature: &str| format!("{{\"data\":{{\"signature\":{signature:?}}}}}");
        let raw = Base64UrlUnpadded::encode_string(&[1; 64]);
        assert!(signature_of(answer(&format!("vault:v12:{raw}")).as_bytes()).is_some());
        for other in [
            raw.clone(),
            format!("vault:{raw}"),
            format!("vault:vx:{raw}"),
            format!("vault:v1:{}", Base64UrlUnpadded::encode_string(&[1; 63])),
            format!("vault:v1:{}", Base64UrlUnpadded::encode_string(&[0; 64])),
            format!("vault:v1:{raw}=="),
            format!("vault:v1:{raw}AAAA"),
        ] {
            assert!(signature_of(answer(&other).as_bytes()).is_none(), "{other}");
        }
        for body in [
            "",
            "{}",
            "[]",
            "{\"data\":null}",
            "{\"data\":{\"signature\":1}}",
        ] {
            assert!(signature_of(body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn what_a_server_says_is_bounded_and_printable() {
        let body = format!("{{\"errors\":[\"a\\nb\",{:?}]}}", "x".repeat(1000));
        let told = told(body.as_bytes());
        assert!(told.starts_with("a b; xxx") && told.len() == MAX_TOLD_LEN);
    }
}
