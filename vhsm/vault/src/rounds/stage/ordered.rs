use super::{Challenged, Destination, Ended, RoundKey};
use crate::policy::{GateRule, KeyRule, TeeKeyChoice};
use crate::rounds::{EvidenceWanted, Order, RoundError, RoundFailure, RoundId, Settled};
use crate::{Now, Want};
use nitride_kbs::resource::ResourcePath;
use nitride_protocol::agent::RoundCause;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// For how long the courier may try, in milliseconds.
const BUDGET_MS: u32 = 30_000;
/// For how long where another service could be asked: those who wait have not more than a minute.
const BUDGET_WITH_SPARE_MS: u32 = 10_000;
/// What it has beyond that to say that it did not manage.
const GRACE_MS: u64 = 2_000;

/// The courier has the order: what is asked, and until when, is fixed.
#[derive(Debug)]
pub(in crate::rounds) struct Ordered {
    id: RoundId,
    service: String,
    cause: RoundCause,
    budget_ms: u32,
    keys: BTreeMap<ResourcePath, Vec<Arc<KeyRule>>>,
    gates: Vec<Arc<GateRule>>,
    spares: HashMap<Want, Vec<String>>,
    deadline_boot_ms: u64,
    hints: Hints,
}

/// What is asked for: keys by their resources, and gates.
type Asked = (
    BTreeMap<ResourcePath, Vec<Arc<KeyRule>>>,
    Vec<Arc<GateRule>>,
);

/// What the courier says went wrong. It counts only where nothing was delivered.
#[derive(Debug, Default)]
struct Hints {
    round: Option<RoundFailure>,
    by_path: HashMap<ResourcePath, RoundFailure>,
    retry_after_ms: u32,
}

impl Ordered {
    pub(super) fn new(
        id: RoundId,
        (service, cause): (String, RoundCause),
        (keys, gates): Asked,
        spares: HashMap<Want, Vec<String>>,
        now: Now,
    ) -> Self {
        let budget_ms = match spares.is_empty() {
            true => BUDGET_MS,
            false => BUDGET_WITH_SPARE_MS,
        };
        Self {
            id,
            service,
            cause,
            budget_ms,
            keys,
            gates,
            spares,
            deadline_boot_ms: now.boot_ms.saturating_add(u64::from(budget_ms) + GRACE_MS),
            hints: Hints::default(),
        }
    }

    pub(in crate::rounds) fn id(&self) -> RoundId {
        self.id
    }

    /// What the courier is told.
    pub(in crate::rounds) fn to_order(&self) -> Order {
        Order {
            round: self.id,
            service: self.service.clone(),
            resources: self.keys.keys().cloned().collect(),
            result_wanted: !self.gates.is_empty(),
            budget_ms: self.budget_ms,
            cause: self.cause,
        }
    }

    pub(in crate::rounds) fn has_expired(&self, now: Now) -> bool {
        now.boot_ms >= self.deadline_boot_ms
    }

    /// Draws the round's key, in the form that the policy of this moment wants of those that are
    /// offered. Where it wants another, that is why the round ends.
    pub(in crate::rounds) fn make_key(
        &mut self,
        nonce: &str,
        offered: &[&str],
        to: &Destination<'_>,
    ) -> Result<RoundKey, RoundError> {
        // A service that the policy has lost since may say nothing of what it would have wanted.
        let choice = to.policy.service(&self.service);
        let choice = choice.map_or(TeeKeyChoice::Hybrid, |service| service.tee_key);
        let Some(form) = choice.among(offered) else {
            self.hints.round = Some(RoundFailure::TeeKeyNotOffered);
            return Err(RoundError::TeeKeyNotOffered);
        };
        RoundKey::make(nonce, form)
    }

    /// Gives the round its key, and says what evidence is to be made over.
    pub(in crate::rounds) fn challenge(
        self,
        key: RoundKey,
        now: Now,
    ) -> (Challenged, EvidenceWanted) {
        let evidence = key.evidence_wanted();
        (Challenged::new(self, key, now), evidence)
    }

    /// Takes the courier's word on why something does not come.
    pub(in crate::rounds) fn note_failure(
        &mut self,
        path: Option<&str>,
        failure: RoundFailure,
        retry_after_ms: u32,
    ) -> Result<(), RoundError> {
        match path {
            None => self.hints.round = Some(failure),
            Some(path) => {
                let path = self.path(path)?;
                self.hints.by_path.insert(path, failure);
            }
        }
        self.hints.retry_after_ms = self.hints.retry_after_ms.max(retry_after_ms);
        Ok(())
    }

    /// Whom it asks.
    pub(super) fn service(&self) -> &str {
        &self.service
    }

    /// The gates that the result is for.
    pub(super) fn gates(&self) -> &[Arc<GateRule>] {
        &self.gates
    }

    /// The keys that come from one resource.
    pub(super) fn rules(&self, path: &ResourcePath) -> &[Arc<KeyRule>] {
        self.keys.get(path).map_or(&[], Vec::as_slice)
    }

    /// The resource of this path, if the order names it.
    pub(super) fn path(&self, path: &str) -> Result<ResourcePath, RoundError> {
        ResourcePath::parse(path)
            .ok()
            .filter(|path| self.keys.contains_key(path))
            .ok_or(RoundError::OutsideOrder)
    }

    /// Ends it before it was challenged.
    pub(in crate::rounds) fn settle(self, otherwise: &RoundFailure) -> Ended {
        self.settle_with(HashMap::new(), otherwise)
    }

    /// Ends it with what was judged; the rest settles by the courier's word, or `otherwise`.
    pub(super) fn settle_with(
        self,
        mut outcomes: HashMap<Want, Result<(), RoundFailure>>,
        otherwise: &RoundFailure,
    ) -> Ended {
        let of_round = self.hints.round.as_ref().unwrap_or(otherwise);
        let mut settled = Vec::new();
        let mut settle = |want: Want, hint: &RoundFailure| {
            let outcome = outcomes.remove(&want).unwrap_or_else(|| Err(hint.clone()));
            settled.push(Settled { want, outcome });
        };
        for (path, rules) in &self.keys {
            let hint = self.hints.by_path.get(path).unwrap_or(of_round);
            for rule in rules {
                let name = rule.name.clone();
                settle(Want::Key { name }, hint);
            }
        }
        for gate in &self.gates {
            let name = gate.name.clone();
            settle(Want::Gate { name }, of_round);
        }
        Ended {
            round: self.id,
            service: self.service,
            cause: self.cause,
            settled,
            spares: self.spares,
            retry_after_ms: self.hints.retry_after_ms,
        }
    }
}
