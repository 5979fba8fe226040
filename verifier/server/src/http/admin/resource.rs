//! Writing resources over HTTP.

use super::super::body::read_body;
use super::super::fault::{Fault, FaultKind};
use super::super::resource::{path_of, store_fault};
use super::{expected, permit};
use crate::admin::{Access, Role, Scope};
use crate::service::Service;
use crate::store::{MAX_RESOURCE_LEN, Place, Resource};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::ETAG;
use nitride_kbs::envelope::looks_like_envelope;
use nitride_kbs::resource::ResourcePath;
use std::sync::Arc;

const WRITE: (Role, Access) = (Role::Resources, Access::Write);

pub(in crate::http) async fn write(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Fault> {
    let (head, body) = request.into_parts();
    let path = path_of(&head.uri);
    // Who is no admin is not told what is wrong with the path.
    let scope = path
        .as_ref()
        .map_or(Scope::All, |path| Scope::Namespace(path.repository()));
    let what = path.as_ref().map_or("", |path| path.as_str());
    let asking = (&head.headers, &head.extensions);
    let acting = permit(&service, asking, WRITE, scope, what).await?;
    let path = path?;
    refuse_generated(&service, &path)?;
    let body = read_body(body, MAX_RESOURCE_LEN, service.limits.body_timeout).await?;
    let reason = match looks_like_envelope(&body) {
        true => "stored an envelope",
        false => "stored raw bytes",
    };
    let resource = Resource::new(body.to_vec());
    let expected = expected(&head.headers)?;
    let place = Place::from(&path);
    let written = service.store.write(&place, resource, expected).await;
    let version = written.map_err(|error| store_fault(&error))?;
    let tag = [(ETAG, format!("\"{version}\""))];
    Ok(acting.done((StatusCode::OK, tag).into_response(), reason))
}

/// What is stored under such a name nobody would ever get.
fn refuse_generated(service: &Service, path: &ResourcePath) -> Result<(), Fault> {
    let current = service.current();
    let generation = current.generation.as_ref();
    if generation.is_some_and(|generation| generation.template(path).is_some()) {
        let detail = "this resource is made for each machine; store this under another name";
        return Err(Fault::new(FaultKind::InvalidRequestPath, detail));
    }
    Ok(())
}

pub(in crate::http) async fn delete(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Fault> {
    let (head, _) = request.into_parts();
    let path = path_of(&head.uri);
    let scope = path
        .as_ref()
        .map_or(Scope::All, |path| Scope::Namespace(path.repository()));
    let what = path.as_ref().map_or("", |path| path.as_str());
    let asking = (&head.headers, &head.extensions);
    let acting = permit(&service, asking, WRITE, scope, what).await?;
    let path = path?;
    let expected = expected(&head.headers)?;
    let place = Place::from(&path);
    let deleted = service.store.delete(&place, expected).await;
    if !deleted.map_err(|error| store_fault(&error))? {
        return Err(Fault::new(
            FaultKind::ResourceNotFound,
            "there is no such resource",
        ));
    }
    Ok(acting.done(StatusCode::OK.into_response(), "deleted"))
}
