//! Refusals as the protocol has them: a status, a type and a short detail. The log gets the reason.

use super::decision::shown;
use crate::error_chain::chain;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use nitride_kbs::messages::ErrorInformation;
use std::error::Error;
use std::sync::Arc;

/// What went wrong, by the name that stands in the error's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// A body that is not the message, or a header that is not one.
    InvalidRequest,
    /// A path that names no resource.
    InvalidRequestPath,
    /// Another version of the protocol.
    ProtocolVersion,
    /// A TEE that this service does not judge.
    UnsupportedTee,
    /// A TEE key of a form that this service does not encrypt to.
    UnsupportedTeeKey,
    /// No session, or one of another challenge, or a challenge that is not alive.
    SessionError,
    /// The evidence is not authentic, or is not taken at all.
    AttestationError,
    /// No token, or one that is not of this service, or not alive.
    TokenVerifierError,
    /// The resource policy does not allow it.
    PolicyDeny,
    /// No admin's credentials were brought, or there is no admin.
    AdminAuthError,
    /// The admin has not the role for it, or not in this namespace.
    AdminForbidden,
    /// No such resource.
    ResourceNotFound,
    /// What was expected to lie there does not.
    Conflict,
    /// A policy or a list of reference values that cannot be one.
    PolicyRefused,
    /// No such path.
    NotFound,
    /// A path that does not take the method.
    MethodNotAllowed,
    /// The body did not come in time.
    RequestTimeout,
    /// The body is longer than the message can be.
    RequestTooLarge,
    /// The source asks too much.
    TooManyRequests,
    /// The store did not do it.
    StoreError,
    /// A fault of the service's own.
    Internal,
}

impl FaultKind {
    /// The table of statuses and type names.
    fn wire(self) -> (StatusCode, &'static str) {
        match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "InvalidRequest"),
            Self::InvalidRequestPath => (StatusCode::BAD_REQUEST, "InvalidRequestPath"),
            Self::ProtocolVersion => (StatusCode::BAD_REQUEST, "ProtocolVersion"),
            Self::UnsupportedTee => (StatusCode::BAD_REQUEST, "UnsupportedTee"),
            // The service's word about this guest, like a policy's: a courier that is told so asks nobody
            // else, as it would after a 400.
            Self::UnsupportedTeeKey => (StatusCode::UNAUTHORIZED, "UnsupportedTeeKey"),
            Self::SessionError => (StatusCode::UNAUTHORIZED, "SessionError"),
            Self::AttestationError => (StatusCode::UNAUTHORIZED, "AttestationError"),
            Self::TokenVerifierError => (StatusCode::UNAUTHORIZED, "TokenVerifierError"),
            Self::PolicyDeny => (StatusCode::UNAUTHORIZED, "PolicyDeny"),
            Self::AdminAuthError => (StatusCode::UNAUTHORIZED, "AdminAuthError"),
            Self::AdminForbidden => (StatusCode::FORBIDDEN, "AdminForbidden"),
            Self::ResourceNotFound => (StatusCode::NOT_FOUND, "ResourceNotFound"),
            Self::Conflict => (StatusCode::PRECONDITION_FAILED, "Conflict"),
            Self::PolicyRefused => (StatusCode::UNPROCESSABLE_ENTITY, "PolicyRefused"),
            Self::NotFound => (StatusCode::NOT_FOUND, "NotFound"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "RequestTimeout"),
            Self::RequestTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLarge"),
            Self::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
            Self::StoreError => (StatusCode::SERVICE_UNAVAILABLE, "StoreError"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        }
    }
}

/// A refusal.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    kind: FaultKind,
    detail: String,
    reason: Option<String>,
    retry_after_secs: Option<u64>,
}

impl Fault {
    /// A refusal whose whole reason the client may know.
    pub(crate) fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            reason: None,
            retry_after_secs: None,
        }
    }

    /// A refusal by an error about the client's own input: it is told what, and why.
    pub(crate) fn of(kind: FaultKind, error: &dyn Error) -> Self {
        Self::new(kind, shown(&chain(error))).because(error)
    }

    /// A defect of the service or of its surroundings: the client is told nothing of it.
    pub(crate) fn internal(error: &dyn Error) -> Self {
        Self::new(FaultKind::Internal, "the service cannot answer this now").because(error)
    }

    /// Too many requests; when to come again.
    pub(crate) fn too_many(retry_after_secs: u64) -> Self {
        Self {
            retry_after_secs: Some(retry_after_secs),
            ..Self::new(
                FaultKind::TooManyRequests,
                "too many requests from this source",
            )
        }
    }

    /// Nothing is wrong with the request, and it cannot be done now; when to come again.
    pub(crate) fn not_now(detail: &str, retry_after_secs: u64) -> Self {
        Self {
            retry_after_secs: Some(retry_after_secs),
            ..Self::new(FaultKind::StoreError, detail)
        }
    }

    /// Adds what the log alone is told: the error with all its sources.
    pub(crate) fn because(self, error: &dyn Error) -> Self {
        Self {
            reason: Some(chain(error)),
            ..self
        }
    }

    pub(crate) fn kind(&self) -> FaultKind {
        self.kind
    }

    #[cfg(test)]
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The reason for the log.
    pub(crate) fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or(&self.detail)
    }

    pub(crate) fn variant(&self) -> &'static str {
        self.kind.wire().1
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, variant) = self.kind.wire();
        let body = ErrorInformation::new(variant, &self.detail).to_json();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(secs) = self.retry_after_secs {
            headers.insert(RETRY_AFTER, HeaderValue::from(secs));
        }
        // What is around the request logs it.
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}
