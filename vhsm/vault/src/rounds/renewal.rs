//! Leases are asked for again before they end.
//!
//! ```text
//! lease begins          half              three quarters               end
//! ├──────────────────────┼──────────X───────────┼───────────────────────┤
//!                         renewed at a moment     tried again until here; then zeroed,
//!                         that is drawn           whoever uses it
//! ```
//!
//! The moment is drawn for the vault and not for a key: all that is past its half is asked for in
//! one round, and machines that booted together do not come back together. A renewal that is refused
//! changes nothing: the courier could forge the refusal. It is the end of the lease that counts, on
//! the boot clock.

use super::table::Asked;
use crate::keys::Renewable;
use crate::policy::Source;
use crate::signers::room_beside_lists;
use crate::{Draw, Now, Vault, Want};
use nitride_protocol::agent::RoundCause;

/// Where between half and three quarters of their time leases are renewed, from 0 to 255; drawn
/// again for each time.
#[derive(Debug, Default)]
pub(super) struct Spread(Option<u8>);

impl Spread {
    fn of_this_time(&mut self, draw: &mut dyn Draw) -> u8 {
        *self.0.get_or_insert_with(|| {
            let mut drawn = [0];
            draw.fill(&mut drawn);
            let [drawn] = drawn;
            drawn
        })
    }
}

impl Renewable {
    /// Whether the moment has come.
    fn is_due(self, spread: u8) -> bool {
        let half_ms = self.lease_ms / 2;
        let later_ms = (self.lease_ms / 4 / 255).saturating_mul(spread.into());
        self.left_ms <= half_ms.saturating_sub(later_ms)
    }
}

impl Vault {
    /// Begins rounds that renew leases, if it is time for one: for that key and for every other that
    /// is past half of its lease. To be called every second or so, while the agent is connected.
    pub fn renew_leases(&self, now: Now, draw: &mut dyn Draw) {
        let policy = self.policy();
        let leased = policy.key_rules().iter().filter_map(|(name, rule)| {
            let Source::Kbs { services, .. } = &rule.source else {
                return None;
            };
            let renewable = self.keys.renewable(&policy, rule, now)?;
            Some((name, services, renewable))
        });
        let leased: Vec<_> = leased.collect();
        let room = room_beside_lists(policy.set());
        let mut rounds = self.rounds.lock();
        let spread = rounds.spread.of_this_time(draw);
        if !leased.iter().any(|(_, _, lease)| lease.is_due(spread)) {
            return;
        }
        let mut has_begun = false;
        for (name, services, _) in leased {
            let name = name.clone();
            let asked = Asked {
                services: services.clone(),
                cause: RoundCause::Renewal,
                room,
            };
            // What waits for its back-off is tried again later, until the lease ends.
            has_begun |= rounds.want(&Want::Key { name }, asked, now, draw).is_ok();
        }
        if has_begun {
            rounds.spread = Spread::default();
        }
    }

    /// What is to be here beforehand and is not, and which leases are not renewed: why, and when it
    /// is tried again. At most `room` of them.
    pub(crate) fn fetching_warnings(&self, room: usize, now: Now) -> Vec<String> {
        let policy = self.policy();
        let rules = policy.key_rules().iter();
        let provisioned = rules.filter(|(_, rule)| matches!(rule.source, Source::Kbs { .. }));
        let warnings = provisioned.filter_map(|(name, rule)| {
            // Not under the lock of the rounds, which those who wait for them want.
            let is_missing = rule.prefetch && self.keys.is_missing(&policy, rule, now);
            let lease = match is_missing {
                true => None,
                false => Some(self.keys.renewable(&policy, rule, now)?),
            };
            let name = name.clone();
            let want = Want::Key { name: name.clone() };
            let rounds = self.rounds.lock();
            let secs_until = |boot_ms: u64| boot_ms.saturating_sub(now.boot_ms).div_ceil(1000);
            match (lease, rounds.last_failure(&want)) {
                (None, None) => Some(format!(
                    "key {name} is to be fetched beforehand and is not here yet"
                )),
                (None, Some((until_boot_ms, why))) => Some(format!(
                    "key {name} is to be fetched beforehand and is not here: {why}; next try in {} s",
                    secs_until(until_boot_ms)
                )),
                (Some(lease), Some((until_boot_ms, why))) => Some(format!(
                    "the lease of key {name} is not renewed and ends in {} s: {why}; next try in {} s",
                    lease.left_ms.div_ceil(1000),
                    secs_until(until_boot_ms)
                )),
                (Some(_), None) => None,
            }
        });
        warnings.take(room).collect()
    }
}
