//! `GET /.well-known/…`: what others verify attestation results with. Public, and the same from every
//! replica that has the same keys.

use super::fault::{Fault, FaultKind};
use crate::service::Service;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde_json::json;
use std::sync::Arc;

pub(super) const JWKS: &str = "/.well-known/jwks.json";
pub(super) const DISCOVERY: &str = "/.well-known/openid-configuration";
/// How long a verifier may keep the keys: a fraction of what passes between two rotations.
const FRESH: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// The keys that tokens may be signed with (RFC 7517).
pub(super) async fn jwks(State(service): State<Arc<Service>>) -> Response {
    let keys = service.current().issuer.jwks();
    answer("application/jwk-set+json", &keys.to_string())
}

/// Where the keys are, for verifiers that begin with the issuer's name, as a Trustee's do. There is
/// such a name only if it is the URL of a host.
pub(super) async fn discovery(State(service): State<Arc<Service>>) -> Result<Response, Fault> {
    let current = service.current();
    let issuer = current.issuer.name();
    let host = issuer
        .strip_prefix("https://")
        .map(|host| host.trim_end_matches('/'));
    let Some(host) = host.filter(|host| !host.is_empty() && !host.contains(['/', '?', '#'])) else {
        let detail = "the issuer of this service is not the https URL of a host";
        return Err(Fault::new(FaultKind::NotFound, detail));
    };
    let found = json!({ "issuer": issuer, "jwks_uri": format!("https://{host}{JWKS}") });
    Ok(answer("application/json", &found.to_string()))
}

fn answer(content_type: &'static str, text: &str) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (CACHE_CONTROL, FRESH),
    ];
    (headers, text.to_owned()).into_response()
}
