//! The KBS protocol over HTTP: the table of who may ask what, and what is around every request.
//!
//! ```text
//!   method  path                          who                                     limit of the body
//!   POST    /kbs/v0/auth                  anyone                                  4 KiB
//!   POST    /kbs/v0/attest                session of a live challenge             256 KiB
//!   GET     /kbs/v0/resource/r/t/t        token of ours, and a rule that allows   none is read
//!   POST    /kbs/v0/resource-by-token/..  token of ours, and a rule that allows   129 KiB
//!   POST    /kbs/v0/resource/r/t/t        admin, by `admin`'s table               64 KiB
//!   DELETE  /kbs/v0/resource/r/t/t        admin                                   none is read
//!   …       /kbs/v0/nitride/…             admin                                   `admin`'s own
//!   GET     /.well-known/jwks.json        anyone                                  none is read
//!   GET     /.well-known/openid-configuration  anyone                             none is read
//!   GET     /healthz /readyz              anyone, not throttled                   none is read
//! ```
//!
//! An answer that decides something carries what it decided ([`decision::Decided`]), and leaves once the
//! audit has it.

mod admin;
mod attest;
mod auth;
mod body;
mod decision;
mod fault;
mod resource;
mod resource_by_token;
mod session;
mod well_known;
mod witnessing;

use crate::acts::Actor;
use crate::audit::Unaudited;
use crate::audit::entry::Event;
use crate::entropy::{KernelEntropy, draw_array};
use crate::service::Service;
use crate::source::Network;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use decision::{Decided, log_fault, shown};
use fault::{Fault, FaultKind};
use http::header::{CACHE_CONTROL, HeaderValue};
use http::{Method, StatusCode};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use thiserror::Error;
use tracing::Instrument;

/// Where a challenge is had.
pub(crate) const AUTH: &str = "/kbs/v0/auth";
/// Where evidence is judged.
pub(crate) const ATTEST: &str = "/kbs/v0/attest";
const HEALTHZ: &str = "/healthz";
const READYZ: &str = "/readyz";
const ADMIN: &str = "/kbs/v0/nitride/";
const RESOURCES: &str = "/kbs/v0/resource/";
/// Ties an answer to what the log says about it.
const REQUEST_ID: &str = "nitride-request-id";

/// The address that a connection came from. Set by whoever accepted it; no header can.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source(pub(crate) IpAddr);

/// The whole service as one router. A request without a [`Source`] is refused.
pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route(AUTH, post(auth::auth))
        .route(ATTEST, post(attest::attest))
        .route(
            resource::ROUTE,
            get(resource::read).post(admin::write).delete(admin::delete),
        )
        .route(well_known::JWKS, get(well_known::jwks))
        .route(well_known::DISCOVERY, get(well_known::discovery))
        .route(resource_by_token::ROUTE, post(resource_by_token::read))
        .merge(admin::router())
        .route(HEALTHZ, get(healthz))
        .route(READYZ, get(readyz))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(service.clone(), around))
        .with_state(service)
}

/// Around every request: an id, the source's allowance, and the log's line for what is refused. What an
/// admin does goes on with its entry in the audit though he hangs up.
async fn around(State(service): State<Arc<Service>>, mut request: Request, next: Next) -> Response {
    let id = match draw_array::<8>(&mut KernelEntropy) {
        Ok(id) => format!("{:016x}", u64::from_be_bytes(id)),
        Err(error) => return Fault::internal(&error).into_response(),
    };
    let began = Instant::now();
    let source = request.extensions().get::<Source>().copied();
    let asked = asked(request.method(), request.uri().path());
    let is_act = asked == "admin" && request.method() != Method::GET;
    let actor = Actor::default();
    if asked == "admin" {
        request.extensions_mut().insert(actor.clone());
    }
    let what = shown(request.uri().path());
    let span = tracing::info_span!(
        "request",
        %id,
        source = source.map(|Source(address)| tracing::field::display(address)),
        method = shown(request.method().as_str()),
        path = what,
    );
    let act = format!("{} {what} ({id})", shown(request.method().as_str()));
    let from = source.map_or_else(String::new, |Source(address)| address.to_string());
    let asker = Asker { id, from, actor };
    let (answering, its_asker, its_what) = (service.clone(), asker.clone(), what.clone());
    let answer = async move {
        let (service, asker, what) = (answering, its_asker, its_what);
        let mut response = match admit(&service, source, request.uri().path()) {
            Ok(()) => next.run(request).await,
            Err(fault) => fault.into_response(),
        };
        if let Some(decided) = response.extensions_mut().remove::<Decided>() {
            let events = decided.into_events().into_iter();
            let events = events.map(|event| asker.asked_for(event));
            if let Err(error) = record(&service, events).await {
                response = Fault::internal(&error).into_response();
            }
        }
        let fault = response.extensions_mut().remove::<Arc<Fault>>();
        if let Some(fault) = &fault {
            asker.tell(&service, fault, &what);
        }
        let outcome = fault.map_or("ok", |fault| fault.variant());
        let metrics = &service.watch.metrics;
        metrics.count_request(asked, outcome, began.elapsed());
        response
    };
    let answer = answer.instrument(span.clone());
    let mut response = match is_act {
        false => answer.await,
        true => {
            let (telling, its_asker) = (service.clone(), asker.clone());
            let panicked = move || {
                let fault = Fault::internal(&NoOutcome::Panicked);
                span.in_scope(|| its_asker.tell(&telling, &fault, &what));
                let metrics = &telling.watch.metrics;
                metrics.count_request(asked, fault.variant(), began.elapsed());
                fault.into_response()
            };
            let actor = asker.actor.clone();
            let done = service.acts.run(act, actor, answer, panicked).await;
            // The audit has it with all others that are cut off.
            done.unwrap_or_else(|| Fault::internal(&NoOutcome::CutOff).into_response())
        }
    };
    let headers = response.headers_mut();
    // Hexadecimal digits are a header's value, always.
    if let Ok(id) = HeaderValue::try_from(asker.id) {
        headers.insert(REQUEST_ID, id);
    }
    // What may be kept says so itself.
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Why nothing came of what an admin asked for.
#[derive(Debug, Error)]
enum NoOutcome {
    #[error("what was asked for panicked: look what the store has, and report this defect")]
    Panicked,
    #[error("the service ended before this had")]
    CutOff,
}

/// Whose request it is, as the log and the audit have it.
#[derive(Clone)]
struct Asker {
    id: String,
    from: String,
    actor: Actor,
}

impl Asker {
    fn asked_for<'e>(&self, event: Event<'e>) -> Event<'e> {
        Event {
            source: self.from.clone().into(),
            request: self.id.clone().into(),
            ..event
        }
    }

    /// Tells why his request was refused, or failed.
    fn tell(&self, service: &Service, fault: &Fault, what: &str) {
        let mut event = self.asked_for(log_fault(fault, &self.actor));
        if event.what.is_empty() {
            event.what = what.to_owned().into();
        }
        let now_secs = service.clock.wall_secs();
        service.watch.refused(&event, now_secs);
    }
}

/// Writes what an answer decided, in order; what cannot be written is not answered.
async fn record(
    service: &Service,
    events: impl Iterator<Item = Event<'static>>,
) -> Result<(), Unaudited> {
    let now_secs = service.clock.wall_secs();
    for event in events {
        service.watch.record(&event, now_secs).await?;
    }
    Ok(())
}

/// The kinds of requests that figures tell apart.
fn asked(method: &Method, path: &str) -> &'static str {
    match path {
        AUTH => "auth",
        ATTEST => "attest",
        HEALTHZ | READYZ => "health",
        _ if path.starts_with(ADMIN) => "admin",
        _ if path.starts_with(resource_by_token::PREFIX) => "resource",
        _ if !path.starts_with(RESOURCES) => "other",
        _ if method == Method::GET => "resource",
        _ => "admin",
    }
}

fn admit(service: &Service, source: Option<Source>, path: &str) -> Result<(), Fault> {
    if [HEALTHZ, READYZ].contains(&path) {
        return Ok(());
    }
    let Some(Source(address)) = source else {
        return Err(Fault::new(FaultKind::Internal, "request has no source"));
    };
    let (network, now_ms) = (Network::of(address), service.clock.monotonic_ms());
    let admitted = service.throttle.admit(network, now_ms).and_then(|()| {
        // Counted before a byte of the body is read, whether or not it turns out to be evidence.
        if path == ATTEST {
            service.attest_throttle.admit(network, now_ms)
        } else {
            Ok(())
        }
    });
    admitted.map_err(|too_many| Fault::too_many(too_many.retry_after_secs))
}

async fn healthz() -> &'static str {
    "ok\n"
}

/// For whoever sends requests to one of several replicas; the reasons are told by `[monitor]`.
async fn readyz(State(service): State<Arc<Service>>) -> (StatusCode, &'static str) {
    match service.watch.health.state().not_ready.is_empty() {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    }
}

async fn not_found() -> Fault {
    Fault::new(FaultKind::NotFound, "there is nothing at this path")
}

async fn method_not_allowed() -> Fault {
    Fault::new(
        FaultKind::MethodNotAllowed,
        "this path does not take this method",
    )
}

#[cfg(test)]
mod tests;
