use super::{Destination, Ended, Ordered};
use crate::gate::{Binding, GateFault, judge};
use crate::policy::{GateRule, KeyRule};
use crate::rounds::resource::{Opened, ResourceFault, Whence};
use crate::rounds::tee_key::TeeKey;
use crate::rounds::{EvidenceWanted, RoundError, RoundFailure};
use crate::{Draw, ListTaken, Now, Want};
use nitride_kbs::resource::ResourcePath;
use nitride_kbs::tee_key::TeeKeyForm;
use nitride_protocol::limits::MAX_NONCE_LEN;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The round has its key: deliveries can be judged.
pub(in crate::rounds) struct Challenged {
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
pub(in crate::rounds) struct RoundKey {
    key: TeeKey,
    nonce: Box<str>,
}

impl RoundKey {
    /// Draws a key of this form for a nonce of 1 to [`MAX_NONCE_LEN`] bytes.
    pub(in crate::rounds) fn make(nonce: &str, form: TeeKeyForm) -> Result<Self, RoundError> {
        match nonce.len() {
            0 => return Err(RoundError::EmptyNonce),
            len if len > MAX_NONCE_LEN => return Err(RoundError::NonceTooLong { len }),
            _ => {}
        }
        Ok(Self {
            key: TeeKey::generate(form).map_err(RoundError::KeyNotMade)?,
            nonce: nonce.into(),
        })
    }

    /// Which form it has.
    pub(in crate::rounds) fn form(&self) -> TeeKeyForm {
        self.key.public().form()
    }

    /// Nonce and public key, as they are bound into the evidence.
    pub(super) fn evidence_wanted(&self) -> EvidenceWanted {
        EvidenceWanted {
            nonce: self.nonce.clone(),
            public: self.key.public().clone(),
            tee_pubkey_jwk: self.key.public().to_jwk_json(),
        }
    }
}

impl Challenged {
    pub(super) fn new(ordered: Ordered, key: RoundKey, now: Now) -> Self {
        Self {
            ordered,
            key,
            made_boot_ms: now.boot_ms,
            outcomes: HashMap::new(),
            delivered: HashSet::new(),
            result_delivered: false,
        }
    }

    pub(in crate::rounds) fn ordered_mut(&mut self) -> &mut Ordered {
        &mut self.ordered
    }

    /// Judges the attestation result for every gate of the order, each by its own rule.
    pub(in crate::rounds) fn take_result(
        &mut self,
        token: &str,
        to: &Destination<'_>,
    ) -> Result<(), RoundError> {
        if self.ordered.gates().is_empty() {
            return Err(RoundError::ResultNotWanted);
        }
        if std::mem::replace(&mut self.result_delivered, true) {
            return Err(RoundError::DeliveredTwice);
        }
        let mut fault = None;
        for gate in self.ordered.gates() {
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
            key: self.key.key.public(),
            nonce: &self.key.nonce,
            made_boot_ms: self.made_boot_ms,
        };
        to.gates.approve(judge(gate, token, binding)?);
        Ok(())
    }

    /// Opens and judges a resource, and commits it to every key that comes from it; gives the list
    /// where it is one that was not here.
    pub(in crate::rounds) fn take_resource(
        &mut self,
        path: &str,
        jwe: &[u8],
        to: &Destination<'_>,
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<Option<ListTaken>, RoundError> {
        let path = self.ordered.path(path)?;
        if !self.delivered.insert(path.clone()) {
            return Err(RoundError::DeliveredTwice);
        }
        let opened = Opened::from_jwe(&self.key.key, jwe);
        if let Some(signer) = self.ordered.listed_signer(&path) {
            let taken = opened.and_then(|opened| {
                let taken = opened.take_list(signer, self.made_boot_ms, to);
                taken.map_err(ResourceFault::from)
            });
            let name = signer.name.clone();
            let outcome = taken.clone().map(drop);
            let outcome = outcome.map_err(RoundFailure::ResourceRefused);
            self.outcomes.insert(Want::Signers { name }, outcome);
            return taken.map_err(RoundError::Resource);
        }
        let from = Whence {
            path: &path,
            service: self.ordered.service(),
            made_boot_ms: self.made_boot_ms,
        };
        let mut fault = None;
        for rule in self.ordered.rules(&path) {
            let outcome = match &opened {
                Ok(opened) => commit(opened, rule, &from, to, now, draw),
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
        fault.map_or(Ok(None), |fault| Err(RoundError::Resource(fault)))
    }

    /// Ends it; its key is erased here.
    pub(in crate::rounds) fn settle(self, otherwise: &RoundFailure) -> Ended {
        self.ordered.settle_with(self.outcomes, otherwise)
    }
}

/// Judges what opened by `rule`, and keeps it.
pub(super) fn commit(
    opened: &Opened,
    rule: &Arc<KeyRule>,
    from: &Whence<'_>,
    to: &Destination<'_>,
    now: Now,
    draw: &mut dyn Draw,
) -> Result<(), ResourceFault> {
    // What is under way is judged by the rule of this moment, and only if that is still the one
    // under which it was asked for.
    if to.policy.key_rule(rule.name.as_str()) != Some(rule) {
        return Err(ResourceFault::PolicyChanged);
    }
    let delivered = opened.judge(to.policy, rule, from, now)?;
    to.keys.commit_provisioned(&delivered, now, draw)?;
    Ok(())
}
