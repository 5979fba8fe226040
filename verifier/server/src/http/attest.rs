//! `POST attest`: a token for authentic evidence, whatever it is found to be worth.

use super::body::read_body;
use super::decision::{Decided, log_verdict};
use super::fault::{Fault, FaultKind};
use super::resource::{judgement_of, refuse_key, refuse_revoked, revoked_list};
use super::session::{session, token_cookie};
use super::witnessing::witnessing;
use crate::attest::{self, AttestRefusal};
use crate::challenge::ChallengeError;
use crate::service::Service;
use crate::witness::Times;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue, SET_COOKIE};
use nitride_kbs::messages::{AttestationResponse, parse_attestation};
use nitride_kbs::wanted;
use std::sync::Arc;

/// Evidence of every kind that is judged fits, with its certificates.
const MAX_BODY_LEN: usize = 256 * 1024;

pub(super) async fn attest(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let session = session(&headers)?;
    let wanted = wanted(&headers)?;
    let body = read_body(body, MAX_BODY_LEN, service.limits.body_timeout).await?;
    let attestation =
        parse_attestation(&body).map_err(|error| Fault::of(FaultKind::InvalidRequest, &error))?;
    // Of a fleet that boots, hundreds wait for their turn, with what they sent as long as it is held.
    drop(body);
    let now_secs = service.clock.wall_secs();
    let current = service.current();
    let challenge = current
        .challenges
        .verify(&attestation.runtime_data.nonce, session, now_secs)
        .map_err(|error: ChallengeError| Fault::of(FaultKind::SessionError, &error))?;
    let key = attestation.runtime_data.tee_pubkey.clone();
    current
        .tee_keys
        .check(&key)
        .map_err(|error| refuse_key(&error))?;
    let head = attestation.runtime_data.audit_head;
    let judgement = judgement_of(&current)?;
    let (judging, by) = (current.clone(), judgement.clone());
    let judge = move || {
        attest::attest(
            &attestation,
            challenge,
            &by.attestation_policy,
            &judging.collateral(),
            now_secs,
        )
    };
    let judged = service.judging.run(judge).await;
    let judged = judged.map_err(|error| Fault::internal(&error))?;
    let (mut composite, runtime) = judged.map_err(|refusal| refuse(&refusal))?;
    if let Some(appraisal) = &judgement.appraisal {
        let evaluators = &service.evaluators;
        let appraised = appraisal.apply(evaluators, &mut composite, now_secs).await;
        appraised.map_err(|fault| {
            let detail = "the evidence was not appraised; ask again later";
            Fault::new(FaultKind::AttestationError, detail).because(&fault)
        })?;
    }
    // Of evidence that verified alone, so that nobody else can spend a guest's challenge.
    service
        .answered
        .note(challenge.id, &key, service.clock.monotonic_ms())
        .map_err(|error| Fault::of(FaultKind::SessionError, &error))?;
    let submods = composite.submods();
    let verdicts =
        submods.map(|(submod, verdict)| log_verdict(&service.watch, &submod, verdict, &key));
    let mut events: Vec<_> = verdicts.collect();

    let submods = composite.submods();
    let submods = submods.map(|(_, verdict)| verdict.submod("", runtime.clone()));
    revoked_list(&service)
        .await?
        .check_claims(submods)
        .map_err(|error| refuse_revoked(&error))?;
    let times = Times {
        challenged_secs: challenge.issued_secs,
        now_secs,
    };
    let witnessed = witnessing(&service, &composite, (&key, head), times).await?;
    events.extend(witnessed.event);
    let decided = Decided::of(events);
    if let Some(fault) = witnessed.refused {
        let mut response = fault.into_response();
        response.extensions_mut().insert(decided);
        return Ok(response);
    }
    let token = current
        .issuer
        .issue(&composite, &runtime, wanted, now_secs)
        .map_err(|error| Fault::internal(&error))?;
    let cookie = token_cookie(&token, service.plain_http);
    let mut response = AttestationResponse { token }.to_json().into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
    response.extensions_mut().insert(decided);
    Ok(response)
}

/// What the token is to be for: nothing said is no limit.
fn wanted(headers: &HeaderMap) -> Result<Option<Vec<String>>, Fault> {
    let mut all = headers.get_all(wanted::HEADER).iter();
    let Some(header) = all.next() else {
        return Ok(None);
    };
    let malformed = || Fault::new(FaultKind::InvalidRequest, "nitride-resources is malformed");
    let text = header.to_str().map_err(|_| malformed())?;
    if all.next().is_some() {
        return Err(malformed());
    }
    let resources =
        wanted::parse(text).map_err(|error| Fault::of(FaultKind::InvalidRequest, &error))?;
    Ok(Some(
        resources
            .iter()
            .map(|path| path.as_str().to_owned())
            .collect(),
    ))
}

/// The guest's operator is told which check failed: it is about what the guest sent.
fn refuse(refusal: &AttestRefusal) -> Fault {
    let detail = match refusal {
        AttestRefusal::Key(error) => error.to_string(),
        AttestRefusal::InitData(error) => error.to_string(),
        AttestRefusal::OverBudget(error) => error.to_string(),
        AttestRefusal::Evidence(refused) => refused.cause.told(),
    };
    Fault::new(FaultKind::AttestationError, detail).because(refusal)
}
