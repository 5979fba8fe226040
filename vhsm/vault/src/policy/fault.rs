use super::{KeyRule, PeerMatch, PolicySet, Source, Unsigned};
use nitride_protocol::{KeyNameBuf, KeyType, Operation};
use std::collections::HashSet;
use thiserror::Error;

/// Why a policy is not taken. The configuration adds the file and the line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyFault {
    /// Two key rules for one name.
    #[error("key {key} has two rules")]
    DuplicateKey {
        /// The name.
        key: KeyNameBuf,
    },
    /// Two gates, signers, key ids of signers or volumes of one name.
    #[error("{kind} {name} is stated twice")]
    Duplicate {
        /// "gate", "signer", "kid of signer" or "volume".
        kind: &'static str,
        /// The name; of two signers with one key id, the second's.
        name: String,
    },
    /// A reference to a gate, a service or a signer that is not there.
    #[error("{by} refers to the {kind} {name}, which is not stated")]
    Unknown {
        /// The key or gate that refers to it.
        by: String,
        /// "gate", "service" or "signer".
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A use that the key's type does not have.
    #[error("key {key} of type {key_type} cannot {operation}")]
    NotOfType {
        /// The key.
        key: KeyNameBuf,
        /// Its type.
        key_type: KeyType,
        /// The use.
        operation: Operation,
    },
    /// `release-to` at a key that never leaves.
    #[error("key {key} of type {key_type} is never released: release-to is for type secret")]
    NeverReleased {
        /// The key.
        key: KeyNameBuf,
        /// Its type.
        key_type: KeyType,
    },
    /// `lease`, `prefetch`, `signer`, `tenant` or `unsigned` at a key that no service brings.
    #[error("key {key} comes from no service, so it cannot have {field}")]
    NotProvisioned {
        /// The key.
        key: KeyNameBuf,
        /// The field.
        field: &'static str,
    },
    /// A provisioned key that nobody could sign for.
    #[error("key {key} names no signer and refuses unsigned resources: nothing could be taken")]
    NoSigner {
        /// The key.
        key: KeyNameBuf,
    },
    /// `not-before` lies after `not-after`.
    #[error("key {key} is never valid: not-before lies after not-after")]
    NeverValid {
        /// The key.
        key: KeyNameBuf,
    },
    /// A peer match without a condition.
    #[error("{by} has a peer without any condition")]
    AnyPeer {
        /// "rule NAME" or "admin".
        by: String,
    },
    /// A cgroup prefix that is not an absolute path.
    #[error("{by} has a cgroup prefix that is not an absolute path")]
    RelativeCgroup {
        /// "rule NAME" or "admin".
        by: String,
    },
    /// A gate that no approval could keep open.
    #[error("gate {gate} has a max-age of zero: no approval would ever count")]
    NeverOpen {
        /// The gate.
        gate: String,
    },
}

impl PolicySet {
    /// Looks for contradictions within the policy; the vault takes none that has one.
    pub fn check(&self) -> Result<(), PolicyFault> {
        for rule in &self.rules {
            check_peers(&rule.peers, || format!("rule {}", rule.name))?;
        }
        check_peers(&self.admins, || "admin".into())?;
        unique("gate", self.gates.iter().map(|gate| gate.name.as_str()))?;
        unique(
            "signer",
            self.signers.iter().map(|signer| signer.name.as_str()),
        )?;
        // An envelope names its signer by this alone: it must not mean two.
        let mut kids = HashSet::new();
        if let Some(signer) = self.signers.iter().find(|signer| !kids.insert(&signer.kid)) {
            return Err(PolicyFault::Duplicate {
                kind: "kid of signer",
                name: signer.name.clone(),
            });
        }
        let volumes = self.keys.iter().flat_map(KeyRule::volumes);
        unique("volume", volumes)?;
        for gate in &self.gates {
            self.knows_service(&gate.service, || format!("gate {}", gate.name))?;
            if gate.max_age_ms == 0 {
                let gate = gate.name.clone();
                return Err(PolicyFault::NeverOpen { gate });
            }
        }
        let mut names = HashSet::new();
        for key in &self.keys {
            if !names.insert(key.name.as_str()) {
                let key = key.name.clone();
                return Err(PolicyFault::DuplicateKey { key });
            }
            self.check_key(key)?;
        }
        Ok(())
    }

    fn check_key(&self, rule: &KeyRule) -> Result<(), PolicyFault> {
        let key = || rule.name.clone();
        let by = || format!("key {}", rule.name);
        let key_type = rule.key_type;
        for operation in rule.operations {
            if !key_type.operations().contains(operation) {
                return Err(PolicyFault::NotOfType {
                    key: key(),
                    key_type,
                    operation,
                });
            }
        }
        if !rule.release_to.is_empty() && key_type != KeyType::Secret {
            return Err(PolicyFault::NeverReleased {
                key: key(),
                key_type,
            });
        }
        if let Some(name) = &rule.gate
            && !self.gates.iter().any(|gate| gate.name == *name)
        {
            return Err(unknown(by(), "gate", name));
        }
        if let (Some(first), Some(last)) = (rule.not_before, rule.not_after)
            && first > last
        {
            return Err(PolicyFault::NeverValid { key: key() });
        }
        match &rule.source {
            Source::Kbs { service, .. } => {
                self.knows_service(service, by)?;
                for name in &rule.signer {
                    if !self.signers.iter().any(|signer| signer.name == *name) {
                        return Err(unknown(by(), "signer", name));
                    }
                }
                if rule.signer.is_empty() && rule.unsigned == Unsigned::Refuse {
                    return Err(PolicyFault::NoSigner { key: key() });
                }
            }
            Source::Generate | Source::Local => {
                let stated = [
                    ("lease", rule.lease_secs.is_some()),
                    ("prefetch", rule.prefetch),
                    ("a signer", !rule.signer.is_empty()),
                    ("a tenant", rule.tenant.is_some()),
                    ("unsigned", rule.unsigned == Unsigned::Accept),
                ];
                if let Some((field, _)) = stated.into_iter().find(|(_, stated)| *stated) {
                    return Err(PolicyFault::NotProvisioned { key: key(), field });
                }
            }
        }
        Ok(())
    }

    fn knows_service(&self, name: &str, by: impl Fn() -> String) -> Result<(), PolicyFault> {
        if self.services.iter().any(|service| service == name) {
            Ok(())
        } else {
            Err(unknown(by(), "service", name))
        }
    }
}

fn check_peers(peers: &[PeerMatch], by: impl Fn() -> String) -> Result<(), PolicyFault> {
    for peer in peers {
        if !peer.states_anything() {
            return Err(PolicyFault::AnyPeer { by: by() });
        }
        if let Some(prefix) = &peer.cgroup_prefix
            && !prefix.starts_with('/')
        {
            return Err(PolicyFault::RelativeCgroup { by: by() });
        }
    }
    Ok(())
}

fn unknown(by: String, kind: &'static str, name: &str) -> PolicyFault {
    let name = name.into();
    PolicyFault::Unknown { by, kind, name }
}

#[expect(
    single_use_lifetimes,
    reason = "an elided lifetime in impl Trait is unstable"
)]
fn unique<'a>(kind: &'static str, names: impl Iterator<Item = &'a str>) -> Result<(), PolicyFault> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            let name = name.into();
            return Err(PolicyFault::Duplicate { kind, name });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{NamePattern, ReleaseTo, Rule};
    use crate::tests::world::{gate, kbs, key, policy, uid};
    use nitride_protocol::OperationSet;

    type Change<T> = (fn(&mut T), &'static str);

    fn fault_of(change: impl FnOnce(&mut PolicySet)) -> PolicyFault {
        let mut provisioned = key("k", KeyType::Secret, kbs("r/t/k"));
        provisioned.lease_secs = Some(1);
        let local = key("l", KeyType::EcP256, Source::Local);
        let mut set = policy(vec![], vec![provisioned, local]);
        set.rules.push(Rule {
            name: "r".into(),
            keys: vec![NamePattern::parse("**").unwrap()],
            peers: vec![uid(1)],
            operations: OperationSet::ALL,
        });
        assert_eq!(set.check(), Ok(()));
        change(&mut set);
        set.check().unwrap_err()
    }

    fn name(text: &str) -> KeyNameBuf {
        text.parse().unwrap()
    }

    #[test]
    fn an_empty_policy_has_no_fault_and_allows_nothing() {
        assert_eq!(PolicySet::default().check(), Ok(()));
    }

    #[test]
    fn what_is_stated_twice_is_named() {
        let fault = fault_of(|set| set.keys.push(set.keys[0].clone()));
        assert_eq!(fault, PolicyFault::DuplicateKey { key: name("k") });
        let fault = fault_of(|set| set.gates.push(gate("vm", 1)));
        assert!(matches!(fault, PolicyFault::Duplicate { kind: "gate", .. }));
        let fault = fault_of(|set| set.signers.push(set.signers[0].clone()));
        assert!(matches!(
            fault,
            PolicyFault::Duplicate { kind: "signer", .. }
        ));
        let fault = fault_of(|set| {
            let mut other = set.signers[0].clone();
            other.name = "other".into();
            other.point = [5; 65];
            set.signers.push(other);
        });
        let of_other = PolicyFault::Duplicate {
            kind: "kid of signer",
            name: "other".into(),
        };
        assert_eq!(fault, of_other);
        let fault = fault_of(|set| {
            let volume = ReleaseTo::Volume("root".into());
            let mut other = set.keys[0].clone();
            other.name = name("other");
            other.release_to = vec![volume.clone()];
            set.keys[0].release_to = vec![volume];
            set.keys.push(other);
        });
        assert!(matches!(
            fault,
            PolicyFault::Duplicate { kind: "volume", .. }
        ));
    }

    #[test]
    fn what_is_referred_to_and_not_there_is_named() {
        let changes: [Change<PolicySet>; 4] = [
            (|set| set.keys[0].gate = Some("x".into()), "gate"),
            (|set| set.keys[0].signer.push("x".into()), "signer"),
            (|set| set.services.clear(), "service"),
            (|set| set.signers.clear(), "signer"),
        ];
        for (change, expected) in changes {
            let fault = fault_of(change);
            assert!(matches!(fault, PolicyFault::Unknown { kind, .. } if kind == expected));
        }
    }

    #[test]
    fn a_key_states_only_what_its_type_and_its_source_have() {
        let key = || name("l");
        let key_type = KeyType::EcP256;
        let fault = fault_of(|set| set.keys[1].operations.insert(Operation::Encrypt));
        let operation = Operation::Encrypt;
        let of_type = PolicyFault::NotOfType {
            key: key(),
            key_type,
            operation,
        };
        assert_eq!(fault, of_type);
        let fault = fault_of(|set| set.keys[1].release_to.push(ReleaseTo::Uid(0)));
        let released = PolicyFault::NeverReleased {
            key: key(),
            key_type,
        };
        assert_eq!(fault, released);
        let changes: [Change<KeyRule>; 5] = [
            (|rule| rule.lease_secs = Some(1), "lease"),
            (|rule| rule.prefetch = true, "prefetch"),
            (|rule| rule.signer.push("owner".into()), "a signer"),
            (|rule| rule.tenant = Some("t".into()), "a tenant"),
            (|rule| rule.unsigned = Unsigned::Accept, "unsigned"),
        ];
        for (change, field) in changes {
            let fault = fault_of(|set| change(&mut set.keys[1]));
            assert_eq!(fault, PolicyFault::NotProvisioned { key: key(), field });
        }
    }

    #[test]
    fn what_could_never_hold_is_named() {
        let key = || name("k");
        let fault = fault_of(|set| set.keys[0].signer.clear());
        assert_eq!(fault, PolicyFault::NoSigner { key: key() });
        let fault = fault_of(|set| {
            set.keys[0].not_before = Some(2);
            set.keys[0].not_after = Some(1);
        });
        assert_eq!(fault, PolicyFault::NeverValid { key: key() });
        let fault = fault_of(|set| set.gates[0].max_age_ms = 0);
        assert_eq!(fault, PolicyFault::NeverOpen { gate: "vm".into() });
    }

    #[test]
    fn a_peer_without_a_condition_or_with_a_relative_cgroup_is_named() {
        let rule = || "rule r".to_owned();
        let fault = fault_of(|set| set.rules[0].peers.push(PeerMatch::default()));
        assert_eq!(fault, PolicyFault::AnyPeer { by: rule() });
        let fault = fault_of(|set| set.admins.push(PeerMatch::default()));
        let by = "admin".to_owned();
        assert_eq!(fault, PolicyFault::AnyPeer { by });
        let fault = fault_of(|set| {
            set.rules[0].peers[0].cgroup_prefix = Some("system.slice".into());
        });
        assert_eq!(fault, PolicyFault::RelativeCgroup { by: rule() });
    }
}
