//! `POST auth`: a challenge for whoever asks.

use super::body::read_body;
use super::decision::shown;
use super::fault::{Fault, FaultKind};
use super::resource::judgement_of;
use super::session::challenge_cookie;
use crate::entropy::KernelEntropy;
use crate::service::Service;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue, SET_COOKIE};
use nitride_kbs::limits::MAX_REQUEST_LEN;
use nitride_kbs::messages::{Challenge, Request, parse_request};
use nitride_kbs::{PROTOCOL_VERSION, is_spoken};
use nitride_verify::{AttestationPolicy, Refusal, Tee};
use serde_json::Value;
use std::sync::Arc;

/// The hash of report_data that this service computes; the protocol's own choice.
const HASH: &str = "sha384";

pub(super) async fn auth(
    State(service): State<Arc<Service>>,
    body: Body,
) -> Result<Response, Fault> {
    let body = read_body(body, MAX_REQUEST_LEN, service.limits.body_timeout).await?;
    let request =
        parse_request(&body).map_err(|error| Fault::of(FaultKind::InvalidRequest, &error))?;
    let current = service.current();
    let judgement = judgement_of(&current)?;
    let tee = accept(&request, &judgement.attestation_policy)?;
    let issued = current
        .challenges
        .issue(tee, service.clock.wall_secs(), &mut KernelEntropy)
        .map_err(|error| Fault::internal(&error))?;
    let cookie = challenge_cookie(&issued.session, service.plain_http);
    let challenge = Challenge::offering(issued.nonce, current.tee_keys.forms());
    let challenge = match service.witness {
        Some(_) => challenge.witnessing(),
        None => challenge,
    };
    tracing::debug!(decision = "challenged", tee = tee.as_str());
    let mut response = challenge.to_json().into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
    Ok(response)
}

fn accept(request: &Request, policy: &AttestationPolicy) -> Result<Tee, Fault> {
    if !is_spoken(&request.version) {
        let version: String = shown(&request.version).chars().take(32).collect();
        let detail = format!(
            "this service speaks KBS {PROTOCOL_VERSION} and every other version of 0.4, not {version}"
        );
        return Err(Fault::new(FaultKind::ProtocolVersion, detail));
    }
    // A client that lists its hashes and has not ours would compute another report_data.
    let hashes = request
        .extra_params
        .get("supported-hash-algorithms")
        .and_then(Value::as_array);
    if hashes.is_some_and(|hashes| !hashes.iter().any(|hash| hash == HASH)) {
        let detail = format!("this service needs the hash {HASH}");
        return Err(Fault::new(FaultKind::InvalidRequest, detail));
    }
    // That sample evidence is not accepted is told when it comes, as the reason it is refused for.
    Tee::parse(&request.tee)
        .filter(|tee| !matches!(policy.admits(*tee), Err(Refusal::NotInPolicy { .. })))
        .ok_or_else(|| {
            let detail = format!(
                "this service does not judge evidence of tee {}",
                request.tee
            );
            Fault::new(FaultKind::UnsupportedTee, detail)
        })
}
