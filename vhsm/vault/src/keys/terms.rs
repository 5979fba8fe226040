use super::key::Version;
use crate::permissions::uses_of;
use crate::policy::{ActivePolicy, KeyRule, Rate, ReleaseTo, Source, Unsigned};
use crate::{Now, Refusal};
use nitride_kbs::disk::DiskExpectation;
use nitride_protocol::{KeyNameBuf, KeyType, Operation, OperationSet};

/// What travels with a key or with one version of it: from its request, its envelope, its parent
/// or an administrator. The key rule narrows it further.
///
/// A version's own is its own: whoever signed the first one for one recipient has not thereby
/// signed it for the next one's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnPolicy {
    /// Uses alone; the rest is for rules to say.
    pub(crate) operations: OperationSet,
    /// `None`: nothing travels with the key, and its rule alone names recipients.
    pub(crate) release_to: Option<Vec<ReleaseTo>>,
    /// The volumes that it is for, where it is released to one; `None`: whatever the disk has.
    pub(crate) disks: Option<Vec<DiskExpectation>>,
    pub(crate) lease_secs: Option<u64>,
    /// Wall clock in seconds.
    pub(crate) not_before: Option<u64>,
    /// Wall clock in seconds.
    pub(crate) not_after: Option<u64>,
    /// Over all versions and restarts.
    pub(crate) max_uses: Option<u64>,
    pub(crate) rate: Option<Rate>,
    /// Every one of them has to be approved.
    pub(crate) gates: Vec<String>,
    /// `None`: nothing is said.
    pub(crate) wrappable_by: Option<Vec<KeyNameBuf>>,
    /// Versions below are not used.
    pub(crate) min_version: Option<u32>,
}

/// Who answers for a version: that its material is this key's. Asked at each use, so that a signer
/// who is no longer named takes with it what it signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Voucher {
    /// This vault: it was made or imported here.
    Vault,
    /// The owner who signed its envelope.
    Owner(Box<Owner>),
    /// The service of this name and the courier, who brought it without an envelope.
    Service(String),
}

/// Who signed an envelope, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The key that verified the envelope.
    pub(crate) point: [u8; 65],
    /// What the envelope says.
    pub(crate) tenant: Option<String>,
}

impl OwnPolicy {
    /// Allows `operations` and says nothing else.
    pub(crate) fn of(operations: OperationSet) -> Self {
        Self {
            operations,
            release_to: None,
            disks: None,
            lease_secs: None,
            not_before: None,
            not_after: None,
            max_uses: None,
            rate: None,
            gates: Vec::new(),
            wrappable_by: None,
            min_version: None,
        }
    }

    /// What a key rule says, in the same words.
    pub(crate) fn of_rule(rule: &KeyRule) -> Self {
        Self {
            operations: rule.operations.with_implied(),
            release_to: Some(rule.release_to.clone()),
            disks: None,
            lease_secs: rule.lease_secs,
            not_before: rule.not_before,
            not_after: rule.not_after,
            max_uses: rule.max_uses,
            rate: rule.rate,
            gates: rule.gate.iter().cloned().collect(),
            wrappable_by: Some(rule.wrappable_by.clone()),
            min_version: rule.min_version,
        }
    }

    /// What both allow.
    pub(crate) fn narrowed_by(&self, other: &Self) -> Self {
        let mut gates = self.gates.clone();
        gates.extend(other.gates.iter().cloned());
        gates.sort_unstable();
        gates.dedup();
        Self {
            operations: self.operations.intersection(other.operations),
            release_to: in_both(self.release_to.as_deref(), other.release_to.as_deref()),
            disks: in_both(self.disks.as_deref(), other.disks.as_deref()),
            lease_secs: least(self.lease_secs, other.lease_secs),
            not_before: self.not_before.max(other.not_before),
            not_after: least(self.not_after, other.not_after),
            max_uses: least(self.max_uses, other.max_uses),
            rate: slower(self.rate, other.rate),
            gates,
            wrappable_by: in_both(self.wrappable_by.as_deref(), other.wrappable_by.as_deref()),
            min_version: self.min_version.max(other.min_version),
        }
    }

    /// Whether `other` allows nothing that this does not.
    pub(crate) fn is_no_narrower_than(&self, other: &Self) -> bool {
        let both = self.narrowed_by(other);
        let same_lists = |one: &Self, two: &Self| {
            is_subset(one.release_to.as_deref(), two.release_to.as_deref())
                && is_subset(one.disks.as_deref(), two.disks.as_deref())
                && is_subset(one.wrappable_by.as_deref(), two.wrappable_by.as_deref())
        };
        // Lists may come in another order; everything else has to be what `other` says already.
        both.operations == other.operations
            && both.lease_secs == other.lease_secs
            && both.not_before == other.not_before
            && both.not_after == other.not_after
            && both.max_uses == other.max_uses
            && both.rate == other.rate
            && both.min_version == other.min_version
            && both.gates.iter().all(|gate| other.gates.contains(gate))
            && same_lists(other, self)
    }

    /// What a key of `key_type` may do that is made out of another one: what is asked for it, and
    /// nothing wider than what its parent may, all of which `parent` says. What a key of the
    /// parent's type could do and this one may not, the child may not either.
    ///
    /// # Errors
    /// [`Refusal::WrongKeyType`] where its type cannot do what is asked.
    pub(crate) fn child_of(
        parent: &Self,
        parent_type: KeyType,
        asked: Option<OperationSet>,
        key_type: KeyType,
    ) -> Result<Self, Refusal> {
        let could = parent_type.operations();
        let may = |operation: &Operation| {
            parent.operations.contains(*operation) || !could.contains(*operation)
        };
        Ok(Self {
            operations: uses_asked(key_type, asked)?.iter().filter(may).collect(),
            // Nobody named is nobody, for what is made out of another key.
            release_to: Some(parent.release_to.clone().unwrap_or_default()),
            wrappable_by: Some(parent.wrappable_by.clone().unwrap_or_default()),
            // Numbers of the parent's versions say nothing of the child's.
            min_version: None,
            ..parent.clone()
        })
    }
}

/// The uses among what is asked for a key; `None` is all that its type can.
pub(super) fn uses_asked(
    key_type: KeyType,
    asked: Option<OperationSet>,
) -> Result<OperationSet, Refusal> {
    let of_type = key_type.operations();
    let asked = asked.unwrap_or(of_type);
    match asked.iter().find(|operation| !of_type.contains(*operation)) {
        Some(operation) => Err(Refusal::WrongKeyType {
            key_type,
            operation,
        }),
        None => Ok(asked.with_implied().intersection(uses_of(key_type))),
    }
}

/// The slower of two rates in both respects, so that it keeps within each of them.
pub(super) fn slower(one: Option<Rate>, other: Option<Rate>) -> Option<Rate> {
    match (one, other) {
        (Some(one), Some(other)) => Some(Rate {
            uses: one.uses.min(other.uses),
            per_secs: one.per_secs.max(other.per_secs),
        }),
        (one, other) => one.or(other),
    }
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

fn in_both<T: Clone + PartialEq>(one: Option<&[T]>, other: Option<&[T]>) -> Option<Vec<T>> {
    match (one, other) {
        (Some(one), Some(other)) => {
            let in_both = one.iter().filter(|entry| other.contains(entry));
            Some(in_both.cloned().collect())
        }
        (one, other) => one.or(other).map(<[T]>::to_vec),
    }
}

fn is_subset<T: PartialEq>(of: Option<&[T]>, whole: Option<&[T]>) -> bool {
    match (of, whole) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(of), Some(whole)) => of.iter().all(|entry| whole.contains(entry)),
    }
}

impl Voucher {
    /// Whether `rule` takes its word, by the signers that `policy` pins, and that their lists name,
    /// now. Without a moment no list counts.
    pub(crate) fn counts(&self, policy: &ActivePolicy, rule: &KeyRule, now: Option<Now>) -> bool {
        self.is_one_of(rule, |point| {
            let mut believed = policy.believed(rule, now);
            believed.any(|key| key.point == point)
        })
    }

    /// Whether `rule` takes its word at some time, whatever any clock says: then a lower version
    /// than the one that it vouches for is a roll-back, and the host, whose wall clock it is, cannot
    /// have that forgotten.
    pub(crate) fn is_named(&self, policy: &ActivePolicy, rule: &KeyRule) -> bool {
        self.is_one_of(rule, |point| policy.names(rule, point))
    }

    fn is_one_of(&self, rule: &KeyRule, is_signer: impl FnOnce(&[u8; 65]) -> bool) -> bool {
        match self {
            Self::Vault => true,
            Self::Owner(owner) => owner.tenant == rule.tenant && is_signer(&owner.point),
            Self::Service(name) => {
                rule.unsigned == Unsigned::Accept
                    && matches!(&rule.source, Source::Kbs { services, .. } if services.contains(name))
            }
        }
    }
}

impl Version {
    /// Whether `rule` takes it now: it believes who answers for it, and takes what the agent has read
    /// where that is so.
    pub(crate) fn counts(&self, policy: &ActivePolicy, rule: &KeyRule, now: Option<Now>) -> bool {
        (rule.plaintext_courier || !self.was_in_clear) && self.voucher.counts(policy, rule, now)
    }

    /// Whether `rule` would take it at some time.
    pub(super) fn is_named(&self, policy: &ActivePolicy, rule: &KeyRule) -> bool {
        (rule.plaintext_courier || !self.was_in_clear) && self.voucher.is_named(policy, rule)
    }
}

#[cfg(test)]
#[path = "terms_tests.rs"]
mod tests;
