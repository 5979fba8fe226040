//! HTTP to one endpoint of a service.

use crate::config::{Endpoint, Service};
use crate::tls::{TlsError, client_config};
use bytes::Bytes;
use http::header::{HeaderValue, RETRY_AFTER, SET_COOKIE, USER_AGENT};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use nitride_courier::{HttpAnswer, HttpRequest, Method, TransportFault};
use rustls::client::Resumption;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use std::error::Error;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// Longest head of an answer in bytes, which is also as much as is read at a time.
const MAX_HEAD_LEN: usize = 65_536;
/// How long a connection is kept: for the next step of a round. Servers close theirs after not much
/// longer, and one that closes just then costs an attempt.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Connections kept to one endpoint.
const MAX_KEPT: usize = 4;
/// Connections kept to a node whose secrets are read here: with one, its buffers would be kept.
const MAX_KEPT_IN_CLEAR: usize = 0;

/// One endpoint, and the connections to it.
#[derive(Debug)]
pub(crate) struct Transport {
    url: String,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// A fault with its causes, for the log.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) fault: TransportFault,
    pub(crate) cause: String,
}

impl Transport {
    /// One for each endpoint of the service, in its order. Reads the files that the service names.
    pub(crate) fn of_service(service: &Service) -> Result<Vec<Self>, TlsError> {
        let mut tls = match &service.tls {
            Some(tls) => client_config(tls)?,
            None => nobody_trusted()?,
        };
        if service.openbao.is_some() {
            // Who has a session's secret later could read what it carried.
            tls.resumption = Resumption::disabled();
        }
        let of = |endpoint: &Endpoint| Self::new(service, endpoint, tls.clone());
        Ok(service.endpoints.iter().map(of).collect())
    }

    fn new(service: &Service, endpoint: &Endpoint, tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(service.connect_timeout));
        let schemes = HttpsConnectorBuilder::new().with_tls_config(tls);
        // An endpoint is one or the other: https is never left for http.
        let connector = match endpoint.plain {
            true => schemes.https_or_http(),
            false => schemes.https_only(),
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEEP_ALIVE)
            .pool_max_idle_per_host(match service.openbao {
                None => MAX_KEPT,
                Some(_) => MAX_KEPT_IN_CLEAR,
            })
            .http1_max_buf_size(MAX_HEAD_LEN)
            .build(connector.enable_http1().wrap_connector(tcp));
        Self {
            url: endpoint.url.clone(),
            client,
        }
    }

    /// The endpoint's URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sends the request and reads the answer, up to its greatest length. The caller holds the
    /// clock: dropping the future ends the exchange.
    pub(crate) async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, Failed> {
        let max_answer_len = request.max_answer_len;
        let request = self.build(request).map_err(|error| Failed {
            fault: TransportFault::NotHttp,
            cause: chain(&error),
        })?;
        let response = self.client.request(request).await.map_err(|error| Failed {
            fault: classify(&error),
            cause: match layers(&error).find_map(remedy) {
                Some(remedy) => format!("{}: {remedy}", chain(&error)),
                None => chain(&error),
            },
        })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, max_answer_len).collect().await;
        let body = body.map_err(|error| Failed {
            fault: match error.is::<LengthLimitError>() {
                true => TransportFault::TooLarge,
                false => classify(error.as_ref()),
            },
            cause: chain(error.as_ref()),
        })?;
        Ok(HttpAnswer {
            status: head.status.as_u16(),
            set_cookies: set_cookies(&head.headers),
            retry_after_secs: retry_after_secs(&head.headers),
            body: body.to_bytes().into(),
        })
    }

    fn build(&self, request: HttpRequest) -> Result<Request<Full<Bytes>>, http::Error> {
        let method = match request.method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
        };
        let agent = concat!("nitride-agent/", env!("CARGO_PKG_VERSION"));
        let mut builder = Request::builder()
            .method(method)
            .uri(format!("{}{}", self.url, request.path))
            .header(USER_AGENT, agent);
        for (name, value) in request.headers {
            let mut value = HeaderValue::try_from(value)?;
            // Cookie and token are credentials.
            value.set_sensitive(true);
            builder = builder.header(name, value);
        }
        builder.body(Full::new(Bytes::from(request.body)))
    }
}

/// For a service of plain endpoints: should anything ask for TLS after all, nobody is trusted.
fn nobody_trusted() -> Result<ClientConfig, TlsError> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let builder = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?;
    let roots = RootCertStore::empty();
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// An error and all that is inside of it. The libraries wrap each other's errors, some in
/// `io::Error`, whose inner error is not among its sources.
fn layers<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let io = error.downcast_ref::<std::io::Error>();
        match io.and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

/// What to do about a service's certificate that is not taken.
fn remedy(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let rustls::Error::InvalidCertificate(fault) = error.downcast_ref()? else {
        return None;
    };
    Some(match fault {
        // A signature that is wrong is one by a CA of the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the certificate is of another CA than the one in `ca`; pin the CA that issued it"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is for another name; write one of its names in `url`, or have this one \
             added to it"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate has expired, or this machine's clock is ahead; renew the one or set the \
             other"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is of the future, or this machine's clock is behind; set the clock"
        }
        // The variant is another crate's, and has no name here.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the service shows its CA's certificate as its own; have the CA issue one for the \
             service's name (not a CA: basicConstraints CA:FALSE), and pin the CA in `ca`"
        }
        _ => return None,
    })
}

/// Which kind of fault stands at the bottom of an error.
fn classify(error: &(dyn Error + 'static)) -> TransportFault {
    for error in layers(error) {
        if error.is::<rustls::Error>() {
            return TransportFault::NotTrusted;
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_parse() || error.is_parse_too_large() || error.is_parse_status() {
                return TransportFault::NotHttp;
            }
            if error.is_incomplete_message() {
                return TransportFault::Unreachable;
            }
        }
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut) {
            return TransportFault::TimedOut;
        }
    }
    TransportFault::Unreachable
}

fn set_cookies(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(SET_COOKIE).iter();
    values
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect()
}

/// A date in its place is not read: whose clock is right is not known here.
fn retry_after_secs(headers: &HeaderMap) -> Option<u32> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// An error with its sources. None of them has a header's value or a body in it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
