use super::challenged::commit;
use super::{Destination, Ended, Ordered};
use crate::policy::KeyRule;
use crate::rounds::resource::{Opened, ResourceFault, Told, Whence};
use crate::rounds::{RoundError, RoundFailure};
use crate::{Draw, Now, Want};
use nitride_kbs::resource::ResourcePath;
use std::collections::{HashMap, HashSet};

/// The courier has an order for what it reads itself. There is no key, so there is nothing to challenge,
/// and neither a result nor a list of signers is taken: nothing that comes is of this round but by the
/// courier's word.
pub(in crate::rounds) struct InClear {
    ordered: Ordered,
    /// When the order was taken: from then on counts what comes.
    taken_boot_ms: u64,
    /// Wants whose delivery was judged.
    outcomes: HashMap<Want, Result<(), RoundFailure>>,
    /// Each resource is judged once.
    delivered: HashSet<ResourcePath>,
}

impl InClear {
    pub(in crate::rounds) fn new(ordered: Ordered, now: Now) -> Self {
        Self {
            ordered,
            taken_boot_ms: now.boot_ms,
            outcomes: HashMap::new(),
            delivered: HashSet::new(),
        }
    }

    pub(in crate::rounds) fn ordered_mut(&mut self) -> &mut Ordered {
        &mut self.ordered
    }

    /// Judges what the courier has read, and commits it to every key that comes from it and says that
    /// this may be.
    pub(in crate::rounds) fn take(
        &mut self,
        path: &str,
        (material, told): (&[u8], Told),
        to: &Destination<'_>,
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<(), RoundError> {
        let path = self.ordered.path(path)?;
        if !self.delivered.insert(path.clone()) {
            return Err(RoundError::DeliveredTwice);
        }
        let opened = Opened::in_clear(material, told);
        let from = Whence {
            path: &path,
            service: self.ordered.service(),
            made_boot_ms: self.taken_boot_ms,
        };
        let mut fault = None;
        for rule in self.ordered.rules(&path) {
            let outcome = match &opened {
                Ok(opened) if is_allowed(rule, from.service, to) => {
                    commit(opened, rule, &from, to, now, draw)
                }
                Ok(_) => Err(ResourceFault::PolicyChanged),
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

    pub(in crate::rounds) fn settle(self, otherwise: &RoundFailure) -> Ended {
        self.ordered.settle_with(self.outcomes, otherwise)
    }
}

/// By the policy of this moment, which may be another one than that of the order.
fn is_allowed(rule: &KeyRule, service: &str, to: &Destination<'_>) -> bool {
    let service = to.policy.service(service);
    rule.plaintext_courier && service.is_some_and(|service| service.plaintext_courier)
}
