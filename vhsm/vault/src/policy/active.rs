use super::{
    Asked, GateRule, KeyRule, ListedSigner, NamePattern, PolicyFault, PolicySet, ReleaseTo,
    Service, Source,
};
use crate::signers::{HeldList, HeldLists};
use crate::{Now, Peer};
use nitride_protocol::{KeyName, KeyNameBuf, Operation, OperationSet};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A policy that was checked, with its indexes, and the lists by which its signers are known. Whoever
/// holds one sees all of one generation, and of each list one serial.
#[derive(Debug)]
pub(crate) struct ActivePolicy {
    stated: Arc<Stated>,
    lists: HeldLists,
}

#[derive(Debug)]
struct Stated {
    set: PolicySet,
    keys: BTreeMap<KeyNameBuf, Arc<KeyRule>>,
    gates: HashMap<String, Arc<GateRule>>,
    /// Volume to key.
    volumes: HashMap<String, KeyNameBuf>,
    listed: BTreeMap<String, Listed>,
}

/// A signer that has a list, and who could bring it where no key is wanted, the preferred one first.
#[derive(Debug)]
struct Listed {
    rule: Arc<ListedSigner>,
    services: Vec<String>,
}

/// A key whose signature counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Believed<'p> {
    pub(crate) kid: &'p [u8],
    pub(crate) point: &'p [u8; 65],
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
        let listed = set.listed_signers.iter().map(|rule| {
            let of_key = |key: &KeyRule| match &key.source {
                Source::Kbs { services, .. } if key.signer.contains(&rule.name) => services.clone(),
                _ => Vec::new(),
            };
            let mut services: Vec<String> = Vec::new();
            for service in keys.values().flat_map(|key| of_key(key)) {
                if !services.contains(&service) {
                    services.push(service);
                }
            }
            let listed = Listed {
                rule: Arc::new(rule.clone()),
                services,
            };
            (rule.name.clone(), listed)
        });
        let stated = Stated {
            listed: listed.collect(),
            set,
            keys,
            gates,
            volumes,
        };
        Ok(Self {
            stated: Arc::new(stated),
            lists: HeldLists::default(),
        })
    }

    /// The same policy with these lists, as far as it knows their signers.
    pub(crate) fn with_lists(&self, lists: HeldLists) -> Self {
        let is_known = |(name, held): &(String, Arc<HeldList>)| {
            let rule = self.listed_signer(name);
            rule.is_some_and(|rule| held.is_of(rule))
        };
        Self {
            stated: Arc::clone(&self.stated),
            lists: lists.into_iter().filter(is_known).collect(),
        }
    }

    /// As it was stated.
    pub(crate) fn set(&self) -> &PolicySet {
        &self.stated.set
    }

    /// Whether this key is a part of the sealing key.
    pub(crate) fn is_seal_part(&self, name: &KeyNameBuf) -> bool {
        let seal = self.stated.set.seal.as_ref();
        seal.and_then(|seal| seal.provisioned.as_ref()) == Some(name)
    }

    /// The key's own policy, where one is stated.
    pub(crate) fn key_rule(&self, name: &str) -> Option<&Arc<KeyRule>> {
        self.stated.keys.get(name)
    }

    /// All key rules, by name.
    pub(crate) fn key_rules(&self) -> &BTreeMap<KeyNameBuf, Arc<KeyRule>> {
        &self.stated.keys
    }

    /// The gate of this name.
    pub(crate) fn gate_rule(&self, name: &str) -> Option<&Arc<GateRule>> {
        self.stated.gates.get(name)
    }

    /// The service of this name.
    pub(crate) fn service(&self, name: &str) -> Option<&Service> {
        let mut services = self.stated.set.services.iter();
        services.find(|service| service.name == name)
    }

    /// The keys whose signature counts for what `rule` speaks of. Without a moment, those that were
    /// pinned alone: a list counts for a time.
    pub(crate) fn believed(
        &self,
        rule: &KeyRule,
        now: Option<Now>,
    ) -> impl Iterator<Item = Believed<'_>> {
        rule.signer.iter().flat_map(move |name| {
            let signers = self.stated.set.signers.iter();
            let pinned = signers
                .filter(move |signer| signer.name == *name)
                .map(|signer| Believed {
                    kid: &signer.kid,
                    point: &signer.point,
                });
            let listed = now.and_then(|now| {
                let rule = self.listed_signer(name)?;
                Some(self.lists.get(name)?.believed(rule, now))
            });
            pinned.chain(listed.into_iter().flatten())
        })
    }

    /// Whether a signer of `rule` has this key: pinned, or in the list that is here, however old
    /// that is and whenever the key counts.
    pub(crate) fn names(&self, rule: &KeyRule, point: &[u8; 65]) -> bool {
        rule.signer.iter().any(|name| {
            let mut signers = self.stated.set.signers.iter();
            let is_pinned = signers.any(|signer| signer.name == *name && signer.point == *point);
            is_pinned || self.lists.get(name).is_some_and(|list| list.names(point))
        })
    }

    /// The signer of this name, where it has a list.
    pub(crate) fn listed_signer(&self, name: &str) -> Option<&Arc<ListedSigner>> {
        self.stated.listed.get(name).map(|listed| &listed.rule)
    }

    /// The signers that have a list, by name.
    pub(crate) fn listed_signers(&self) -> impl Iterator<Item = &Arc<ListedSigner>> {
        self.stated.listed.values().map(|listed| &listed.rule)
    }

    /// Who brings the list of this signer where no key is wanted: every service that brings a key of
    /// this signer. None, where the policy has no such list or nobody brings it.
    pub(crate) fn services_of_list(&self, name: &str) -> &[String] {
        let listed = self.stated.listed.get(name);
        listed.map_or(&[], |listed| &listed.services)
    }

    /// The list of this signer that counts, if one has come.
    pub(crate) fn list(&self, name: &str) -> Option<&Arc<HeldList>> {
        self.lists.get(name)
    }

    /// The one key that may be released to this volume.
    pub(crate) fn key_of_volume(&self, volume: &str) -> Option<&Arc<KeyRule>> {
        self.key_rule(self.stated.volumes.get(volume)?.as_str())
    }

    /// What the rules grant `peer` on `name`. Nothing, where no rule is about both.
    pub(crate) fn granted_on(&self, peer: &Peer, name: KeyName<'_>) -> OperationSet {
        self.stated
            .set
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
            .stated
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
        self.stated
            .set
            .rules
            .iter()
            .filter(|rule| rule.peers.iter().any(|stated| stated.matches(peer)))
            .fold(OperationSet::EMPTY, |all, rule| all.union(rule.operations))
    }

    /// What rules and administrators would like to know of `peer` besides who it is.
    pub(crate) fn asks_about(&self, peer: &Peer) -> Asked {
        let stated = self.stated.set.rules.iter().flat_map(|rule| &rule.peers);
        stated
            .chain(&self.stated.set.admins)
            .filter(|stated| stated.executable_digest.is_some() || stated.per_message)
            .map(|stated| stated.asks_about(peer))
            .fold(Asked::default(), |all, one| Asked {
                executable_digest: all.executable_digest || one.executable_digest,
                per_message: all.per_message || one.per_message,
            })
    }

    /// Whether `peer` may use the admin socket.
    pub(crate) fn is_admin(&self, peer: &Peer) -> bool {
        self.stated
            .set
            .admins
            .iter()
            .any(|stated| stated.matches(peer))
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
