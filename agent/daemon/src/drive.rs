//! Carries out what one round's state machine asks for.

use crate::clock::{Clock, draw};
use crate::record::Noted;
use crate::service::{Service, Services};
use crate::transport::{Failed, Transport, chain};
use nitride_client::{AgentConnection, ClientError, PlaintextResource, RoundOrder};
use nitride_courier::{
    Effect, EndpointId, Event, Failure, HttpRequest, Order, Outcome, Question, Round,
    TransportFault, VaultAnswer,
};
use nitride_protocol::Status;
use nitride_protocol::agent::{FailureClass, RoundCause};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep_until, timeout_at};

/// How a round came out for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driven {
    /// The state machine ended.
    Ended(Outcome),
    /// The order could not even be begun; vhsmd was told.
    Declined,
    /// vhsmd went away in the middle; it gives its rounds up itself.
    VaultLost,
}

/// A round's id for the log.
struct Id<'a>(&'a [u8]);

impl fmt::Display for Id<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .take(4)
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// Drives one order to its end.
pub(crate) async fn drive(
    ordered: RoundOrder,
    services: Arc<Services>,
    vault: Arc<AgentConnection>,
    clock: Clock,
) -> Driven {
    let round = Id(&ordered.round);
    tracing::info!(
        %round,
        service = ordered.service,
        resources = ordered.resources.len(),
        result_wanted = ordered.result_wanted,
        plaintext = ordered.plaintext,
        budget_ms = ordered.budget_ms,
        cause = ordered.cause.map(RoundCause::as_str),
        "round ordered"
    );
    let Some(service) = services.named(&ordered.service) else {
        let reason = "agent: the configuration has no such service";
        return decline(&ordered, &vault, reason).await;
    };
    let resources: Vec<&str> = ordered.resources.iter().map(String::as_str).collect();
    let order = Order::new(
        ordered.round,
        &ordered.tee,
        &resources,
        ordered.result_wanted,
        ordered.budget_ms,
    );
    let order = match order {
        Ok(order) => order,
        Err(error) => return decline(&ordered, &vault, &chain(&error)).await,
    };
    let begun = match begin(order, &service, ordered.plaintext, clock) {
        Ok(begun) => begun,
        Err(reason) => {
            let failure = declined(&reason);
            let noted = Noted::Failure(failure);
            let now_ms = clock.now_ms();
            service.record().note(noted, &VaultAnswer::Accepted, now_ms);
            return decline(&ordered, &vault, &reason).await;
        }
    };
    let under_way = service.under_way(ordered.cause);
    let driven = play(begun, &service, &vault, clock).await;
    under_way.end(driven);
    match driven {
        Driven::Ended(outcome) => tracing::info!(
            %round,
            ending = ?outcome.ending,
            delivered = outcome.delivered,
            refused_by_vault = outcome.refused_by_vault,
            failed = outcome.failed,
            "round ended"
        ),
        Driven::VaultLost => tracing::warn!(%round, "round given up: vhsmd has gone"),
        Driven::Declined => {}
    }
    driven
}

/// Begins the round as its order has it: what the vault does not want read is not read here, and what it
/// wants read no KBS gives.
fn begin(
    order: Order,
    service: &Service,
    in_clear: bool,
    clock: Clock,
) -> Result<(Round, Effect), String> {
    let endpoints = &mut service.endpoints();
    match (&service.openbao, in_clear) {
        (None, false) => Ok(Round::begin(order, endpoints, clock.now_ms(), draw())),
        (Some(openbao), true) => openbao.begin(order, endpoints, clock),
        (Some(_), false) => Err(
            "agent: the service is one that the agent reads, and vhsmd.toml does not say \
             plaintext-courier for it: nothing is read"
                .to_owned(),
        ),
        (None, true) => Err(
            "agent: vhsmd.toml says plaintext-courier for the service, and it is a KBS here: make both \
             configurations agree"
                .to_owned(),
        ),
    }
}

async fn play(
    (mut round, mut effect): (Round, Effect),
    service: &Service,
    vault: &AgentConnection,
    clock: Clock,
) -> Driven {
    let id = *round.order().round();
    loop {
        let event = match effect {
            Effect::Http { request, until_ms } => {
                let exchange = exchange(service, request);
                let answer = timeout_at(clock.instant(until_ms), exchange).await;
                answer.map_or(Event::Timer, Event::Http)
            }
            Effect::AskVault { question, until_ms } => {
                let noted = Noted::of(&question);
                let asked = ask(vault, &id, question);
                match timeout_at(clock.instant(until_ms), asked).await {
                    Ok(Some(answer)) => {
                        service.record().note(noted, &answer, clock.now_ms());
                        Event::Vault(answer)
                    }
                    Ok(None) => return Driven::VaultLost,
                    Err(_) => Event::Timer,
                }
            }
            Effect::Wait { until_ms } => {
                sleep_until(clock.instant(until_ms)).await;
                Event::Timer
            }
            Effect::Done(outcome) => return Driven::Ended(outcome),
        };
        let now_ms = clock.now_ms();
        let next = round.step(event, &mut service.endpoints(), now_ms, draw());
        // Every event answers the effect that brought it. Were one ever not to, the round's own
        // deadlines still end it.
        effect = next.unwrap_or(Effect::Wait {
            until_ms: now_ms + 10,
        });
    }
}

async fn exchange(
    service: &Service,
    request: HttpRequest,
) -> Result<nitride_courier::HttpAnswer, TransportFault> {
    let EndpointId(index) = request.endpoint;
    let Some(transport) = service.transports.get(index) else {
        return Err(TransportFault::Unreachable);
    };
    let path = request.path.clone();
    let answer = transport.send(request).await;
    log_exchange(transport, &path, &answer);
    answer.map_err(|failed| failed.fault)
}

/// Who was asked for what and what came, without a word of what was said.
fn log_exchange(
    transport: &Transport,
    path: &str,
    answer: &Result<nitride_courier::HttpAnswer, Failed>,
) {
    let url = transport.url();
    match answer {
        Ok(answer) => tracing::debug!(url, path, status = answer.status, "service answered"),
        Err(Failed { fault, cause }) => tracing::warn!(url, path, %fault, cause, "no answer"),
    }
}

/// `None` when vhsmd is gone.
async fn ask(vault: &AgentConnection, round: &[u8; 16], question: Question) -> Option<VaultAnswer> {
    let verb = question.name();
    let answer = match question {
        Question::Challenge {
            nonce,
            hash,
            tee_keys,
            wants_audit_head,
        } => {
            let tee_keys: Vec<&str> = tee_keys.iter().map(|form| form.as_str()).collect();
            let hash = hash.as_deref();
            let evidence = vault
                .challenge(*round, &nonce, hash, &tee_keys, wants_audit_head)
                .await;
            evidence.map(|evidence| VaultAnswer::Evidence {
                tee_pubkey: evidence.tee_pubkey,
                primary_evidence: evidence.primary_evidence,
                additional_evidence: evidence.additional_evidence,
                init_data: evidence.init_data,
                audit_head: evidence.audit_head.map(|head| (head.sequence, head.digest)),
            })
        }
        Question::Result { token } => accepted(vault.result(*round, &token).await),
        Question::Resource { resource, jwe } => {
            accepted(vault.resource(*round, &resource, &jwe).await)
        }
        Question::Plaintext {
            resource,
            version,
            lease_secs,
            material,
        } => {
            let read = PlaintextResource {
                version,
                lease_secs,
                material: &material,
            };
            accepted(vault.plaintext(*round, &resource, read).await)
        }
        Question::Failure(failure) => accepted(report(vault, round, &failure).await),
        Question::Finish => accepted(vault.finish(*round).await),
    };
    match answer {
        Ok(answer) => Some(answer),
        Err(ClientError::Refused { status, .. }) => {
            match status {
                // vhsmd has ended the round itself, for a reason of its own that its log has.
                Status::RoundNotFound => {
                    tracing::debug!(round = %Id(round), verb, "vhsmd has ended the round");
                }
                _ => tracing::warn!(round = %Id(round), verb, %status, "vhsmd refused"),
            }
            Some(VaultAnswer::Refused(status))
        }
        // What does not fit a packet would not fit another time, either.
        Err(error @ ClientError::TooLong { .. }) => {
            tracing::warn!(round = %Id(round), verb, error = chain(&error), "not sent to vhsmd");
            Some(VaultAnswer::Refused(Status::TooLarge))
        }
        Err(error) => {
            tracing::debug!(round = %Id(round), verb, error = chain(&error), "no answer of vhsmd");
            None
        }
    }
}

fn accepted(answer: Result<(), ClientError>) -> Result<VaultAnswer, ClientError> {
    answer.map(|()| VaultAnswer::Accepted)
}

async fn report(
    vault: &AgentConnection,
    round: &[u8; 16],
    failure: &Failure,
) -> Result<(), ClientError> {
    tracing::warn!(
        round = %Id(round),
        resource = failure.resource,
        class = %failure.class,
        reason = failure.reason,
        "not delivered"
    );
    let retry_after = Duration::from_millis(failure.retry_after_ms.into());
    let resource = failure.resource.as_deref();
    let (class, reason) = (failure.class, failure.reason.as_str());
    vault
        .failure(*round, resource, class, reason, retry_after)
        .await
}

/// Tells vhsmd that an order cannot be carried out at all.
async fn decline(ordered: &RoundOrder, vault: &AgentConnection, reason: &str) -> Driven {
    let failure = Question::Failure(declined(reason));
    let told = ask(vault, &ordered.round, failure).await;
    if told.is_some() {
        // vhsmd has its own deadline for the round, should it not hear this.
        let _ = ask(vault, &ordered.round, Question::Finish).await;
    }
    Driven::Declined
}

fn declined(reason: &str) -> Failure {
    Failure {
        resource: None,
        class: FailureClass::Unreachable,
        reason: reason.to_owned(),
        retry_after_ms: 0,
    }
}
