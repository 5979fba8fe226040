//! This replica and the policies that the store keeps: what it has in force, and what keeps it from the
//! newest ones.
//!
//! A task looks every [`INTERVAL`], so that a change is in force on every replica within
//! [`SEEN_WITHIN_MS`], or the replica keeps what it has and says, by its health, its figures, its log
//! and its audit, that it is behind.

use crate::audit::entry::{Event, Kind};
use crate::config::PolicySource;
use crate::error_chain::chain;
use crate::judgement::{Judgement, name_of};
use crate::judging::Judging;
use crate::policy_set::{DocumentName, Fresh, PolicySet, PolicySetError};
use crate::service::Service;
use crate::store::{Expected, Version};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// A replica that has not looked for so long is not ready.
pub(crate) const SEEN_WITHIN_MS: u64 = 5000;
const INTERVAL: Duration = Duration::from_secs(2);
/// How often a change begins anew, since another was made meanwhile.
const MAX_TRIES: usize = 16;

/// What one replica has of the store's policies.
#[derive(Debug)]
pub(crate) struct PolicyWatch {
    at_least: u64,
    /// Reading ten thousand tenants' policies takes an evaluator for seconds: one set at a time, whoever
    /// asks for it.
    reading: Judging,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The newest set that was read, in force or not: an older one is a roll-back.
    newest: Arc<PolicySet>,
    /// The set in force.
    in_force: Option<Arc<PolicySet>>,
    /// When the last look began that found the newest set in force.
    looked_ms: Option<u64>,
    /// What the last look found instead.
    objection: Option<String>,
}

impl PolicyWatch {
    /// `None` where the policies are files.
    pub(crate) fn of(source: &PolicySource) -> Option<Self> {
        match source {
            PolicySource::Files(_) => None,
            PolicySource::Store { at_least } => Some(Self {
                at_least: *at_least,
                reading: Judging::of(1),
                state: RwLock::default(),
            }),
        }
    }

    /// How many threads it takes at the most.
    pub(crate) fn at_once(&self) -> usize {
        self.reading.at_once()
    }

    /// Its turn, until what is returned is dropped.
    #[cfg(test)]
    pub(crate) fn hold(&self) -> tokio::sync::OwnedSemaphorePermit {
        self.reading.hold()
    }

    /// What is in force; `None` before the store has told anything.
    pub(crate) fn in_force(&self) -> Option<Arc<PolicySet>> {
        self.state().in_force.clone()
    }

    /// Why this replica should not be sent requests.
    pub(crate) fn objections(&self, now_ms: u64) -> Vec<String> {
        let state = self.state();
        let mut objections = Vec::new();
        let is_fresh = |looked_ms: u64| now_ms.saturating_sub(looked_ms) < SEEN_WITHIN_MS;
        if let Some(objection) = &state.objection {
            objections.push(format!("the newest policies are not in force: {objection}"));
        } else if !state.looked_ms.is_some_and(is_fresh) {
            let within = SEEN_WITHIN_MS / 1000;
            objections.push(format!(
                "the policies were not looked for within {within} s"
            ));
        }
        if let Some(set) = &state.in_force {
            let needed = [DocumentName::Attestation, DocumentName::Resource];
            let missing = needed.iter().filter(|name| set.document(name).is_none());
            objections.extend(missing.map(|name| format!("the store has no {name}; put one")));
        }
        objections
    }

    /// Whether the newest set is not in force.
    pub(crate) fn is_behind(&self) -> bool {
        self.state().objection.is_some()
    }

    /// What the store has now. It follows what was seen before, or it is refused.
    pub(crate) async fn read(
        &self,
        service: &Service,
    ) -> Result<(Arc<PolicySet>, Expected), PolicySetError> {
        // Of before the question: what others put while it is under way is newer than its answer.
        let seen = self.state().newest.clone();
        let read = PolicySet::read(service.store.as_ref(), &seen, self.at_least).await;
        let (set, expected) = read?;
        let set = Arc::new(set);
        let mut state = self.state_mut();
        if set.serial > state.newest.serial {
            state.newest = set.clone();
        }
        Ok((set, expected))
    }

    /// Notes that a set is in force now; `false` where a newer one, or this one, is already.
    fn take(&self, set: &Arc<PolicySet>) -> bool {
        let mut state = self.state_mut();
        let held = state.in_force.as_ref();
        if held.is_some_and(|held| held.serial >= set.serial) {
            return false;
        }
        state.in_force = Some(set.clone());
        if state.newest.serial < set.serial {
            state.newest = set.clone();
        }
        true
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        // Each change is one assignment.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks once: has the newest set in force, or notes why not.
pub(crate) async fn look(service: &Arc<Service>, watch: &PolicyWatch) {
    let asked_ms = service.clock.monotonic_ms();
    let taken = take_up(service, watch).await;
    let objection = taken.err().map(|error| chain(&error));
    let mut state = watch.state_mut();
    if objection.is_none() {
        state.looked_ms = Some(asked_ms);
    }
    let is_new = state.objection != objection;
    state.objection.clone_from(&objection);
    drop(state);
    if let Some(reason) = objection.filter(|_| is_new) {
        tracing::error!(reason, "the newest policies are not in force");
        let refused = Event {
            outcome: "refused".into(),
            ..Event::own(Kind::Reload, reason)
        };
        let now_secs = service.clock.wall_secs();
        service.watch.note(&refused, now_secs);
        service.watch.metrics.count_reload(false);
    }
}

/// Looks until `stopping` turns true.
pub(crate) async fn look_after(service: Arc<Service>, mut stopping: watch::Receiver<bool>) {
    let Some(policies) = &service.policy_watch else {
        return;
    };
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        look(&service, policies).await;
    }
}

async fn take_up(service: &Arc<Service>, watch: &PolicyWatch) -> Result<(), PolicySetError> {
    let (set, _) = watch.read(service).await?;
    let is_there = watch
        .in_force()
        .is_some_and(|held| held.serial >= set.serial);
    if is_there {
        return Ok(());
    }
    let judgement = judge(service, watch, &set).await?;
    put_in_force(service, watch, set, judgement).await
}

/// Puts a document, or removes it, and has it in force here; its version. Everything that is to hold then
/// is checked together before anything is stored.
pub(crate) async fn change(
    service: &Arc<Service>,
    watch: &PolicyWatch,
    name: &DocumentName,
    fresh: Option<&Fresh>,
    expected: Expected,
) -> Result<Version, PolicySetError> {
    let store = service.store.as_ref();
    let mut is_written = false;
    let changed = try_change(service, watch, name, (fresh, &mut is_written), expected).await;
    if let (Err(error), Some(fresh), true) = (&changed, fresh, is_written) {
        // Of a store that did not answer it is not known whether the set has the text.
        if !matches!(error, PolicySetError::Store(_)) {
            fresh.erase(store).await;
        }
    }
    changed
}

async fn try_change(
    service: &Arc<Service>,
    watch: &PolicyWatch,
    name: &DocumentName,
    (fresh, is_written): (Option<&Fresh>, &mut bool),
    expected: Expected,
) -> Result<Version, PolicySetError> {
    let store = service.store.as_ref();
    for _ in 0..MAX_TRIES {
        let (set, seen) = watch.read(service).await?;
        set.check(name, expected)?;
        let next = Arc::new(set.with(name, fresh)?);
        let judgement = judge(service, watch, &next).await?;
        if let Some(fresh) = fresh.filter(|_| !*is_written) {
            fresh.write(store).await?;
            *is_written = true;
        }
        if !next.write(store, seen).await? {
            continue;
        }
        let version = Version::new(next.serial);
        if let Err(error) = put_in_force(service, watch, next, judgement).await {
            // It is stored; the next look says again why it is not in force here.
            tracing::warn!(%error, "policies that were put are not in force yet");
        }
        set.erase_text(store, name).await;
        return Ok(version);
    }
    Err(PolicySetError::Busy)
}

/// Reads a set into what decides, off the executor.
async fn judge(
    service: &Arc<Service>,
    watch: &PolicyWatch,
    set: &Arc<PolicySet>,
) -> Result<Arc<Judgement>, PolicySetError> {
    let (service, set) = (service.clone(), set.clone());
    let judging = watch.reading.run(move || {
        let current = service.current();
        let documents = set.to_documents();
        let before = current.judgement.as_deref();
        let judgement = Judgement::read(&documents, &service.evaluators, before)?;
        current.check(&judgement)?;
        Ok::<_, PolicySetError>(Arc::new(judgement))
    });
    judging.await?
}

/// From here on this set decides, unless a newer one does. A reload that is under way is waited for, off
/// the executor.
async fn put_in_force(
    service: &Arc<Service>,
    watch: &PolicyWatch,
    set: Arc<PolicySet>,
    judgement: Arc<Judgement>,
) -> Result<(), PolicySetError> {
    let service = service.clone();
    let putting = watch.reading.run(move || {
        let Some(watch) = &service.policy_watch else {
            return Ok(());
        };
        let mut is_newer = false;
        service.judge_by(judgement.clone(), || {
            is_newer = watch.take(&set);
            is_newer
        })?;
        if is_newer {
            tell(&service, &set, &judgement);
        }
        Ok(())
    });
    putting.await?
}

/// Tells everybody who looks which policies are in force.
fn tell(service: &Service, set: &PolicySet, judgement: &Judgement) {
    let policies = name_of(&judgement.digest);
    tracing::info!(
        set = set.serial,
        policies,
        "policies of the store are in force"
    );
    judgement.warn();
    let taken = Event {
        what: policies.into(),
        ..Event::own(Kind::Reload, format!("set {} of the store", set.serial))
    };
    service.watch.note(&taken, service.clock.wall_secs());
    service.watch.metrics.count_reload(true);
}
