//! What `attest` does with the head of a vault's audit: it is compared, written into this service's own
//! audit, and, where it does not go on from what was witnessed and the configuration says so, refused.

use super::decision::{shown, who};
use super::fault::{Fault, FaultKind};
use crate::audit::entry::{Event, Kind};
use crate::identity::Identity;
use crate::service::Service;
use crate::witness::{Finding, OnFork, Times, witness};
use nitride_kbs::audit_head::AuditHead;
use nitride_kbs::tee_key::TeePublicKey;
use nitride_kbs::token::EarStatus;
use nitride_verify::Composite;
use thiserror::Error;

/// What came of it: an entry for the audit, and why there is no token, if there is none.
#[derive(Debug, Default)]
pub(super) struct Witnessing {
    pub(super) event: Option<Event<'static>>,
    pub(super) refused: Option<Fault>,
}

/// The chain is another one than was witnessed.
#[derive(Debug, Error)]
#[error("{what}, and {reason}; `witness forget` takes what was witnessed back")]
struct OtherChain {
    what: String,
    reason: String,
}

/// Of machines that the policy wants: of any other, whose evidence is genuine all the same, nothing is
/// remembered, so that nobody fills the store with machines of his own.
pub(super) async fn witnessing(
    service: &Service,
    composite: &Composite,
    (key, head): (&TeePublicKey, Option<AuditHead>),
    times: Times,
) -> Result<Witnessing, Fault> {
    let is_wanted = composite
        .submods()
        .all(|(_, verdict)| verdict.status() != EarStatus::Contraindicated);
    let Some(settings) = service.witness.as_ref().filter(|_| is_wanted) else {
        return Ok(Witnessing::default());
    };
    let machine = Identity::of(&settings.identity, composite.primary());
    let finding = match &machine {
        Some(machine) => {
            let store = service.store.as_ref();
            let asking = witness(store, settings.on_fork, machine, head, times).await;
            asking.map_err(|error| {
                let detail = "the store cannot say now what was witnessed of this machine";
                Fault::new(FaultKind::StoreError, detail).because(&error)
            })?
        }
        // There is nothing to compare it with, and it is in the audit all the same.
        None if head.is_some() => Finding::Good,
        None => Finding::Nothing,
    };
    if finding == Finding::Nothing {
        return Ok(Witnessing::default());
    }
    let outcome = match machine {
        Some(_) => finding.as_str(),
        None => "unnamed",
    };
    service.watch.metrics.count_witness(outcome);
    let event = event(outcome, machine.as_ref(), (key, head), finding);
    if finding.is_fork() {
        tracing::error!(
            decision = "witnessed",
            finding = outcome,
            what = %event.what,
            reason = %event.reason
        );
    }
    let refused = finding.is_fork() && settings.on_fork == OnFork::Refuse;
    Ok(Witnessing {
        refused: refused.then(|| {
            let detail =
                "the audit of this machine's vault does not go on from what was witnessed of it";
            Fault::new(FaultKind::AttestationError, detail).because(&OtherChain {
                what: event.what.to_string(),
                reason: event.reason.to_string(),
            })
        }),
        event: Some(event),
    })
}

/// `what` is the machine and the head, as `audit heads` reads them again; `-` is none of either.
fn event(
    outcome: &'static str,
    machine: Option<&Identity>,
    (key, head): (&TeePublicKey, Option<AuditHead>),
    finding: Finding,
) -> Event<'static> {
    let machine = machine.map_or("-", Identity::as_str);
    let head = head.map_or_else(|| "-".to_owned(), |head| head.to_string());
    let reason = finding
        .seen()
        .map(|seen| format!("witnessed before: {seen}"));
    Event {
        who: who(key).into(),
        what: shown(&format!("{machine} {head}")).into(),
        outcome: outcome.into(),
        ..Event::own(Kind::Witness, reason.unwrap_or_default())
    }
}
