use super::{
    Asked, GateRule, KeyRule, NamePattern, PolicyFault, PolicySet, ReleaseTo, Service, Signer,
};
use crate::Peer;
use nitride_protocol::{KeyName, KeyNameBuf, Operation, OperationSet};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A policy that was checked, with its indexes. Whoever holds one sees all of one generation.
#[derive(Debug)]
pub(crate) struct ActivePolicy {
    set: PolicySet,
    keys: BTreeMap<KeyNameBuf, Arc<KeyRule>>,
    gates: HashMap<String, Arc<GateRule>>,
    /// Volume to key.
    volumes: HashMap<String, KeyNameBuf>,
}

impl ActivePolicy {
    pub(crate) fn new(set: PolicySet) -> Result<Self, PolicyFault> {
        set.check()?;
        let keys: BTreeMap<_, _> = set
            .keys
            .iter()
            .map(|rule| (rule.name.clone(), Arc::new(rule.clone())))
            .collect();
        let gates = set
            .gates
            .iter()
            .map(|gate| (gate.name.clone(), Arc::new(gate.clone())))
            .collect();
        let volumes = set
            .keys
            .iter()
            .flat_map(|rule| {
                rule.volumes()
                    .map(|volume| (volume.to_owned(), rule.name.clone()))
            })
            .collect();
        Ok(Self {
            set,
            keys,
            gates,
            volumes,
        })
    }

    /// As it was stated.
    pub(crate) fn set(&self) -> &PolicySet {
        &self.set
    }

    /// Whether this key is a part of the sealing key.
    pub(crate) fn is_seal_part(&self, name: &KeyNameBuf) -> bool {
        let seal = self.set.seal.as_ref();
        seal.and_then(|seal| seal.provisioned.as_ref()) == Some(name)
    }

    /// The key's own policy, where one is stated.
    pub(crate) fn key_rule(&self, name: &str) -> Option<&Arc<KeyRule>> {
        self.keys.get(name)
    }

    /// All key rules, by name.
    pub(crate) fn key_rules(&self) -> &BTreeMap<KeyNameBuf, Arc<KeyRule>> {
        &self.keys
    }

    /// The gate of this name.
    pub(crate) fn gate_rule(&self, name: &str) -> Option<&Arc<GateRule>> {
        self.gates.get(name)
    }

    /// The service of this name.
    pub(crate) fn service(&self, name: &str) -> Option<&Service> {
        self.set
            .services
            .iter()
            .find(|service| service.name == name)
    }

    /// The signer of this name.
    pub(crate) fn signer(&self, name: &str) -> Option<&Signer> {
        self.set.signers.iter().find(|signer| signer.name == name)
    }

    /// The one key that may be released to this volume.
    pub(crate) fn key_of_volume(&self, volume: &str) -> Option<&Arc<KeyRule>> {
        self.key_rule(self.volumes.get(volume)?.as_str())
    }

    /// What the rules grant `peer` on `name`. Nothing, where no rule is about both.
    pub(crate) fn granted_on(&self, peer: &Peer, name: KeyName<'_>) -> OperationSet {
        self.set
            .rules
            .iter()
            .filter(|rule| rule.keys.iter().any(|pattern| pattern.matches(name)))
            .filter(|rule| rule.peers.iter().any(|stated| stated.matches(peer)))
            .fold(OperationSet::EMPTY, |all, rule| all.union(rule.operations))
            .with_implied()
    }

    /// What the names begin with on which the rules grant `peer` this operation: in order, none of
    /// them beginning with another one.
    pub(crate) fn starts_granted(&self, peer: &Peer, operation: Operation) -> Vec<&str> {
        let granting = self
            .set
            .rules
            .iter()
            .filter(|rule| rule.operations.contains(operation))
            .filter(|rule| rule.peers.iter().any(|stated| stated.matches(peer)));
        let mut starts: Vec<&str> = granting
            .flat_map(|rule| rule.keys.iter().map(NamePattern::start))
            .collect();
        starts.sort_unstable();
        starts.dedup_by(|next, kept| next.starts_with(*kept));
        starts
    }

    /// What the rules grant `peer` on any name or on none: for what is about no key.
    pub(crate) fn granted_anywhere(&self, peer: &Peer) -> OperationSet {
        self.set
            .rules
            .iter()
            .filter(|rule| rule.peers.iter().any(|stated| stated.matches(peer)))
            .fold(OperationSet::EMPTY, |all, rule| all.union(rule.operations))
    }

    /// What rules and administrators would like to know of `peer` besides who it is.
    pub(crate) fn asks_about(&self, peer: &Peer) -> Asked {
        let stated = self.set.rules.iter().flat_map(|rule| &rule.peers);
        stated
            .chain(&self.set.admins)
            .filter(|stated| stated.executable_digest.is_some() || stated.per_message)
            .map(|stated| stated.asks_about(peer))
            .fold(Asked::default(), |all, one| Asked {
                executable_digest: all.executable_digest || one.executable_digest,
                per_message: all.per_message || one.per_message,
            })
    }

    /// Whether `peer` may use the admin socket.
    pub(crate) fn is_admin(&self, peer: &Peer) -> bool {
        self.set.admins.iter().any(|stated| stated.matches(peer))
    }
}

impl KeyRule {
    pub(super) fn volumes(&self) -> impl Iterator<Item = &str> {
        self.release_to.iter().filter_map(|to| match to {
            ReleaseTo::Volume(volume) => Some(volume.as_str()),
            ReleaseTo::Unit(_) | ReleaseTo::Uid(_) => None,
        })
    }
}
