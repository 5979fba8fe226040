//! Whether this replica should be sent requests, and why not. Looked at once a second by one task; who
//! asks gets what it saw last, so that asking costs the store nothing.

use crate::audit::entry::{Event, Kind};
use crate::revocation::Change;
use crate::service::Service;
use crate::store::{Place, RecordName};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

const INTERVAL: Duration = Duration::from_secs(1);
/// The store is asked for something that need not be there, and has so long to answer.
const PROBE: &str = "health/probe";
const STORE_PATIENCE: Duration = Duration::from_secs(3);

/// What was seen last.
#[derive(Debug, Default)]
pub(crate) struct Health {
    state: RwLock<Arc<State>>,
}

/// How it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Why no request should be sent here; empty is ready.
    pub(crate) not_ready: Vec<String>,
    /// Why the newest reload changed nothing.
    pub(crate) refused_reload: Option<String>,
    /// Why the newest certificate is not the one that is offered.
    pub(crate) refused_renewal: Option<String>,
}

impl Health {
    /// Not ready before anything was looked at.
    pub(crate) fn new() -> Self {
        let health = Self::default();
        health.set_not_ready(vec!["the service is starting".to_owned()]);
        health
    }

    pub(crate) fn state(&self) -> Arc<State> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.clone()
    }

    /// Notes how the newest reload ended.
    pub(crate) fn set_reload(&self, refused: Option<String>) {
        self.change(|state| state.refused_reload = refused);
    }

    /// Notes what became of a renewed certificate.
    pub(crate) fn set_renewal(&self, refused: Option<String>) {
        self.change(|state| state.refused_renewal = refused);
    }

    fn set_not_ready(&self, not_ready: Vec<String>) {
        self.change(|state| state.not_ready = not_ready);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut held = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut state = (**held).clone();
        change(&mut state);
        *held = Arc::new(state);
    }
}

/// Looks every second, until `stopping` turns true: from then on the replica is not ready.
pub(crate) async fn look_after(service: Arc<Service>, mut stopping: watch::Receiver<bool>) {
    // Beside it: a store that is away takes the look longer than a second, and the audit waits for none.
    let ticking = tokio::spawn(tick_audit(service.clone(), stopping.clone()));
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopping.wait_for(|stopping| *stopping) => break,
        }
        let (found, ()) = tokio::join!(look(&service), tell_revocations(&service));
        let before = &service.watch.health.state().not_ready;
        if found.is_empty() && !before.is_empty() {
            tracing::info!("ready");
        } else if found != *before {
            tracing::warn!(reasons = found.join("; "), "not ready");
        }
        service.watch.health.set_not_ready(found);
    }
    let reasons = vec!["the service is stopping".to_owned()];
    service.watch.health.set_not_ready(reasons);
    let _ = ticking.await;
}

/// Ends the audit's seconds.
async fn tick_audit(service: Arc<Service>, mut stopping: watch::Receiver<bool>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        let now_secs = service.clock.wall_secs();
        let at_disk = service.clone();
        let ticked = tokio::task::spawn_blocking(move || at_disk.watch.audit.tick(now_secs));
        // A defect there is told by its own panic.
        let _ = ticked.await;
    }
}

/// Tells what was revoked or lifted, by whomever, once this replica has seen it.
async fn tell_revocations(service: &Service) {
    let store = &service.store;
    // Where it cannot be seen now, whoever asks for something is refused, and told.
    let _ = timeout(
        STORE_PATIENCE,
        service.revocations.now(store, &service.clock),
    )
    .await;
    for Change { entry, is_lifted } in service.revocations.take_changes() {
        let event = Event {
            what: format!("{} {}", entry.kind, entry.what).into(),
            outcome: if is_lifted { "lifted" } else { "revoked" }.into(),
            ..Event::own(Kind::Revocation, entry.reason)
        };
        service.watch.note(&event, service.clock.wall_secs());
    }
}

/// Everything that keeps this replica from answering.
async fn look(service: &Service) -> Vec<String> {
    let mut reasons = Vec::new();
    let Ok(probe) = RecordName::parse(PROBE).map(Place::Record) else {
        return vec!["the probe has no name".to_owned()];
    };
    match timeout(STORE_PATIENCE, service.store.read(&probe)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => reasons.push(format!("the store does not answer: {error}")),
        Err(_) => reasons.push("the store does not answer in time".to_owned()),
    }
    let now_secs = service.clock.wall_secs();
    if let Some(ends_secs) = service.current().certificate_ends_secs()
        && ends_secs < now_secs
    {
        reasons.push("the TLS certificate has ended".to_owned());
    }
    if let Some(policies) = &service.policy_watch {
        reasons.extend(policies.objections(service.clock.monotonic_ms()));
    }
    if service.watch.audit.is_refusing() {
        reasons.push("the audit cannot be written".to_owned());
    }
    reasons
}
