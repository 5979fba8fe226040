//! What admins may see: names of resources, the audit's head, how this replica is. Never what a
//! resource holds.

use super::super::fault::{Fault, FaultKind};
use super::super::resource::store_fault;
use super::{namespace_of, permit};
use crate::admin::{Access, Role, Scope};
use crate::audit::entry::hex;
use crate::policy_watch::PolicyWatch;
use crate::service::Service;
use crate::store::{Place, Under};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue};
use nitride_kbs::resource::ResourcePath;
use serde_json::{Value, json};
use std::sync::Arc;

const SEE: (Role, Access) = (Role::Audit, Access::Read);

/// The newest entry of this replica's audit, to be kept elsewhere.
pub(super) async fn audit_head(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Fault> {
    let asking = (request.headers(), request.extensions());
    permit(&service, asking, SEE, Scope::All, "audit-head").await?;
    let Some(head) = service.watch.audit.head() else {
        let detail = "this service writes no audit; add [audit] to its configuration";
        return Err(Fault::new(FaultKind::NotFound, detail));
    };
    let digest = hex(&head.digest);
    Ok(answer(
        &json!({ "sequence": head.sequence, "digest": digest }),
    ))
}

/// What holds on this replica.
pub(super) async fn status(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Fault> {
    let asking = (request.headers(), request.extensions());
    permit(&service, asking, SEE, Scope::All, "status").await?;
    let current = service.current();
    let state = service.watch.health.state();
    let policy_set = service
        .policy_watch
        .as_ref()
        .and_then(PolicyWatch::in_force);
    Ok(answer(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "policies": current.digest().map(|digest| hex(&digest)),
        "policy_set": policy_set.map(|set| set.serial),
        "admins": current.admins.len(),
        "ready": state.not_ready.is_empty(),
        "not_ready": state.not_ready,
        "refused_reload": state.refused_reload,
        "refused_renewal": state.refused_renewal,
        "certificate_ends_secs": current.certificate_ends_secs(),
        "audit_sequence": service.watch.audit.head().map(|head| head.sequence),
        "audit_lost": service.watch.audit.lost(),
    })))
}

/// The names of resources, of one repository or of all.
pub(super) async fn resources(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Fault> {
    let namespace = namespace_of(request.uri())?;
    let scope = namespace.as_deref().map_or(Scope::All, Scope::Namespace);
    let asking = (request.headers(), request.extensions());
    let list = (Role::Resources, Access::Read);
    permit(&service, asking, list, scope, "resources").await?;
    let listing = service.store.list(Under::Resources).await;
    let listing = listing.map_err(|error| store_fault(&error))?;
    let names: Vec<&str> = listing
        .places
        .iter()
        .filter_map(|place| match place {
            Place::Resource(path) => Some(path),
            Place::Record(_) => None,
        })
        .filter(|path| {
            namespace
                .as_deref()
                .is_none_or(|name| path.repository() == name)
        })
        .map(ResourcePath::as_str)
        .collect();
    Ok(answer(&json!({ "resources": names })))
}

pub(super) fn answer(value: &Value) -> Response {
    let content_type = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, content_type)], value.to_string()).into_response()
}
