//! The KBS protocol over HTTP: the table of who may ask what, and what is around every request.
//!
//! ```text
//!   method  path                          who                                     limit of the body
//!   POST    /kbs/v0/auth                  anyone                                  4 KiB
//!   POST    /kbs/v0/attest                session of a live challenge             256 KiB
//!   GET     /kbs/v0/resource/r/t/t        token of ours, and a rule that allows   none is read
//!   POST    /kbs/v0/resource-by-token/..  token of ours, and a rule that allows   129 KiB
//!   POST    /kbs/v0/resource/r/t/t        admin                                   64 KiB
//!   DELETE  /kbs/v0/resource/r/t/t        admin                                   none is read
//!   GET     /.well-known/jwks.json        anyone                                  none is read
//!   GET     /.well-known/openid-configuration  anyone                             none is read
//!   GET     /healthz                      anyone, not throttled                   none is read
//! ```

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

use crate::entropy::{KernelEntropy, draw_array};
use crate::service::Service;
use crate::source::Network;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use decision::{log_fault, shown};
use fault::{Fault, FaultKind};
use http::header::{CACHE_CONTROL, HeaderValue};
use std::net::IpAddr;
use std::sync::Arc;
use tracing::Instrument;

/// Where a challenge is had.
pub(crate) const AUTH: &str = "/kbs/v0/auth";
/// Where evidence is judged.
pub(crate) const ATTEST: &str = "/kbs/v0/attest";
const HEALTHZ: &str = "/healthz";
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
        .route(HEALTHZ, get(healthz))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(service.clone(), around))
        .with_state(service)
}

/// Around every request: an id, the source's allowance, and the log's line for what is refused.
async fn around(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let id = match draw_array::<8>(&mut KernelEntropy) {
        Ok(id) => format!("{:016x}", u64::from_be_bytes(id)),
        Err(error) => return Fault::internal(&error).into_response(),
    };
    let source = request.extensions().get::<Source>().copied();
    let span = tracing::info_span!(
        "request",
        %id,
        source = source.map(|Source(address)| tracing::field::display(address)),
        method = shown(request.method().as_str()),
        path = shown(request.uri().path()),
    );
    let answer = async {
        let mut response = match admit(&service, source, request.uri().path()) {
            Ok(()) => next.run(request).await,
            Err(fault) => fault.into_response(),
        };
        if let Some(fault) = response.extensions_mut().remove::<Arc<Fault>>() {
            log_fault(&fault);
        }
        response
    };
    let mut response = answer.instrument(span).await;
    let headers = response.headers_mut();
    // Hexadecimal digits are a header's value, always.
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
    // What may be kept says so itself.
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

fn admit(service: &Service, source: Option<Source>, path: &str) -> Result<(), Fault> {
    if path == HEALTHZ {
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
