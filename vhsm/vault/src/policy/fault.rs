use super::{KeyRule, PeerMatch, PlaintextFault, PolicySet, Rate, Source, Unsigned, limits};
use nitride_protocol::{KeyNameBuf, KeyType, Operation};
use std::collections::{HashMap, HashSet};
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
    /// A provisioned key that no service brings.
    #[error("key {key} has a kbs:/// source and no service")]
    NoService {
        /// The key.
        key: KeyNameBuf,
    },
    /// A key that names a service twice.
    #[error("key {key} names the service {service} twice")]
    ServiceTwice {
        /// The key.
        key: KeyNameBuf,
        /// The service.
        service: String,
    },
    /// A provisioned key that nobody could sign for.
    #[error("key {key} names no signer and refuses unsigned resources: nothing could be taken")]
    NoSigner {
        /// The key.
        key: KeyNameBuf,
    },
    /// A wrapping key that the courier may choose: it could read all that is wrapped under it.
    #[error("key {key} wraps others and takes unsigned resources: its bringer could read them all")]
    UnsignedWrappingKey {
        /// The key.
        key: KeyNameBuf,
    },
    /// `not-before` lies after `not-after`.
    #[error("key {key} is never valid: not-before lies after not-after")]
    NeverValid {
        /// The key.
        key: KeyNameBuf,
    },
    /// A limit or a number of zero, under which the key could never be used.
    #[error("key {key} has a {field} of zero: it could never be used")]
    Zero {
        /// The key.
        key: KeyNameBuf,
        /// The field.
        field: &'static str,
    },
    /// `rotate-after` at a key whose versions a service makes.
    #[error("key {key} is provisioned: its service rotates it, so it cannot have {field}")]
    RotatedElsewhere {
        /// The key.
        key: KeyNameBuf,
        /// The field.
        field: &'static str,
    },
    /// `rotate-after` at a key that no version of its own could follow.
    #[error("key {key} of type {key_type} is not made here: nothing could rotate it")]
    NotRotated {
        /// The key.
        key: KeyNameBuf,
        /// Its type.
        key_type: KeyType,
    },
    /// `wrappable-by` names the key itself.
    #[error("key {key} is wrappable by itself")]
    WrapsItself {
        /// The key.
        key: KeyNameBuf,
    },
    /// `wrappable-by` names a key of a type that does not wrap.
    #[error("key {key} is wrappable by {by}, which is of type {key_type} and wraps nothing")]
    NotAWrappingKey {
        /// The key.
        key: KeyNameBuf,
        /// What `wrappable-by` names.
        by: KeyNameBuf,
        /// The type that its rule states.
        key_type: KeyType,
    },
    /// A list that is longer than what is looked through at each use may be.
    #[error("{by} has {len} {what}, which is more than {max}")]
    TooMany {
        /// "rule NAME", "key NAME" or "admin".
        by: String,
        /// What of.
        what: &'static str,
        /// How many.
        len: usize,
        /// How many there may be.
        max: usize,
    },
    /// An executable digest without any other condition.
    #[error("{by} has a peer with an executable-digest alone, and anybody can run a program")]
    OnlyAHint {
        /// "rule NAME" or "admin".
        by: String,
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
    /// `seal` at a key where nothing seals.
    #[error("key {key} is to be sealed, and there is no [seal]")]
    NoSeal {
        /// The key.
        key: KeyNameBuf,
    },
    /// `seal` and `max-uses` at a key where the host could play an older file.
    #[error("key {key} is sealed and has max-uses, and no counter: uses could be taken back")]
    CountedWithoutCounter {
        /// The key.
        key: KeyNameBuf,
    },
    /// `seal` at the key that the sealed file opens with.
    #[error("key {key} is a part of the sealing key: it cannot be sealed under itself")]
    SealsItself {
        /// The key.
        key: KeyNameBuf,
    },
    /// A part of the sealing key that no service brings, or of another type.
    #[error(
        "the provisioned part of the seal, {key}, is no secret or hmac key with a kbs:/// source"
    )]
    UnfitSealPart {
        /// The key.
        key: KeyNameBuf,
    },
    /// The provisioned part of the seal, by a signer that has a list: nobody could bring the list
    /// before the seal opens.
    #[error("the seal's provisioned part, {key}, names signer {signer}, whose keys are listed")]
    ListedSealPart {
        /// The key.
        key: KeyNameBuf,
        /// The signer.
        signer: String,
    },
    /// A list that would count for no time at all.
    #[error("signer {signer} has a list-max-age of zero: no list would ever count")]
    NeverListed {
        /// The signer.
        signer: String,
    },
    /// A list in the place of another one, or of a key.
    #[error("signer {signer} has its list where {by} comes from")]
    ListElsewhere {
        /// The signer.
        signer: String,
        /// "key NAME" or "signer NAME".
        by: String,
    },
    /// A gate that no evidence opens.
    #[error("gate {gate} names no TEE, and no evidence would open it")]
    NoTee {
        /// The gate.
        gate: String,
    },
    /// A TEE that there is not.
    #[error("gate {gate} names {tee:?}, which is no TEE")]
    UnknownTee {
        /// The gate.
        gate: String,
        /// What it names.
        tee: String,
    },
    /// Simulated evidence that is asked for and not accepted.
    #[error("gate {gate} names a simulated TEE, whose evidence proves nothing")]
    SimulatedTee {
        /// The gate.
        gate: String,
    },
    /// A key or a gate whose service the agent reads, where that is not to be.
    #[error(transparent)]
    PlaintextCourier(#[from] PlaintextFault),
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
        // Above the work that is done for each part.
        let everywhere = || "the policy".into();
        let (rules, keys) = (self.rules.len(), self.keys.len());
        at_most(limits::RULES, "rules", rules, everywhere)?;
        at_most(limits::KEYS, "keys", keys, everywhere)?;
        at_most(limits::GATES, "gates", self.gates.len(), everywhere)?;
        for rule in &self.rules {
            let by = || format!("rule {}", rule.name);
            at_most(limits::PATTERNS, "names", rule.keys.len(), by)?;
            check_peers(&rule.peers, by)?;
        }
        check_peers(&self.admins, || "admin".into())?;
        unique(
            "service",
            self.services.iter().map(|service| service.name.as_str()),
        )?;
        unique("gate", self.gates.iter().map(|gate| gate.name.as_str()))?;
        self.check_signers()?;
        let volumes = self.keys.iter().flat_map(KeyRule::volumes);
        unique("volume", volumes)?;
        for gate in &self.gates {
            self.knows_service(&gate.service, || format!("gate {}", gate.name))?;
            gate.check_tees()?;
            if gate.max_age_ms == 0 {
                let gate = gate.name.clone();
                return Err(PolicyFault::NeverOpen { gate });
            }
        }
        let mut types = HashMap::new();
        for key in &self.keys {
            if types.insert(key.name.as_str(), key.key_type).is_some() {
                let key = key.name.clone();
                return Err(PolicyFault::DuplicateKey { key });
            }
            self.check_key(key)?;
        }
        self.keys
            .iter()
            .try_for_each(|key| check_wrapping(key, &types))?;
        self.check_plaintext()?;
        self.check_seal()
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
        let is_for_release = !rule.release_to.is_empty() || rule.measure_release;
        if is_for_release && key_type != KeyType::Secret {
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
        check_limits(rule)?;
        match &rule.source {
            Source::Kbs { services, .. } => {
                self.check_services(rule, services)?;
                for name in &rule.signer {
                    let mut pinned = self.signers.iter();
                    if !pinned.any(|signer| signer.name == *name) && !self.is_listed(name) {
                        return Err(unknown(by(), "signer", name));
                    }
                }
                if rule.signer.is_empty() && rule.unsigned == Unsigned::Refuse {
                    return Err(PolicyFault::NoSigner { key: key() });
                }
                if rule.key_type == KeyType::Aes256Kwp && rule.unsigned == Unsigned::Accept {
                    return Err(PolicyFault::UnsignedWrappingKey { key: key() });
                }
            }
            Source::Generate | Source::Local => {
                let stated = [
                    ("lease", rule.lease_secs.is_some()),
                    ("prefetch", rule.prefetch),
                    ("a signer", !rule.signer.is_empty()),
                    ("a tenant", rule.tenant.is_some()),
                    ("unsigned", rule.unsigned == Unsigned::Accept),
                    ("plaintext-courier", rule.plaintext_courier),
                ];
                if let Some((field, _)) = stated.into_iter().find(|(_, stated)| *stated) {
                    return Err(PolicyFault::NotProvisioned { key: key(), field });
                }
            }
        }
        Ok(())
    }
}

/// What limits the uses, and when a new version follows.
fn check_limits(rule: &KeyRule) -> Result<(), PolicyFault> {
    let key = || rule.name.clone();
    let by = || format!("key {}", rule.name);
    at_most(limits::RECIPIENTS, "recipients", rule.release_to.len(), by)?;
    at_most(limits::SIGNERS, "signers", rule.signer.len(), by)?;
    let zero = [
        ("max-uses", rule.max_uses == Some(0)),
        ("rate", rule.rate.is_some_and(Rate::is_zero)),
        ("min-version", rule.min_version == Some(0)),
        ("rotate-after", rule.rotate_after_secs == Some(0)),
        ("rotate-after-uses", rule.rotate_after_uses == Some(0)),
    ];
    if let Some((field, _)) = zero.into_iter().find(|(_, is_zero)| *is_zero) {
        return Err(PolicyFault::Zero { key: key(), field });
    }
    let rotates = [
        ("rotate-after", rule.rotate_after_secs.is_some()),
        ("rotate-after-uses", rule.rotate_after_uses.is_some()),
    ];
    let Some((field, _)) = rotates.into_iter().find(|(_, stated)| *stated) else {
        return Ok(());
    };
    if matches!(rule.source, Source::Kbs { .. }) {
        return Err(PolicyFault::RotatedElsewhere { key: key(), field });
    }
    if rule.key_type == KeyType::Secret {
        let key_type = rule.key_type;
        return Err(PolicyFault::NotRotated {
            key: key(),
            key_type,
        });
    }
    Ok(())
}

/// Whether what `rule` may leave under wraps at all, as far as the policy speaks of it.
fn check_wrapping(rule: &KeyRule, types: &HashMap<&str, KeyType>) -> Result<(), PolicyFault> {
    let key = || rule.name.clone();
    let by = || format!("key {}", rule.name);
    let wrapping = &rule.wrappable_by;
    at_most(limits::WRAPPING_KEYS, "wrapping keys", wrapping.len(), by)?;
    for by in wrapping {
        if *by == rule.name {
            return Err(PolicyFault::WrapsItself { key: key() });
        }
        if let Some(key_type) = types.get(by.as_str()).copied()
            && !key_type.operations().contains(Operation::Wrap)
        {
            let (key, by) = (key(), by.clone());
            return Err(PolicyFault::NotAWrappingKey { key, by, key_type });
        }
    }
    Ok(())
}

pub(super) fn at_most(
    max: usize,
    what: &'static str,
    len: usize,
    by: impl Fn() -> String,
) -> Result<(), PolicyFault> {
    if len <= max {
        return Ok(());
    }
    let by = by();
    Err(PolicyFault::TooMany { by, what, len, max })
}

fn check_peers(peers: &[PeerMatch], by: impl Fn() -> String) -> Result<(), PolicyFault> {
    at_most(limits::PEERS, "peers", peers.len(), &by)?;
    for peer in peers {
        if !peer.states_anything() {
            return Err(PolicyFault::AnyPeer { by: by() });
        }
        if peer.is_only_a_hint() {
            return Err(PolicyFault::OnlyAHint { by: by() });
        }
        if let Some(prefix) = &peer.cgroup_prefix
            && !prefix.starts_with('/')
        {
            return Err(PolicyFault::RelativeCgroup { by: by() });
        }
    }
    Ok(())
}

pub(super) fn unknown(by: String, kind: &'static str, name: &str) -> PolicyFault {
    let name = name.into();
    PolicyFault::Unknown { by, kind, name }
}

#[expect(
    single_use_lifetimes,
    reason = "an elided lifetime in impl Trait is unstable"
)]
pub(super) fn unique<'a>(
    kind: &'static str,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), PolicyFault> {
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
mod tests;
