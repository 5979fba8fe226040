//! This replica and the policies that the store keeps: what it has in force, and what keeps it from the
//! newest ones.
//!
//! A task looks every [`INTERVAL`], so that a change is in force on every replica within
//! [`SEEN_WITHIN_MS`], or the replica keeps what it has and says, by its health, its figures, its log
//! and its audit, that it is behind.

mod changes;

pub(crate) use changes::{Changes, UnderWay};

use crate::audit::entry::{Event, Kind};
use crate::config::PolicySource;
use crate::error_chain::chain;
use crate::judgement::{Judgement, name_of};
use crate::judging::Judging;
use crate::policy_set::{DocumentName, Fresh, PolicySet, PolicySetError};
use crate::service::Service;
use crate::store::{Expected, Version};
use std::mem::{Discriminant, discriminant};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// A replica that has not looked for so long is not ready.
pub(crate) const SEEN_WITHIN_MS: u64 = 5000;
const INTERVAL: Duration = Duration::from_secs(2);
/// How often a change begins anew, since another was made meanwhile.
const MAX_TRIES: usize = 16;
/// So long a change waits for those before it.
const TURN_WITHIN: Duration = Duration::from_secs(30);
/// So many sets are read at once: one that is changed, and the replica's own next one.
const READ_AT_ONCE: usize = 2;

/// What one replica has of the store's policies.
#[derive(Debug)]
pub(crate) struct PolicyWatch {
    at_least: u64,
    /// Reading the policies of some 2,500 tenants takes an evaluator for seconds. Changes have one of its
    /// turns at the most, so that nobody's changes keep the replica from what the store has.
    reading: Judging,
    /// Whoever holds it changes the set, from what he saw to what is in force.
    turn: Mutex<()>,
    pub(crate) changes: Changes,
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
    objection: Option<Objection>,
}

/// Why the newest set is not in force.
#[derive(Debug)]
struct Objection {
    reason: String,
    /// The kind of fault, and the newest set that was read: what is told once is these, since a reason
    /// names another node or another time at each look.
    of: (Discriminant<PolicySetError>, u64),
}

impl State {
    /// Notes how a look ended that began at `asked_ms`; what is to be told of it.
    fn note(&mut self, taken: Result<(), PolicySetError>, asked_ms: u64) -> Option<String> {
        let Err(error) = taken else {
            self.looked_ms = Some(asked_ms);
            self.objection = None;
            return None;
        };
        let of = (discriminant(&error), self.newest.serial);
        let reason = chain(&error);
        let is_told = self.objection.as_ref().is_some_and(|told| told.of == of);
        self.objection = Some(Objection {
            reason: reason.clone(),
            of,
        });
        (!is_told).then_some(reason)
    }
}

impl PolicyWatch {
    /// `None` where the policies are files.
    pub(crate) fn of(source: &PolicySource) -> Option<Self> {
        match source {
            PolicySource::Files(_) => None,
            PolicySource::Store { at_least } => Some(Self {
                at_least: *at_least,
                reading: Judging::of(READ_AT_ONCE),
                turn: Mutex::default(),
                changes: Changes::default(),
                state: RwLock::default(),
            }),
        }
    }

    /// How many threads it takes at the most.
    pub(crate) fn at_once(&self) -> usize {
        self.reading.at_once()
    }

    /// The turn of changes, until what is returned is dropped.
    #[cfg(test)]
    pub(crate) fn hold_changes(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.try_lock().unwrap()
    }

    /// The turn of reading that a change has, until what is returned is dropped.
    #[cfg(test)]
    pub(crate) fn hold_one(&self) -> tokio::sync::OwnedSemaphorePermit {
        self.reading.hold_one()
    }

    /// All turns of reading, until what is returned is dropped.
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
            let reason = &objection.reason;
            objections.push(format!("the newest policies are not in force: {reason}"));
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
    let told = watch.state_mut().note(taken, asked_ms);
    if let Some(reason) = told {
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

/// A change that is stored.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) version: Version,
    /// Why it is not in force here, if it is not.
    pub(crate) objection: Option<PolicySetError>,
}

/// Puts a document, or removes it, and has it in force here. Everything that is to hold then is checked
/// together before anything is stored.
pub(crate) async fn change(
    service: &Arc<Service>,
    watch: &PolicyWatch,
    name: &DocumentName,
    fresh: Option<&Fresh>,
    expected: Expected,
) -> Result<Changed, PolicySetError> {
    // Before anything is read: a change that waited has seen what those before it left.
    let turn = timeout(TURN_WITHIN, watch.turn.lock()).await;
    let _turn = turn.map_err(|_| PolicySetError::Busy)?;
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
) -> Result<Changed, PolicySetError> {
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
        // It is stored; the next look says again why it is not in force here.
        let objection = put_in_force(service, watch, next, judgement).await.err();
        set.erase_text(store, name).await;
        return Ok(Changed { version, objection });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_whatever_its_words_and_another_fault_or_set_anew() {
        let mut state = State::default();
        let back = |found| Err(PolicySetError::RolledBack { found, seen: 9 });
        assert!(state.note(back(1), 1).is_some());
        assert!(state.note(back(2), 2).is_none());
        assert!(state.objection.as_ref().unwrap().reason.contains("set 2"));
        assert!(state.note(Err(PolicySetError::Malformed), 3).is_some());
        Arc::make_mut(&mut state.newest).serial = 1;
        assert!(state.note(Err(PolicySetError::Malformed), 4).is_some());
        assert!(state.note(Ok(()), 5).is_none());
        assert_eq!(state.looked_ms, Some(5));
        assert!(state.note(Err(PolicySetError::Malformed), 6).is_some());
    }
}
