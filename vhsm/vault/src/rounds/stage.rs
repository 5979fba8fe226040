//! A round's stages, each a type of its own: what a stage does not have cannot be asked of it.
//!
//! ```text
//! Wanted ──order()──> Ordered ──challenge()──> Challenged ──settle()──> Vec<Settled>
//!   collects wants      fixed: what, until when   has the TEE key
//!                          └──────────settle()──────────────────────────────┘
//! ```
//!
//! The TEE key is in [`Challenged`] alone, so it is erased with the stage, however that ends.

use super::resource::{Opened, ResourceFault};
use super::{EvidenceWanted, Order, RoundError, RoundFailure, RoundId, Settled};
use crate::gate::{Binding, GateFault, Gates, judge};
use crate::keys::Keys;
use crate::policy::{ActivePolicy, GateRule, KeyRule, Source};
use crate::{Draw, Now, Want};
use nitride_kbs::report_data::report_data;
use nitride_kbs::resource::ResourcePath;
use nitride_kbs::tee_key::TeePublicKey;
use nitride_protocol::KeyNameBuf;
use nitride_protocol::limits::{MAX_NONCE_LEN, MAX_RESOURCES_PER_ROUND};
use nitride_secmem::crypto::{CryptoError, EcP256};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// For how long the courier may try, in milliseconds.
pub(super) const BUDGET_MS: u32 = 30_000;
/// What it has beyond that to say that it did not manage.
const GRACE_MS: u64 = 2_000;

/// Nobody has taken the order yet: more wants of the same service join.
#[derive(Debug)]
pub(super) struct Wanted {
    id: RoundId,
    service: String,
    keys: BTreeSet<KeyNameBuf>,
    gates: BTreeSet<String>,
}

/// The courier has the order: what is asked, and until when, is fixed.
#[derive(Debug)]
pub(super) struct Ordered {
    id: RoundId,
    service: String,
    keys: BTreeMap<ResourcePath, Vec<Arc<KeyRule>>>,
    gates: Vec<Arc<GateRule>>,
    deadline_boot_ms: u64,
    hints: Hints,
}

/// The round has its key: deliveries can be judged.
pub(super) struct Challenged {
    ordered: Ordered,
    key: RoundKey,
    made_boot_ms: u64,
    /// Wants whose delivery was judged.
    outcomes: HashMap<Want, Result<(), RoundFailure>>,
    /// Each resource is judged once, whatever came of it: the work is metered.
    delivered: HashSet<ResourcePath>,
    result_delivered: bool,
}

/// A fresh TEE key and the nonce that it answers. Not cloned, not kept: one round's.
pub(super) struct RoundKey {
    private: EcP256,
    public: TeePublicKey,
    nonce: Box<str>,
}

/// What the courier says went wrong. It counts only where nothing was delivered.
#[derive(Debug, Default)]
struct Hints {
    round: Option<RoundFailure>,
    by_path: HashMap<ResourcePath, RoundFailure>,
    retry_after_ms: u32,
}

/// What deliveries are committed to.
pub(super) struct Destination<'v> {
    pub(super) policy: &'v ActivePolicy,
    pub(super) keys: &'v Keys,
    pub(super) gates: &'v Gates,
}

/// A round that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) settled: Vec<Settled>,
    pub(super) retry_after_ms: u32,
}

impl Wanted {
    pub(super) fn new(id: RoundId, service: String) -> Self {
        Self {
            id,
            service,
            keys: BTreeSet::new(),
            gates: BTreeSet::new(),
        }
    }

    pub(super) fn id(&self) -> RoundId {
        self.id
    }

    /// Whether it is for `service`, and has room for one more want.
    pub(super) fn takes(&self, service: &str) -> bool {
        self.service == service
            && self.keys.len() < MAX_RESOURCES_PER_ROUND
            && self.gates.len() < MAX_RESOURCES_PER_ROUND
    }

    pub(super) fn add(&mut self, want: Want) {
        match want {
            Want::Key { name } => self.keys.insert(name),
            Want::Gate { name } => self.gates.insert(name),
        };
    }

    /// Fixes what is asked, by the policy of this moment. What is there already, and what the
    /// policy no longer brings from this service, settles at once.
    pub(super) fn order(
        self,
        policy: &ActivePolicy,
        keys: &Keys,
        now: Now,
    ) -> (Option<Ordered>, Vec<Settled>) {
        let mut settled = Vec::new();
        let mut settle = |want, outcome| settled.push(Settled { want, outcome });
        let mut asked: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for name in self.keys {
            match policy.key_rule(name.as_str()) {
                Some(rule) if !keys.is_missing(rule, now) => settle(Want::Key { name }, Ok(())),
                Some(rule) => match &rule.source {
                    Source::Kbs { service, path } if *service == self.service => {
                        asked
                            .entry(path.clone())
                            .or_default()
                            .push(Arc::clone(rule));
                    }
                    _ => settle(Want::Key { name }, Err(RoundFailure::PolicyChanged)),
                },
                None => settle(Want::Key { name }, Err(RoundFailure::PolicyChanged)),
            }
        }
        let mut gates = Vec::new();
        for name in self.gates {
            match policy.gate_rule(&name) {
                Some(gate) if gate.service == self.service => gates.push(Arc::clone(gate)),
                _ => settle(Want::Gate { name }, Err(RoundFailure::PolicyChanged)),
            }
        }
        let has_work = !asked.is_empty() || !gates.is_empty();
        let ordered = has_work.then(|| Ordered {
            id: self.id,
            service: self.service,
            keys: asked,
            gates,
            deadline_boot_ms: now.boot_ms.saturating_add(u64::from(BUDGET_MS) + GRACE_MS),
            hints: Hints::default(),
        });
        (ordered, settled)
    }

    /// Ends it before anybody took the order.
    pub(super) fn settle(self, failure: &RoundFailure) -> Ended {
        let keys = self.keys.into_iter().map(|name| Want::Key { name });
        let gates = self.gates.into_iter().map(|name| Want::Gate { name });
        let settled = keys
            .chain(gates)
            .map(|want| Settled {
                want,
                outcome: Err(failure.clone()),
            })
            .collect();
        Ended {
            settled,
            retry_after_ms: 0,
        }
    }
}

impl Ordered {
    pub(super) fn id(&self) -> RoundId {
        self.id
    }

    /// What the courier is told.
    pub(super) fn to_order(&self) -> Order {
        Order {
            round: self.id,
            service: self.service.clone(),
            resources: self.keys.keys().cloned().collect(),
            result_wanted: !self.gates.is_empty(),
            budget_ms: BUDGET_MS,
        }
    }

    pub(super) fn has_expired(&self, now: Now) -> bool {
        now.boot_ms >= self.deadline_boot_ms
    }

    /// Gives the round its key, and says what evidence is to be made over.
    pub(super) fn challenge(self, key: RoundKey, now: Now) -> (Challenged, EvidenceWanted) {
        let evidence = EvidenceWanted {
            // Devices beside the TEE would be bound here; there is no collector for one yet.
            report_data: report_data(&key.nonce, &key.public, ""),
            tee_pubkey_jwk: key.public.to_jwk_json(),
        };
        let challenged = Challenged {
            ordered: self,
            key,
            made_boot_ms: now.boot_ms,
            outcomes: HashMap::new(),
            delivered: HashSet::new(),
            result_delivered: false,
        };
        (challenged, evidence)
    }

    /// Takes the courier's word on why something does not come.
    pub(super) fn note_failure(
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

    /// The resource of this path, if the order names it.
    fn path(&self, path: &str) -> Result<ResourcePath, RoundError> {
        ResourcePath::parse(path)
            .ok()
            .filter(|path| self.keys.contains_key(path))
            .ok_or(RoundError::OutsideOrder)
    }

    /// Ends it before it was challenged.
    pub(super) fn settle(self, otherwise: &RoundFailure) -> Ended {
        self.settle_with(HashMap::new(), otherwise)
    }

    fn settle_with(
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
            settled,
            retry_after_ms: self.hints.retry_after_ms,
        }
    }
}

impl RoundKey {
    /// Draws a key for a nonce of 1 to [`MAX_NONCE_LEN`] bytes.
    pub(super) fn make(nonce: &str) -> Result<Self, RoundError> {
        match nonce.len() {
            0 => return Err(RoundError::EmptyNonce),
            len if len > MAX_NONCE_LEN => return Err(RoundError::NonceTooLong { len }),
            _ => {}
        }
        let private = EcP256::generate().map_err(RoundError::KeyNotMade)?;
        let public = TeePublicKey::from_point(&private.public_point())
            .map_err(|_| RoundError::KeyNotMade(CryptoError::InvalidPoint))?;
        Ok(Self {
            private,
            public,
            nonce: nonce.into(),
        })
    }
}

impl Challenged {
    pub(super) fn ordered_mut(&mut self) -> &mut Ordered {
        &mut self.ordered
    }

    /// Judges the attestation result for every gate of the order, each by its own rule.
    pub(super) fn take_result(
        &mut self,
        token: &str,
        to: &Destination<'_>,
    ) -> Result<(), RoundError> {
        if self.ordered.gates.is_empty() {
            return Err(RoundError::ResultNotWanted);
        }
        if std::mem::replace(&mut self.result_delivered, true) {
            return Err(RoundError::DeliveredTwice);
        }
        let mut fault = None;
        for gate in &self.ordered.gates {
            let outcome = self.judge_gate(gate, token, to);
            if let Err(refused) = &outcome {
                fault.get_or_insert_with(|| refused.clone());
            }
            let name = gate.name.clone();
            self.outcomes.insert(
                Want::Gate { name },
                outcome.map_err(RoundFailure::GateRefused),
            );
        }
        fault.map_or(Ok(()), |fault| Err(RoundError::Gate(fault)))
    }

    fn judge_gate(
        &self,
        gate: &Arc<GateRule>,
        token: &str,
        to: &Destination<'_>,
    ) -> Result<(), GateFault> {
        if to.policy.gate_rule(&gate.name) != Some(gate) {
            return Err(GateFault::PolicyChanged);
        }
        let binding = Binding {
            key: &self.key.public,
            nonce: &self.key.nonce,
            made_boot_ms: self.made_boot_ms,
        };
        to.gates.approve(judge(gate, token, binding)?);
        Ok(())
    }

    /// Opens and judges a resource, and commits it to every key that comes from it.
    pub(super) fn take_resource(
        &mut self,
        path: &str,
        jwe: &[u8],
        to: &Destination<'_>,
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<(), RoundError> {
        let path = self.ordered.path(path)?;
        if !self.delivered.insert(path.clone()) {
            return Err(RoundError::DeliveredTwice);
        }
        let opened = Opened::from_jwe(&self.key.private, jwe);
        let mut fault = None;
        for rule in self.ordered.keys.get(&path).into_iter().flatten() {
            let outcome = match &opened {
                Ok(opened) => commit(opened, rule, &path, to, now, draw),
                Err(fault) => Err(fault.clone()),
            };
            if let Err(refused) = &outcome {
                fault.get_or_insert_with(|| refused.clone());
            }
            let name = rule.name.clone();
            self.outcomes.insert(
                Want::Key { name },
                outcome.map_err(RoundFailure::ResourceRefused),
            );
        }
        fault.map_or(Ok(()), |fault| Err(RoundError::Resource(fault)))
    }

    /// Ends it; its key is erased here.
    pub(super) fn settle(self, otherwise: &RoundFailure) -> Ended {
        self.ordered.settle_with(self.outcomes, otherwise)
    }
}

fn commit(
    opened: &Opened,
    rule: &Arc<KeyRule>,
    path: &ResourcePath,
    to: &Destination<'_>,
    now: Now,
    draw: &mut dyn Draw,
) -> Result<(), ResourceFault> {
    // What is under way is judged by the rule of this moment, and only if that is still the one
    // under which it was asked for.
    if to.policy.key_rule(rule.name.as_str()) != Some(rule) {
        return Err(ResourceFault::PolicyChanged);
    }
    let delivered = opened.judge(to.policy, rule, path, now)?;
    to.keys.commit_provisioned(&delivered, now, draw)?;
    Ok(())
}
