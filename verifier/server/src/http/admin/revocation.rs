//! The kill switch over HTTP.

use super::super::body::read_body;
use super::super::fault::{Fault, FaultKind};
use super::super::resource::store_fault;
use super::{observe, permit};
use crate::admin::{Access, Role, Scope};
use crate::revocation::{self, Entry, Kind, RevocationError};
use crate::service::Service;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

pub(super) const REVOCATIONS: &str = "/kbs/v0/nitride/revocations";
pub(super) const LIFT: &str = "/kbs/v0/nitride/revocations/lift";
/// The longest thing and the longest reason, each character escaped.
const MAX_BODY_LEN: usize = 8 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    kind: Kind,
    what: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unwanted {
    kind: Kind,
    what: String,
}

/// What is revoked, in the order in which it was.
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Fault> {
    let asking = (request.headers(), request.extensions());
    let see = (Role::Revocations, Access::Read);
    permit(&service, asking, see, Scope::All, "").await?;
    let entries = revocation::list(service.store.as_ref()).await;
    let entries = entries.map_err(|error| refuse(&error))?;
    Ok(observe::answer(&json!({ "revoked": entries })))
}

pub(super) async fn add(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Fault> {
    let (acting, body) = body_of(&service, request, "add").await?;
    let Wanted { kind, what, reason } = parse(&body)?;
    let entry = Entry {
        kind,
        what,
        since_secs: service.clock.wall_secs(),
        reason,
    };
    let added = revocation::add(service.store.as_ref(), entry.clone()).await;
    let is_new = added.map_err(|error| refuse(&error))?;
    let Entry { kind, what, .. } = entry;
    let told = match is_new {
        true => format!("revoked {kind} {what}"),
        false => format!("revoked {kind} {what}, as it was already"),
    };
    let answer = json!({ "kind": kind, "what": what, "is_new": is_new });
    Ok(acting.done(observe::answer(&answer), &told))
}

pub(super) async fn lift(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Fault> {
    let (acting, body) = body_of(&service, request, "lift").await?;
    let Unwanted { kind, what } = parse(&body)?;
    let lifted = revocation::lift(service.store.as_ref(), kind, &what).await;
    if !lifted.map_err(|error| refuse(&error))? {
        let detail = "this is not revoked";
        return Err(Fault::new(FaultKind::NotFound, detail));
    }
    let told = format!("lifted {kind} {what}");
    Ok(acting.done(StatusCode::OK.into_response(), &told))
}

async fn body_of(
    service: &Service,
    request: Request,
    verb: &str,
) -> Result<(super::Acting, axum::body::Bytes), Fault> {
    let (head, body) = request.into_parts();
    let asking = (&head.headers, &head.extensions);
    let change = (Role::Revocations, Access::Write);
    let acting = permit(service, asking, change, Scope::All, verb).await?;
    let body = read_body(body, MAX_BODY_LEN, service.limits.body_timeout).await?;
    Ok((acting, body))
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Fault> {
    let detail = "the body is not {\"kind\": \"vm\", \"what\": \"…\"}; kind is vm, image, tenant or \
                  resource, and adding takes a reason, too";
    serde_json::from_slice(body)
        .map_err(|error| Fault::new(FaultKind::InvalidRequest, detail).because(&error))
}

fn refuse(error: &RevocationError) -> Fault {
    match error {
        RevocationError::NotNamed { .. } | RevocationError::ReasonTooLong => {
            Fault::of(FaultKind::InvalidRequest, error)
        }
        // Trying again is no remedy; the error says what is.
        RevocationError::Full { .. } => Fault::of(FaultKind::RequestTooLarge, error),
        RevocationError::Store(error) => store_fault(error),
        _ => Fault::new(FaultKind::StoreError, "the list cannot be changed now").because(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_list_is_told_with_its_remedy_and_not_as_an_outage() {
        let fault = refuse(&RevocationError::Full { len: 600_000 });
        assert_eq!(fault.kind(), FaultKind::RequestTooLarge);
        assert!(
            fault.detail().contains("600000 bytes"),
            "{}",
            fault.detail()
        );
        assert!(fault.detail().contains("revoke an image or a tenant"));
    }
}
