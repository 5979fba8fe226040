//! What the key's own policy and the key itself say to a use.

use super::{Access, Grant, MADE_IS_NOT_USED, Part, Recipient, Wanted};
use crate::keys::{Body, Lease, Version};
use crate::permissions::{state_allows, type_allows};
use crate::policy::{KeyRule, ReleaseTo, Source};
use crate::refusal::Stop;
use crate::{Now, Refusal, Vault, Want};
use nitride_kbs::disk::DiskExpectation;
use nitride_protocol::{Operation, Origin};
use std::sync::Arc;

impl Grant<'_> {
    /// What the key's own policy says without the key.
    pub(super) fn rule_allows(&self, now: Now) -> Result<(), Refusal> {
        let operation = self.operation;
        let Some(rule) = self.rule else {
            return Ok(());
        };
        match self.part {
            Part::Does => {
                type_allows(operation, rule.key_type)?;
                if !rule.operations.with_implied().contains(operation) {
                    return Err(Refusal::KeyForbids { operation });
                }
            }
            Part::IsWrapped { by } => {
                let mut named = rule.wrappable_by.iter();
                if !named.any(|key| key.as_name() == by) {
                    return Err(Refusal::NotWrappable);
                }
            }
            Part::IsMade => return Err(MADE_IS_NOT_USED),
        }
        if operation == Operation::Release {
            self.is_named_by(&rule.release_to)?;
        }
        is_valid(rule.not_before, rule.not_after, now)
    }

    /// Whether a key that is not here is not there either: while the seal is closed, nobody knows
    /// that of a key that it may have.
    pub(crate) fn may_be_absent(&self, vault: &Vault) -> Result<(), Refusal> {
        let is_sealed = self.rule.is_some_and(|rule| rule.is_sealed());
        vault.keys.seal.may_change(is_sealed)
    }

    /// Why there is no key, or what it takes to have one.
    pub(super) fn missing(&self, vault: &Vault, now: Now) -> Stop {
        if let Err(refusal) = self.may_be_absent(vault) {
            return refusal.into();
        }
        match self.rule {
            Some(rule) if matches!(rule.source, Source::Kbs { .. }) => {
                match self.gate_allows(vault, now) {
                    Ok(()) => self.want_key().into(),
                    Err(stop) => stop,
                }
            }
            _ => Refusal::KeyNotFound.into(),
        }
    }

    /// What the key itself says, and whether it is the one that the policy speaks of.
    pub(super) fn body_allows<'k>(
        &self,
        vault: &'k Vault,
        body: &'k Body,
        wanted: Wanted<'_>,
        now: Now,
    ) -> Result<Access<'k>, Stop> {
        let operation = self.operation;
        // A key that is destroyed or disabled stays so, whatever its rule says now.
        state_allows(operation, body.state)?;
        if self.is_stale(body)? {
            self.gate_allows(vault, now)?;
            return Err(self.want_key().into());
        }
        if matches!(self.part, Part::Does) {
            type_allows(operation, body.key_type)?;
        }
        let version = body.version(wanted)?;
        state_allows(operation, version.state)?;
        let is_believed = |rule: &Arc<KeyRule>| version.counts(self.policy, rule, Some(now));
        if !self.rule.is_none_or(is_believed) {
            self.gate_allows(vault, now)?;
            return Err(self.want_again(body, version, wanted, Refusal::NotVouchedFor));
        }
        let rule = self.rule.map(|rule| &**rule);
        let lowest = body.min_version(version, rule);
        if version.number < lowest {
            return Err(Refusal::BelowMinVersion { lowest }.into());
        }
        match self.part {
            Part::Does if body.own_operations(version).contains(operation) => {}
            Part::Does => return Err(Refusal::KeyForbids { operation }.into()),
            Part::IsWrapped { by } if body.wrappable_by(version, rule).contains(&by) => {}
            Part::IsWrapped { .. } => return Err(Refusal::NotWrappable.into()),
            Part::IsMade => return Err(MADE_IS_NOT_USED.into()),
        }
        if operation == Operation::Release {
            // Without a key rule nobody is named: what was only generated or imported stays.
            if self.rule.is_none() {
                return Err(Refusal::NotReleasedToPeer.into());
            }
            for layer in body.layers(version) {
                if let Some(release_to) = &layer.release_to {
                    self.is_named_by(release_to)?;
                }
                if let Some(disks) = &layer.disks {
                    self.is_on_one_of(disks)?;
                }
            }
        }
        for layer in body.layers(version) {
            is_valid(layer.not_before, layer.not_after, now)?;
        }
        self.gate_allows(vault, now)?;
        for gate in body.layers(version).flat_map(|layer| &layer.gates) {
            self.own_gate_allows(vault, gate, now)?;
        }
        let lapsed = Lease::of(body, version, rule).has_run_out(version, now);
        match version.material() {
            Some(material) if !lapsed => Ok(Access {
                body,
                version,
                material,
                cache: &vault.keys.expanded,
            }),
            _ if body.origin != Origin::Provisioned => Err(Refusal::KeyExpired.into()),
            _ => Err(self.want_again(body, version, wanted, Refusal::KeyExpired)),
        }
    }

    /// What it takes to have this version again. A service has the newest: a round would bring that
    /// and never an older one.
    pub(super) fn want_again(
        &self,
        body: &Body,
        version: &Version,
        wanted: Wanted<'_>,
        otherwise: Refusal,
    ) -> Stop {
        if wanted.is_given() && version.number < body.newest_version() {
            return otherwise.into();
        }
        self.want_key().into()
    }

    /// Whether the key rule now speaks of another resource than the one that is there.
    pub(super) fn is_stale(&self, body: &Body) -> Result<bool, Refusal> {
        match (self.rule, body.origin) {
            (None, _) if body.born_under_rule => Err(Refusal::RuleGone),
            (None, _) => Ok(false),
            (Some(rule), Origin::Provisioned) => match &rule.source {
                Source::Kbs { path, .. } => {
                    Ok(rule.key_type != body.key_type || !body.is_resource(path))
                }
                Source::Generate | Source::Local => Err(Refusal::RuleContradicts),
            },
            (Some(rule), origin) => {
                let is_from_there = match rule.source {
                    Source::Kbs { .. } => false,
                    // What was imported, unwrapped or agreed on may be known elsewhere, too.
                    Source::Generate => origin == Origin::Generated,
                    Source::Local => true,
                };
                if rule.key_type != body.key_type || !is_from_there {
                    return Err(Refusal::RuleContradicts);
                }
                Ok(false)
            }
        }
    }

    pub(super) fn gate_allows(&self, vault: &Vault, now: Now) -> Result<(), Stop> {
        let Some(name) = self.rule.and_then(|rule| rule.gate.as_ref()) else {
            return Ok(());
        };
        match self.gate {
            Some(gate) if vault.gates.approved(gate, now) => Ok(()),
            _ => Err(Want::Gate { name: name.clone() }.into()),
        }
    }

    /// A gate that travels with the key. One that the policy does not know any more opens never.
    pub(super) fn own_gate_allows(&self, vault: &Vault, name: &str, now: Now) -> Result<(), Stop> {
        match self.policy.gate_rule(name) {
            Some(gate) if vault.gates.approved(gate, now) => Ok(()),
            Some(_) => Err(Want::Gate { name: name.into() }.into()),
            None => Err(Refusal::GateGone.into()),
        }
    }

    pub(super) fn is_named_by(&self, release_to: &[ReleaseTo]) -> Result<(), Refusal> {
        let named = release_to.iter().any(|to| match self.recipient {
            Recipient::Peer(peer) => to.is_peer(peer),
            Recipient::Volume(volume, _) => to.is_volume(volume),
            Recipient::Unit(unit) => to.is_unit(unit),
        });
        named.then_some(()).ok_or(Refusal::NotReleasedToPeer)
    }

    /// Whether the volume is on one of the disks that it may be on; whoever asks for another reason
    /// has none.
    fn is_on_one_of(&self, disks: &[DiskExpectation]) -> Result<(), Refusal> {
        match self.recipient {
            Recipient::Peer(_) | Recipient::Unit(_) => Ok(()),
            Recipient::Volume(_, None) => Err(Refusal::DiskNotStated),
            Recipient::Volume(_, Some(disk)) if disks.contains(disk) => Ok(()),
            Recipient::Volume(_, Some(_)) => Err(Refusal::OtherDisk),
        }
    }

    /// Whether this is a release that its rule has measured first, and nobody has measured yet.
    pub(super) fn is_to_be_measured(&self, vault: &Vault) -> bool {
        let wants = self.rule.is_some_and(|rule| rule.measure_release);
        self.operation == Operation::Release && wants && !vault.releases.has(self.name)
    }

    pub(super) fn want_key(&self) -> Want {
        Want::Key {
            name: self.name.to_owned(),
        }
    }
}

/// Both ends count. An unknown wall clock is inside no window.
fn is_valid(not_before: Option<u64>, not_after: Option<u64>, now: Now) -> Result<(), Refusal> {
    let is_stated = not_before.is_some() || not_after.is_some();
    if is_stated && now.wall_secs == 0 || not_after.is_some_and(|last| last < now.wall_secs) {
        return Err(Refusal::KeyExpired);
    }
    if not_before.is_some_and(|first| now.wall_secs < first) {
        return Err(Refusal::NotYetValid);
    }
    Ok(())
}
