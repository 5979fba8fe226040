use super::{Challenged, Destination, Ended, RoundKey};
use crate::policy::{GateRule, KeyRule, ListedSigner, TeeKeyChoice};
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
    room: usize,
    budget_ms: u32,
    in_clear: bool,
    wanted: Resources,
    spares: HashMap<Want, Vec<String>>,
    deadline_boot_ms: u64,
    hints: Hints,
}

/// What a round is to bring.
#[derive(Debug)]
pub(super) struct Resources {
    pub(super) lists: BTreeMap<ResourcePath, Arc<ListedSigner>>,
    pub(super) keys: BTreeMap<ResourcePath, Vec<Arc<KeyRule>>>,
    pub(super) gates: Vec<Arc<GateRule>>,
}

impl Resources {
    pub(super) fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.keys.is_empty() && self.gates.is_empty()
    }
}

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
        (service, cause, room): (String, RoundCause, usize),
        in_clear: bool,
        wanted: Resources,
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
            room,
            budget_ms,
            in_clear,
            wanted,
            spares,
            deadline_boot_ms: now.boot_ms.saturating_add(u64::from(budget_ms) + GRACE_MS),
            hints: Hints::default(),
        }
    }

    /// What the courier is told.
    pub(in crate::rounds) fn to_order(&self) -> Order {
        Order {
            round: self.id,
            service: self.service.clone(),
            // Lists first: by them is judged what comes after.
            resources: self.paths().cloned().collect(),
            result_wanted: !self.wanted.gates.is_empty(),
            budget_ms: self.budget_ms,
            cause: self.cause,
            in_clear: self.in_clear,
        }
    }

    /// Whether the courier reads what it brings.
    pub(in crate::rounds) fn is_in_clear(&self) -> bool {
        self.in_clear
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
    pub(in crate::rounds) fn service(&self) -> &str {
        &self.service
    }

    /// The gates that the result is for.
    pub(super) fn gates(&self) -> &[Arc<GateRule>] {
        &self.wanted.gates
    }

    /// The signer whose list the resource is.
    pub(super) fn listed_signer(&self, path: &ResourcePath) -> Option<&Arc<ListedSigner>> {
        self.wanted.lists.get(path)
    }

    /// The keys that come from one resource.
    pub(super) fn rules(&self, path: &ResourcePath) -> &[Arc<KeyRule>] {
        self.wanted.keys.get(path).map_or(&[], Vec::as_slice)
    }

    /// The resource of this path, if the order names it.
    pub(super) fn path(&self, path: &str) -> Result<ResourcePath, RoundError> {
        ResourcePath::parse(path)
            .ok()
            .filter(|path| self.paths().any(|ordered| ordered == path))
            .ok_or(RoundError::OutsideOrder)
    }

    fn paths(&self) -> impl Iterator<Item = &ResourcePath> {
        self.wanted.lists.keys().chain(self.wanted.keys.keys())
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
            settled.push(Settled {
                in_clear: self.in_clear && outcome.is_ok(),
                want,
                outcome,
            });
        };
        for (path, signer) in &self.wanted.lists {
            let hint = self.hints.by_path.get(path).unwrap_or(of_round);
            let name = signer.name.clone();
            settle(Want::Signers { name }, hint);
        }
        for (path, rules) in &self.wanted.keys {
            let hint = self.hints.by_path.get(path).unwrap_or(of_round);
            for rule in rules {
                let name = rule.name.clone();
                settle(Want::Key { name }, hint);
            }
        }
        for gate in &self.wanted.gates {
            let name = gate.name.clone();
            settle(Want::Gate { name }, of_round);
        }
        Ended {
            round: self.id,
            service: self.service,
            cause: self.cause,
            room: self.room,
            settled,
            spares: self.spares,
            retry_after_ms: self.hints.retry_after_ms,
        }
    }
}
