//! `POST resource-by-token/...`: what `GET resource/...` answers, for a token that no header has room
//! for, as a machine of many devices has it.
//!
//! A path of its own, of which the KBS protocol knows nothing: `POST resource/...` is an admin's writing
//! there, and what a request may do must not hang on what its body looks like. The body is what
//! `attest` answered. A challenge of this service says that it takes it, so that nobody has to try.

use super::body::read_body;
use super::fault::{Fault, FaultKind};
use super::resource::{path_under, serve};
use super::session::bearer;
use crate::service::Service;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Uri};
use nitride_kbs::limits::MAX_TOKEN_RESPONSE_LEN;
use nitride_kbs::messages::parse_attestation_response;
use std::sync::Arc;

pub(super) const ROUTE: &str = "/kbs/v0/resource-by-token/{*path}";
pub(super) const PREFIX: &str = "/kbs/v0/resource-by-token/";

pub(super) async fn read(
    State(service): State<Arc<Service>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let path = path_under(PREFIX, &uri)?;
    // Which of two tokens counts would be anybody's guess. A cookie comes along by itself.
    if bearer(&headers)?.is_some() {
        let detail = "the token is to come in the body here, and in no header";
        return Err(Fault::new(FaultKind::InvalidRequest, detail));
    }
    let body = read_body(body, MAX_TOKEN_RESPONSE_LEN, service.limits.body_timeout).await?;
    let message = parse_attestation_response(&body)
        .map_err(|error| Fault::of(FaultKind::InvalidRequest, &error))?;
    serve(&service, &path, &message.token).await
}
