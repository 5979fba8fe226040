//! For how long what a service brought stays, and when it is asked for again.

use super::Keys;
use super::key::{Body, Version};
use super::terms::Voucher;
use crate::Now;
use crate::access::Wanted;
use crate::policy::{ActivePolicy, KeyRule, Source};
use nitride_protocol::{KeyState, Origin};

/// For how long a version stays: the shortest of what travels with it, what its rule says and what the agent
/// said when it last came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease(Option<u64>);

/// A lease that may be renewed: half of it has passed, and somebody wants the key to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Renewable {
    /// The whole of it.
    pub(crate) lease_ms: u64,
    /// What is left of it.
    pub(crate) left_ms: u64,
}

impl Keys {
    /// Whether a round is to bring the key: it is missing, or its lease may be renewed.
    pub(crate) fn is_to_be_fetched(&self, policy: &ActivePolicy, rule: &KeyRule, now: Now) -> bool {
        self.is_missing(policy, rule, now) || self.renewable(policy, rule, now).is_some()
    }

    /// The lease of the key that `rule` speaks of, if it may be renewed: the newest version is here
    /// and in force, half of its lease has passed, and it was used since the lease began or is one
    /// that is to be there before anybody asks. What nobody uses ends with its lease.
    pub(crate) fn renewable(
        &self,
        policy: &ActivePolicy,
        rule: &KeyRule,
        now: Now,
    ) -> Option<Renewable> {
        let Source::Kbs { path, .. } = &rule.source else {
            return None;
        };
        let key = self.find(rule.name.as_str()).ok()??;
        let body = key.read().ok()?;
        let newest = body.version(Wanted::Newest).ok()?;
        let is_in_force = body.origin == Origin::Provisioned
            && body.state == KeyState::Enabled
            && newest.state == KeyState::Enabled
            && body.key_type == rule.key_type
            && body.is_resource(path)
            && body.is_up_to_date(policy, rule, now);
        let lease = Lease::of(&body, newest, Some(rule));
        let lease_ms = lease.0?.saturating_mul(1000);
        let left_ms = lease.left_ms(newest, now)?;
        let is_wanted = rule.prefetch || newest.is_used();
        (is_in_force && is_wanted && left_ms <= lease_ms / 2)
            .then_some(Renewable { lease_ms, left_ms })
    }
}

impl Lease {
    pub(crate) fn of(body: &Body, version: &Version, rule: Option<&KeyRule>) -> Self {
        let own = body.layers(version).filter_map(|layer| layer.lease_secs);
        // A key that nobody could fetch again has no lease of its rule's: the policy takes none
        // for it. One that was made out of a leased key has that one's.
        let stated = rule
            .filter(|_| version.voucher != Voucher::Vault)
            .and_then(|rule| rule.lease_secs);
        // The agent's word is one delivery's, and the next one has its own.
        let told = version.told_lease_secs;
        Self(own.chain(stated).chain(told).min())
    }

    /// Whether there is none.
    pub(super) fn is_endless(self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn has_run_out(self, version: &Version, now: Now) -> bool {
        self.left_ms(version, now) == Some(0)
    }

    /// Milliseconds that are left; `None` is for ever.
    pub(crate) fn left_ms(self, version: &Version, now: Now) -> Option<u64> {
        let lease_ms = self.0?.saturating_mul(1000);
        let end_boot_ms = version.since_boot_ms().saturating_add(lease_ms);
        Some(end_boot_ms.saturating_sub(now.boot_ms))
    }
}
