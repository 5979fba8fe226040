use crate::EndpointId;
use std::fmt;
use thiserror::Error;

/// Greatest answer that a challenge may be, in bytes.
pub(crate) const MAX_AUTH_ANSWER_LEN: usize = nitride_kbs::limits::MAX_ERROR_LEN;
/// Greatest answer that a token may come in, in bytes.
pub(crate) const MAX_ATTEST_ANSWER_LEN: usize = nitride_kbs::limits::MAX_TOKEN_RESPONSE_LEN;
/// Greatest resource, in bytes.
pub(crate) const MAX_RESOURCE_ANSWER_LEN: usize = nitride_kbs::limits::MAX_JWE_LEN;

/// How a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Asks for a resource; it has no body.
    Get,
    /// Sends JSON.
    Post,
}

/// One HTTP request to send, exactly as it stands, and how much of an answer to take.
///
/// Headers and body are a session's credentials and are not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// To which of the service's endpoints.
    pub endpoint: EndpointId,
    /// `GET` or `POST`.
    pub method: Method,
    /// Absolute path below the endpoint's URL, such as `/kbs/v0/auth`.
    pub path: String,
    /// Names in any case, and printable ASCII values.
    pub headers: Vec<(&'static str, String)>,
    /// The body, empty for [`Method::Get`].
    pub body: Vec<u8>,
    /// An answer of more bytes than this is [`TransportFault::TooLarge`]; stop reading there.
    pub max_answer_len: usize,
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpRequest")
            .field("endpoint", &self.endpoint)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What a service answered. The body may be a token, so `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The values of all `Set-Cookie` headers, in their order.
    pub set_cookies: Vec<String>,
    /// `Retry-After` where it was a number of seconds.
    pub retry_after_secs: Option<u32>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl fmt::Debug for HttpAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpAnswer")
            .field("status", &self.status)
            .field("retry_after_secs", &self.retry_after_secs)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TransportFault {
    /// No connection, or it broke.
    #[error("no connection")]
    Unreachable,
    /// The peer is not who it must be: TLS failed.
    #[error("TLS failed")]
    NotTrusted,
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// More bytes than [`HttpRequest::max_answer_len`].
    #[error("the answer is too large")]
    TooLarge,
    /// Not HTTP.
    #[error("the answer is not HTTP")]
    NotHttp,
}
