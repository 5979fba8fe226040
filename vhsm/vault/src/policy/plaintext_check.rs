//! What the agent may read, and what it must not come to read by that.
//!
//! A service in the clear is the administrator's statement, in `vhsmd.toml`, and a key takes from it by
//! a statement of its own. The rest is refused so that the promise stays whole for every other key:
//! that the courier is blind.

use super::{KeyRule, PolicyFault, PolicySet, ReleaseTo, Source, Unsigned};
use nitride_kbs::resource::ResourcePath;
use nitride_protocol::{KeyNameBuf, Operation};
use std::collections::HashMap;
use thiserror::Error;

/// Uses by which a key protects other keys, or makes them: who knows the one knows the others.
const FOR_OTHER_KEYS: [Operation; 6] = [
    Operation::Wrap,
    Operation::Unwrap,
    Operation::Derive,
    Operation::Agree,
    Operation::Encapsulate,
    Operation::Decapsulate,
];

/// Why something is not to be brought by an agent that reads it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlaintextFault {
    /// A key that does not say so, and a service that the agent reads.
    #[error(
        "key {key} does not say plaintext-courier, and the agent reads what service {service} gives"
    )]
    NotAccepted {
        /// The key.
        key: KeyNameBuf,
        /// The service.
        service: String,
    },
    /// A key that says so, and no service that the agent reads.
    #[error(
        "key {key} says plaintext-courier, and the agent reads what none of its services gives"
    )]
    NoneInClear {
        /// The key.
        key: KeyNameBuf,
    },
    /// A key by which others would be known.
    #[error(
        "key {key} says plaintext-courier and may {operation}: the agent could know other keys by it"
    )]
    OtherKeys {
        /// The key.
        key: KeyNameBuf,
        /// What it may do.
        operation: Operation,
    },
    /// A key that could come back under another name, without the mark.
    #[error(
        "key {key} says plaintext-courier and is wrappable: unwrapped, it would not be marked any more"
    )]
    Wrappable {
        /// The key.
        key: KeyNameBuf,
    },
    /// A part of the sealing key.
    #[error("key {key} says plaintext-courier and is a part of the sealing key")]
    SealPart {
        /// The key.
        key: KeyNameBuf,
    },
    /// A key that opens a disk: what does is to be attested.
    #[error(
        "key {key} says plaintext-courier and is released to volume {volume}: nothing is attested \
         before it is given"
    )]
    Volume {
        /// The key.
        key: KeyNameBuf,
        /// The volume.
        volume: String,
    },
    /// What nobody signs has a number of the service's where the agent reads it, and none where it
    /// comes encrypted: whichever came first would keep the other away.
    #[error(
        "key {key} says plaintext-courier and takes unsigned resources, and service {service} is \
         not read by the agent: versions of the two cannot be compared"
    )]
    MixedUnsigned {
        /// The key.
        key: KeyNameBuf,
        /// The service that is blind.
        service: String,
    },
    /// A signer whose list would come without a challenge, which an agent could play again for ever.
    #[error("key {key} says plaintext-courier and names signer {signer}, whose keys are listed")]
    ListedSigner {
        /// The key.
        key: KeyNameBuf,
        /// The signer.
        signer: String,
    },
    /// One resource for a key that the agent may know and for one that it may not.
    #[error(
        "key {key} comes from the resource of key {other}, which says plaintext-courier: the agent \
         would know both"
    )]
    SharedResource {
        /// The key that does not say so.
        key: KeyNameBuf,
        /// The key that does.
        other: KeyNameBuf,
    },
    /// A gate of a service that attests nothing.
    #[error("gate {gate} names service {service}, which the agent reads and which attests nothing")]
    Gate {
        /// The gate.
        gate: String,
        /// The service.
        service: String,
    },
}

impl PolicySet {
    /// Nothing is in the clear but what says so, and what says so harms nothing else.
    pub(super) fn check_plaintext(&self) -> Result<(), PolicyFault> {
        for gate in &self.gates {
            if self.is_in_clear(&gate.service) {
                let (gate, service) = (gate.name.clone(), gate.service.clone());
                return Err(PlaintextFault::Gate { gate, service }.into());
            }
        }
        let mut in_clear: HashMap<&ResourcePath, &KeyNameBuf> = HashMap::new();
        for rule in &self.keys {
            if let Source::Kbs { services, path } = &rule.source {
                self.check_plaintext_key(rule, services)?;
                if rule.plaintext_courier {
                    in_clear.insert(path, &rule.name);
                }
            }
        }
        for rule in self.keys.iter().filter(|rule| !rule.plaintext_courier) {
            if let Source::Kbs { path, .. } = &rule.source
                && let Some(other) = in_clear.get(path)
            {
                let (key, other) = (rule.name.clone(), (*other).clone());
                return Err(PlaintextFault::SharedResource { key, other }.into());
            }
        }
        Ok(())
    }

    fn check_plaintext_key(
        &self,
        rule: &KeyRule,
        services: &[String],
    ) -> Result<(), PlaintextFault> {
        let key = || rule.name.clone();
        let read_by_agent = services.iter().find(|service| self.is_in_clear(service));
        match (rule.plaintext_courier, read_by_agent) {
            (false, None) => return Ok(()),
            (false, Some(service)) => {
                let service = service.clone();
                return Err(PlaintextFault::NotAccepted {
                    key: key(),
                    service,
                });
            }
            (true, None) => return Err(PlaintextFault::NoneInClear { key: key() }),
            (true, Some(_)) => {}
        }
        let mut others = FOR_OTHER_KEYS.into_iter();
        if let Some(operation) = others.find(|operation| rule.operations.contains(*operation)) {
            return Err(PlaintextFault::OtherKeys {
                key: key(),
                operation,
            });
        }
        if !rule.wrappable_by.is_empty() {
            return Err(PlaintextFault::Wrappable { key: key() });
        }
        let volume = rule.release_to.iter().find_map(|to| match to {
            ReleaseTo::Volume(volume) => Some(volume.clone()),
            ReleaseTo::Unit(_) | ReleaseTo::Uid(_) => None,
        });
        if let Some(volume) = volume {
            return Err(PlaintextFault::Volume { key: key(), volume });
        }
        let blind = services.iter().find(|service| !self.is_in_clear(service));
        if let (Unsigned::Accept, Some(service)) = (rule.unsigned, blind) {
            let (key, service) = (key(), service.clone());
            return Err(PlaintextFault::MixedUnsigned { key, service });
        }
        let part = self
            .seal
            .as_ref()
            .and_then(|seal| seal.provisioned.as_ref());
        if part == Some(&rule.name) {
            return Err(PlaintextFault::SealPart { key: key() });
        }
        match rule.signer.iter().find(|name| self.is_listed(name)) {
            None => Ok(()),
            Some(signer) => Err(PlaintextFault::ListedSigner {
                key: key(),
                signer: signer.clone(),
            }),
        }
    }

    /// Whether the agent reads what this service gives.
    pub fn is_in_clear(&self, service: &str) -> bool {
        let mut services = self.services.iter();
        services.any(|stated| stated.name == service && stated.plaintext_courier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{ListedSigner, SealTerms, Unsigned};
    use crate::tests::world::{kbs, key, policy, service};
    use nitride_protocol::KeyType;

    /// A key in the clear, and one that is not.
    fn fault_of(change: impl FnOnce(&mut PolicySet)) -> Option<PolicyFault> {
        let mut clear = key("k", KeyType::Secret, from("bao", "r/t/k"));
        clear.plaintext_courier = true;
        clear.operations = nitride_protocol::OperationSet::of(&[Operation::Release]);
        let blind = key("b", KeyType::Secret, kbs("r/t/b"));
        let mut set = policy(vec![], vec![clear, blind]);
        set.services.push(crate::policy::Service {
            plaintext_courier: true,
            ..service("bao")
        });
        assert_eq!(set.check(), Ok(()));
        change(&mut set);
        set.check().err()
    }

    fn from(service: &str, path: &str) -> Source {
        Source::Kbs {
            services: vec![service.into()],
            path: ResourcePath::parse(path).unwrap(),
        }
    }

    fn k() -> KeyNameBuf {
        "k".parse().unwrap()
    }

    #[test]
    fn both_the_key_and_the_service_have_to_say_that_the_agent_reads() {
        let fault = fault_of(|set| set.keys[0].plaintext_courier = false);
        let service = "bao".to_owned();
        let expected = PlaintextFault::NotAccepted { key: k(), service };
        assert_eq!(fault, Some(expected.into()));
        let fault = fault_of(|set| set.services[1].plaintext_courier = false);
        assert_eq!(fault, Some(PlaintextFault::NoneInClear { key: k() }.into()));
        // A second service after one that is blind is enough to be said, and to have to be said.
        let both = |set: &mut PolicySet| {
            let Source::Kbs { services, .. } = &mut set.keys[0].source else {
                panic!("a service");
            };
            services.insert(0, "main".to_owned());
        };
        assert_eq!(fault_of(both), None);
    }

    #[test]
    fn no_key_that_makes_or_protects_others_comes_in_the_clear() {
        let types = [
            (KeyType::Aes256Kwp, Operation::Wrap),
            (KeyType::Aes256Kwp, Operation::Unwrap),
            (KeyType::HmacSha256, Operation::Derive),
            (KeyType::Secret, Operation::Derive),
            (KeyType::X25519, Operation::Agree),
            (KeyType::MlKem768, Operation::Encapsulate),
            (KeyType::MlKem768, Operation::Decapsulate),
        ];
        for (key_type, operation) in types {
            let fault = fault_of(|set| {
                set.keys[0].key_type = key_type;
                set.keys[0].operations = nitride_protocol::OperationSet::of(&[operation]);
                set.keys[0].release_to.clear();
            });
            let expected = PlaintextFault::OtherKeys {
                key: k(),
                operation,
            };
            assert_eq!(fault, Some(expected.into()), "{key_type} {operation}");
        }
        let fault = fault_of(|set| set.keys[0].wrappable_by.push("kek".parse().unwrap()));
        assert_eq!(fault, Some(PlaintextFault::Wrappable { key: k() }.into()));
    }

    #[test]
    fn what_nobody_signs_is_either_read_by_the_agent_or_comes_encrypted() {
        let both = |set: &mut PolicySet| {
            set.keys[0].signer.clear();
            set.keys[0].unsigned = Unsigned::Accept;
            let Source::Kbs { services, .. } = &mut set.keys[0].source else {
                panic!("a service");
            };
            services.insert(0, "main".to_owned());
        };
        let service = "main".to_owned();
        let expected = PlaintextFault::MixedUnsigned { key: k(), service };
        assert_eq!(fault_of(both), Some(expected.into()));
        let one = |set: &mut PolicySet| {
            set.keys[0].signer.clear();
            set.keys[0].unsigned = Unsigned::Accept;
        };
        assert_eq!(fault_of(one), None);
    }

    #[test]
    fn what_opens_a_disk_is_not_read_by_the_agent() {
        let fault = fault_of(|set| set.keys[0].release_to = vec![ReleaseTo::Volume("data".into())]);
        let volume = "data".to_owned();
        let expected = PlaintextFault::Volume { key: k(), volume };
        assert_eq!(fault, Some(expected.into()));
    }

    #[test]
    fn neither_the_seal_nor_a_list_of_signers_rests_on_what_the_agent_reads() {
        let fault = fault_of(|set| {
            set.seal = Some(SealTerms {
                provisioned: Some(k()),
                is_durable: true,
            });
        });
        assert_eq!(fault, Some(PlaintextFault::SealPart { key: k() }.into()));
        let fault = fault_of(|set| {
            set.listed_signers.push(ListedSigner {
                name: "listed".into(),
                list_key: [4; 65],
                path: ResourcePath::parse("r/list/owner").unwrap(),
                max_age_ms: 1,
                min_serial: 0,
            });
            set.keys[0].signer = vec!["listed".into()];
        });
        let signer = "listed".to_owned();
        let expected = PlaintextFault::ListedSigner { key: k(), signer };
        assert_eq!(fault, Some(expected.into()));
    }

    #[test]
    fn no_resource_is_for_a_key_that_the_agent_may_know_and_for_one_that_it_may_not() {
        let fault = fault_of(|set| set.keys[1].source = kbs("r/t/k"));
        let expected = PlaintextFault::SharedResource {
            key: "b".parse().unwrap(),
            other: k(),
        };
        assert_eq!(fault, Some(expected.into()));
    }

    #[test]
    fn a_service_in_the_clear_opens_no_gate_and_a_key_made_here_is_not_brought() {
        let fault = fault_of(|set| set.gates[0].service = "bao".into());
        let (gate, service) = ("vm".to_owned(), "bao".to_owned());
        let expected = PlaintextFault::Gate { gate, service };
        assert_eq!(fault, Some(expected.into()));
        let fault = fault_of(|set| {
            set.keys[0].source = Source::Local;
            set.keys[0].signer.clear();
            set.keys[0].unsigned = Unsigned::Refuse;
        });
        let field = "plaintext-courier";
        assert_eq!(fault, Some(PolicyFault::NotProvisioned { key: k(), field }));
    }
}
