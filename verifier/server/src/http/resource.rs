//! `GET resource/...`: a resource, encrypted to the TEE key inside a token of ours.

use super::decision::{Decided, log_release};
use super::fault::{Fault, FaultKind};
use super::session::token;
use crate::entropy::KernelEntropy;
use crate::generated::{self, Machine, MakeError};
use crate::judgement::Judgement;
use crate::jwe;
use crate::policies::Allowed;
use crate::revocation::{Revoked, RevokedList};
use crate::service::{Current, Service};
use crate::store::{Place, Resource, StoreError};
use crate::tee_keys::FormNotTaken;
use crate::token::AcceptedToken;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Uri};
use nitride_kbs::resource::ResourcePath;
use nitride_policy::{Denied, RegoFault};
use std::sync::Arc;

pub(super) const ROUTE: &str = "/kbs/v0/resource/{*path}";
const PREFIX: &str = "/kbs/v0/resource/";

pub(super) async fn read(
    State(service): State<Arc<Service>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let path = path_of(&uri)?;
    serve(&service, &path, token(&headers)?).await
}

/// Serves what the token and the policies allow, however the token came.
pub(super) async fn serve(
    service: &Service,
    path: &ResourcePath,
    token: &str,
) -> Result<Response, Fault> {
    let now_secs = service.clock.wall_secs();
    let current = service.current();
    let token = current
        .issuer
        .accept(token, now_secs)
        .and_then(|token| token.check_resource(path).map(|()| token))
        .map_err(|error| Fault::of(FaultKind::TokenVerifierError, &error))?;
    check_revoked(service, &token, path).await?;
    // The policy comes before the store, so that who is not allowed learns nothing of what is there.
    let allowed = judgement_of(&current)?
        .policies
        .decide(&service.evaluators, &token, path)
        .await
        .map_err(|denied| deny(&denied))?;
    // Its token may be older than the configuration, or of a replica with another one.
    let taken = current.tee_keys.check(allowed.tee_key());
    taken.map_err(|error| refuse_key(&error))?;
    let (body, given) = release(service, &current, &token, &allowed).await?;
    // A policy and a store may have taken their time; what was revoked meanwhile is not given.
    check_revoked(service, &token, path).await?;
    let released = log_release(&service.watch, &allowed, given.as_deref());
    let content_type = HeaderValue::from_static("application/json");
    let mut response = ([(CONTENT_TYPE, content_type)], body).into_response();
    let decided = Decided::of(vec![released]);
    response.extensions_mut().insert(decided);
    Ok(response)
}

async fn check_revoked(
    service: &Service,
    token: &AcceptedToken,
    path: &ResourcePath,
) -> Result<(), Fault> {
    let revoked = revoked_list(service).await?;
    revoked
        .check_resource(path)
        .and_then(|()| revoked.check_claims(token.claims().submods.values()))
        .map_err(|error| refuse_revoked(&error))
}

/// What decides; while the store has not told it nothing is given.
pub(super) fn judgement_of(current: &Current) -> Result<&Arc<Judgement>, Fault> {
    let detail = "the store has not told the policies yet";
    let unknown = || Fault::new(FaultKind::StoreError, detail);
    current.judgement.as_ref().ok_or_else(unknown)
}

/// What is revoked now; while that is not known nothing is given.
pub(super) async fn revoked_list(service: &Service) -> Result<Arc<RevokedList>, Fault> {
    let list = service.revocations.now(&service.store, &service.clock);
    list.await.map_err(|error| {
        let detail = "the store cannot say now what is revoked";
        Fault::new(FaultKind::StoreError, detail).because(&error)
    })
}

/// The guest is told that, and the log what.
pub(super) fn refuse_revoked(revoked: &Revoked) -> Fault {
    let detail = "this machine, its image, the tenant or the resource is revoked";
    Fault::new(FaultKind::PolicyDeny, detail).because(revoked)
}

/// What a guest may change: it is told what is taken.
pub(super) fn refuse_key(error: &FormNotTaken) -> Fault {
    Fault::of(FaultKind::UnsupportedTeeKey, error)
}

/// Asks for the leave by type: there is no other way to a resource. Of what was made for one machine also
/// which, for the log.
async fn release(
    service: &Service,
    current: &Current,
    token: &AcceptedToken,
    allowed: &Allowed<'_>,
) -> Result<(String, Option<String>), Fault> {
    let (resource, given) = match made(service, current, token, allowed).await? {
        Some((resource, given)) => (resource, Some(given)),
        None => {
            let stored = service.store.read(&Place::from(allowed.path())).await;
            let stored = stored.map_err(|error| store_fault(&error))?;
            let absent = || Fault::new(FaultKind::ResourceNotFound, "there is no such resource");
            (stored.ok_or_else(absent)?.bytes, None)
        }
    };
    let sealed = jwe::seal(&resource, allowed.tee_key(), &mut KernelEntropy);
    Ok((sealed.map_err(|error| Fault::internal(&error))?, given))
}

/// What the service makes itself, where this resource is one of those; what lies in the store under such a
/// name is nobody's.
async fn made(
    service: &Service,
    current: &Current,
    token: &AcceptedToken,
    allowed: &Allowed<'_>,
) -> Result<Option<(Resource, String)>, Fault> {
    let Some(generation) = &current.generation else {
        return Ok(None);
    };
    let Some(template) = generation.template(allowed.path()) else {
        return Ok(None);
    };
    let machine = Machine::proven(token, template)
        .map_err(|unproven| Fault::of(FaultKind::PolicyDeny, &unproven))?;
    let mut entropy = KernelEntropy;
    let given = generated::give(
        (service.store.as_ref(), &service.rooms),
        template,
        allowed.path(),
        &machine,
        &service.clock,
        &mut entropy,
    );
    let given = given.await.map_err(|error| make_fault(&error))?;
    let envelope = generation.envelope(template, allowed.path(), &given.kept);
    let envelope = envelope.map_err(|error| Fault::internal(&error))?;
    let how = if given.is_new { "made now" } else { "kept" };
    let told = format!(
        "version {}, {how}, of {}",
        given.kept.number(),
        machine.as_str()
    );
    Ok(Some((envelope, told)))
}

/// The guest's operator can mend what concerns this machine; the rest is the service's.
fn make_fault(error: &MakeError) -> Fault {
    match error {
        MakeError::Store(error) => store_fault(error),
        MakeError::Destroyed { .. } => {
            let detail = "what was made for this machine was destroyed";
            Fault::new(FaultKind::PolicyDeny, detail).because(error)
        }
        MakeError::Full { .. } => {
            let detail = "as many machines as may have this resource have it";
            Fault::new(FaultKind::PolicyDeny, detail).because(error)
        }
        _ => Fault::internal(error),
    }
}

/// The path from the request's own target, undecoded: no character of a resource's name needs an
/// escape. One client asks for `/resource//repo/type/tag`; the empty segment is passed over. A URI
/// in the path's place would be one more name of the same resource, which whoever filters paths in
/// front of this service does not know.
pub(super) fn path_of(uri: &Uri) -> Result<ResourcePath, Fault> {
    path_under(PREFIX, uri)
}

pub(super) fn path_under(prefix: &str, uri: &Uri) -> Result<ResourcePath, Fault> {
    let path = uri.path().strip_prefix(prefix).unwrap_or_default();
    let path = path.strip_prefix('/').unwrap_or(path);
    let resource = ResourcePath::parse(path)
        .map_err(|error| Fault::of(FaultKind::InvalidRequestPath, &error))?;
    if resource.as_str() == path {
        Ok(resource)
    } else {
        let detail = "the path is a resource's URI; leave out the scheme";
        Err(Fault::new(FaultKind::InvalidRequestPath, detail))
    }
}

/// A name that no file system takes is the client's to change; all else is the store's.
pub(super) fn store_fault(error: &StoreError) -> Fault {
    match error {
        StoreError::NameTooLong { .. } => Fault::of(FaultKind::InvalidRequestPath, error),
        StoreError::Conflict { .. } => Fault::of(FaultKind::Conflict, error),
        _ => Fault::new(FaultKind::StoreError, "the store cannot answer this now").because(error),
    }
}

/// The log gets the rules' objections; the client only that there were some.
fn deny(denied: &Denied) -> Fault {
    let detail = match denied {
        Denied::NotNamed { .. } => "no rule of the resource policy names this resource",
        Denied::Rego {
            fault: RegoFault::NotEvaluated(_),
            ..
        } => "the resource policy was not evaluated; ask again later",
        Denied::NotSatisfied { .. } | Denied::Rego { .. } => {
            "this attestation result does not satisfy the resource policy"
        }
    };
    Fault::new(FaultKind::PolicyDeny, detail).because(denied)
}
