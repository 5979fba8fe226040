use super::{Destination, Ended, Ordered};
use crate::policy::{ActivePolicy, KeyRule, Source};
use crate::rounds::{RoundFailure, RoundId, Settled};
use crate::{Now, Want};
use nitride_kbs::resource::ResourcePath;
use nitride_protocol::KeyNameBuf;
use nitride_protocol::limits::MAX_RESOURCES_PER_ROUND;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Nobody has taken the order yet: more wants of the same service join.
#[derive(Debug)]
pub(in crate::rounds) struct Wanted {
    id: RoundId,
    service: String,
    keys: BTreeSet<KeyNameBuf>,
    gates: BTreeSet<String>,
}

impl Wanted {
    pub(in crate::rounds) fn new(id: RoundId, service: String) -> Self {
        Self {
            id,
            service,
            keys: BTreeSet::new(),
            gates: BTreeSet::new(),
        }
    }

    pub(in crate::rounds) fn id(&self) -> RoundId {
        self.id
    }

    /// Whether it is for `service`, and has room for one more want.
    pub(in crate::rounds) fn takes(&self, service: &str) -> bool {
        self.service == service
            && self.keys.len() < MAX_RESOURCES_PER_ROUND
            && self.gates.len() < MAX_RESOURCES_PER_ROUND
    }

    pub(in crate::rounds) fn add(&mut self, want: Want) {
        match want {
            Want::Key { name } => self.keys.insert(name),
            Want::Gate { name } => self.gates.insert(name),
        };
    }

    /// Fixes what is asked, by the policy of this moment. What is there already, and what the
    /// policy no longer brings from this service, settles at once.
    pub(in crate::rounds) fn order(
        self,
        to: &Destination<'_>,
        now: Now,
    ) -> (Option<Ordered>, Vec<Settled>) {
        let mut settled = Vec::new();
        let mut settle = |want, outcome| settled.push(Settled { want, outcome });
        let mut keys: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for name in self.keys {
            match key_of(to.policy, &name, &self.service) {
                None => settle(Want::Key { name }, Err(RoundFailure::PolicyChanged)),
                Some((rule, _)) if !to.keys.is_missing(to.policy, rule, now) => {
                    settle(Want::Key { name }, Ok(()));
                }
                Some((rule, path)) => keys.entry(path.clone()).or_default().push(Arc::clone(rule)),
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
        let has_work = !keys.is_empty() || !gates.is_empty();
        let ordered = has_work.then(|| Ordered::new(self.id, self.service, keys, gates, now));
        (ordered, settled)
    }

    /// Ends it before anybody took the order.
    pub(in crate::rounds) fn settle(self, failure: &RoundFailure) -> Ended {
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

/// The key's rule and resource, if the policy has this service bring it.
fn key_of<'p>(
    policy: &'p ActivePolicy,
    name: &KeyNameBuf,
    by: &str,
) -> Option<(&'p Arc<KeyRule>, &'p ResourcePath)> {
    let rule = policy.key_rule(name.as_str())?;
    match &rule.source {
        Source::Kbs { service, path } if service == by => Some((rule, path)),
        _ => None,
    }
}
