use crate::policy::{ActivePolicy, KeyRule, ReleaseTo, Source, Unsigned};
use nitride_protocol::OperationSet;

/// What travels with a version of a key, from its request or its envelope. The key rule narrows it
/// further.
///
/// It is the version's own: whoever signed the first one for one recipient has not thereby signed
/// it for the next one's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnPolicy {
    /// Uses alone; the rest is for rules to say.
    pub(crate) operations: OperationSet,
    /// `None`: nothing travels with the key, and its rule alone names recipients.
    pub(crate) release_to: Option<Vec<ReleaseTo>>,
    pub(crate) lease_secs: Option<u64>,
    pub(crate) not_after: Option<u64>,
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
    /// What both allow.
    pub(super) fn narrowed_by(&self, other: &Self) -> Self {
        let shorter = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
        Self {
            operations: self.operations.intersection(other.operations),
            release_to: match (&self.release_to, &other.release_to) {
                (Some(here), Some(other)) => {
                    let in_both = here.iter().filter(|to| other.contains(to));
                    Some(in_both.cloned().collect())
                }
                (here, other) => here.clone().or_else(|| other.clone()),
            },
            lease_secs: shorter(self.lease_secs, other.lease_secs),
            not_after: shorter(self.not_after, other.not_after),
        }
    }
}

impl Voucher {
    /// Whether `rule` takes its word, by the signers that `policy` pins now.
    pub(crate) fn counts(&self, policy: &ActivePolicy, rule: &KeyRule) -> bool {
        match self {
            Self::Vault => true,
            Self::Owner(owner) => {
                let mut signers = rule.signer.iter().filter_map(|name| policy.signer(name));
                owner.tenant == rule.tenant && signers.any(|signer| signer.point == owner.point)
            }
            Self::Service(name) => {
                rule.unsigned == Unsigned::Accept
                    && matches!(&rule.source, Source::Kbs { service, .. } if service == name)
            }
        }
    }
}
