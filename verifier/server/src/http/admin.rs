//! Writing resources over HTTP: for whoever has the admin's token, of which the service knows the
//! digest alone.

use super::body::read_body;
use super::decision::log_admin;
use super::fault::{Fault, FaultKind};
use super::resource::{path_of, store_fault};
use super::session::bearer;
use crate::service::Service;
use crate::store::{Expected, MAX_RESOURCE_LEN, Place, Resource};
use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode, Uri};
use nitride_kbs::envelope::looks_like_envelope;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use subtle::ConstantTimeEq;

pub(super) async fn write(
    State(service): State<Arc<Service>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Fault> {
    check_admin(&service, &headers)?;
    let path = path_of(&uri)?;
    let body = read_body(body, MAX_RESOURCE_LEN, service.limits.body_timeout).await?;
    let is_envelope = looks_like_envelope(&body);
    let resource = Resource::new(body.to_vec());
    let written = service
        .store
        .write(&Place::from(&path), resource, Expected::Any)
        .await;
    written.map_err(|error| store_fault(&error))?;
    log_admin("stored", path.as_str(), Some(is_envelope));
    Ok(StatusCode::OK)
}

pub(super) async fn delete(
    State(service): State<Arc<Service>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<StatusCode, Fault> {
    check_admin(&service, &headers)?;
    let path = path_of(&uri)?;
    let deleted = service
        .store
        .delete(&Place::from(&path), Expected::Any)
        .await;
    if !deleted.map_err(|error| store_fault(&error))? {
        return Err(Fault::new(
            FaultKind::ResourceNotFound,
            "there is no such resource",
        ));
    }
    log_admin("deleted", path.as_str(), None);
    Ok(StatusCode::OK)
}

/// Before anything else of the request is looked at, its body least of all.
fn check_admin(service: &Service, headers: &HeaderMap) -> Result<(), Fault> {
    let refused = |detail| Err(Fault::new(FaultKind::AdminAuthError, detail));
    let Some(expected) = service.current().admin_token_sha256 else {
        return refused("this service has no admin over HTTP");
    };
    let Some(token) = bearer(headers)? else {
        return refused("the admin's token is missing");
    };
    let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    if bool::from(digest.ct_eq(&expected)) {
        Ok(())
    } else {
        refused("the admin's token is wrong")
    }
}
