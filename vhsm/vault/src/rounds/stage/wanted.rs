use super::ordered::Resources;
use super::{Destination, Ended, Ordered};
use crate::policy::{ActivePolicy, KeyRule, Source};
use crate::rounds::{RoundFailure, RoundId, Settled};
use crate::signers::lists_of;
use crate::{Now, Want};
use nitride_kbs::resource::ResourcePath;
use nitride_protocol::KeyNameBuf;
use nitride_protocol::agent::RoundCause;
use nitride_protocol::limits::MAX_RESOURCES_PER_ROUND;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Nobody has taken the order yet: more wants of the same service join.
#[derive(Debug)]
pub(in crate::rounds) struct Wanted {
    id: RoundId,
    service: String,
    cause: RoundCause,
    room: usize,
    /// Each key with the services that are left to ask, should this one not be reached.
    keys: BTreeMap<KeyNameBuf, Vec<String>>,
    gates: BTreeSet<String>,
    /// Likewise.
    signers: BTreeMap<String, Vec<String>>,
}

impl Wanted {
    pub(in crate::rounds) fn new(id: RoundId, service: String, asked: (RoundCause, usize)) -> Self {
        let (cause, room) = asked;
        Self {
            id,
            service,
            cause,
            room,
            keys: BTreeMap::new(),
            gates: BTreeSet::new(),
            signers: BTreeMap::new(),
        }
    }

    pub(in crate::rounds) fn id(&self) -> RoundId {
        self.id
    }

    /// Whether it is for `service`, and has room for one more want: of keys there are at most `room`.
    /// What another service could bring is not mixed with what none could: the one has less time for
    /// this service than the other.
    pub(in crate::rounds) fn takes(&self, service: &str, has_spare: bool, room: usize) -> bool {
        self.service == service
            && self.has_spare() == has_spare
            && self.keys.len() < room
            && self.gates.len() < MAX_RESOURCES_PER_ROUND
    }

    pub(in crate::rounds) fn add(&mut self, want: Want, spare: Vec<String>, cause: RoundCause) {
        self.raise(cause);
        match want {
            Want::Key { name } => drop(self.keys.insert(name, spare)),
            // It pins one issuer, whose service it names; replicas are endpoints.
            Want::Gate { name } => drop(self.gates.insert(name)),
            Want::Signers { name } => drop(self.signers.insert(name, spare)),
        }
    }

    /// What is asked for counts before what is fetched beforehand, and that before what is renewed.
    pub(in crate::rounds) fn raise(&mut self, cause: RoundCause) {
        self.cause = self.cause.min(cause);
    }

    fn has_spare(&self) -> bool {
        let mut spares = self.keys.values().chain(self.signers.values());
        spares.any(|spare| !spare.is_empty())
    }

    /// Fixes what is asked, by the policy of this moment. What is there already, and what the
    /// policy no longer brings from this service, settles at once.
    pub(in crate::rounds) fn order(
        self,
        to: &Destination<'_>,
        now: Now,
    ) -> (Option<Ordered>, Vec<Settled>) {
        let mut settled = Vec::new();
        let mut settle = |want, outcome| {
            settled.push(Settled {
                want,
                outcome,
                in_clear: false,
            });
        };
        let mut keys: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut spares = HashMap::new();
        for (name, spare) in self.keys {
            match key_of(to.policy, &name, &self.service) {
                None => settle(Want::Key { name }, Err(RoundFailure::PolicyChanged)),
                Some((rule, _)) if !to.keys.is_to_be_fetched(to.policy, rule, now) => {
                    settle(Want::Key { name }, Ok(()));
                }
                Some((rule, path)) => {
                    keys.entry(path.clone()).or_default().push(Arc::clone(rule));
                    if !spare.is_empty() {
                        spares.insert(Want::Key { name }, spare);
                    }
                }
            }
        }
        let mut gates = Vec::new();
        for name in self.gates {
            match to.policy.gate_rule(&name) {
                Some(gate) if gate.service != self.service => {
                    settle(Want::Gate { name }, Err(RoundFailure::PolicyChanged));
                }
                Some(gate) if to.gates.approved(gate, now) => settle(Want::Gate { name }, Ok(())),
                Some(gate) => gates.push(Arc::clone(gate)),
                None => settle(Want::Gate { name }, Err(RoundFailure::PolicyChanged)),
            }
        }
        let mut lists = lists_of(to.policy, &keys);
        for (name, spare) in self.signers {
            let services = to.policy.services_of_list(&name);
            match to.policy.listed_signer(&name) {
                Some(signer) if services.contains(&self.service) => {
                    lists.insert(&signer.name, signer);
                    if !spare.is_empty() {
                        spares.insert(Want::Signers { name }, spare);
                    }
                }
                _ => settle(Want::Signers { name }, Err(RoundFailure::PolicyChanged)),
            }
        }
        // Only where the policy has more lists than when these were wanted: the next round is theirs.
        while keys.len() + lists.len() > MAX_RESOURCES_PER_ROUND
            && let Some((_, rules)) = keys.pop_last()
        {
            for rule in rules {
                let name = rule.name.clone();
                settle(Want::Key { name }, Err(RoundFailure::PolicyChanged));
            }
        }
        let lists = lists
            .into_values()
            .map(|signer| (signer.path.clone(), Arc::clone(signer)));
        let wanted = Resources {
            lists: lists.collect(),
            keys,
            gates,
        };
        let from = (self.service, self.cause, self.room);
        let service = to.policy.service(&from.0);
        let in_clear = service.is_some_and(|service| service.plaintext_courier);
        let ordered = (!wanted.is_empty())
            .then(|| Ordered::new(self.id, from, in_clear, wanted, spares, now));
        (ordered, settled)
    }

    /// Ends it before anybody took the order.
    pub(in crate::rounds) fn settle(self, failure: &RoundFailure) -> Ended {
        let keys = self.keys.into_keys().map(|name| Want::Key { name });
        let gates = self.gates.into_iter().map(|name| Want::Gate { name });
        let signers = self.signers.into_keys();
        let settled = keys
            .chain(gates)
            .chain(signers.map(|name| Want::Signers { name }))
            .map(|want| Settled {
                want,
                outcome: Err(failure.clone()),
                in_clear: false,
            })
            .collect();
        Ended {
            round: self.id,
            service: self.service,
            cause: self.cause,
            room: self.room,
            settled,
            spares: HashMap::new(),
            retry_after_ms: 0,
        }
    }
}

/// The key's rule and resource, if the policy has this service bring it.
fn key_of<'p>(
    policy: &'p ActivePolicy,
    name: &KeyNameBuf,
    by: &str,
) -> Option<(&'p Arc<KeyRule>, &'p ResourcePath)> {
    let rule = policy.key_rule(name.as_str())?;
    match &rule.source {
        Source::Kbs { services, path } if services.iter().any(|service| service == by) => {
            Some((rule, path))
        }
        _ => None,
    }
}
