//! The provisioned part of a sealing key: read where it lies, without anybody's request.

use super::SealFault;
use crate::Vault;
use crate::access::Wanted;
use crate::keys::{Body, OwnPolicy, Version};
use crate::policy::{ActivePolicy, KeyRule, Source};
use nitride_protocol::{KeyNameBuf, KeyState, Origin};

impl Vault {
    /// Lets `act` see the newest version of the key `name`, in the arena, if that may be a part.
    ///
    /// No request stands behind this use that gates or counters could judge, so a key that is bound
    /// to more than its state is none.
    pub(super) fn with_part<R>(
        &self,
        name: &KeyNameBuf,
        act: impl FnOnce(&[u8]) -> Result<R, SealFault>,
    ) -> Result<R, SealFault> {
        let policy = self.policy();
        self.with_part_key(&policy, name, |body, part| {
            act(part.material(body, body.version(Wanted::Newest)?)?)
        })
    }

    /// The same with each version that may be a part, the newest first. To open with alone: a
    /// version that its signer has taken back by `min_version` is none of them.
    pub(super) fn with_each_part<R>(
        &self,
        name: &KeyNameBuf,
        mut act: impl FnMut(&[u8]) -> Result<R, SealFault>,
    ) -> Result<Vec<R>, SealFault> {
        let policy = self.policy();
        self.with_part_key(&policy, name, |body, part| {
            let newest = part.material(body, body.version(Wanted::Newest)?);
            let versions = body.versions.iter().rev();
            let fit = versions.filter_map(|version| part.material(body, version).ok());
            let all: Vec<R> = fit.map(&mut act).collect::<Result<_, _>>()?;
            match newest {
                // It will be here, and may be the one.
                Err(fault @ SealFault::WaitsFor(_)) => Err(fault),
                Err(fault) if all.is_empty() => Err(fault),
                _ => Ok(all),
            }
        })
    }

    fn with_part_key<R>(
        &self,
        policy: &ActivePolicy,
        name: &KeyNameBuf,
        act: impl FnOnce(&Body, &PartKey<'_>) -> Result<R, SealFault>,
    ) -> Result<R, SealFault> {
        let rule = policy.key_rule(name.as_str());
        let rule = rule.ok_or_else(|| SealFault::UnfitPart { key: name.clone() })?;
        let part = PartKey { policy, rule, name };
        let Source::Kbs { path, .. } = &rule.source else {
            return Err(part.is_unfit());
        };
        let key = self.keys.find(name.as_str())?;
        let key = key.ok_or_else(|| part.is_waited_for())?;
        let body = key.read()?;
        if body.origin != Origin::Provisioned || body.state != KeyState::Enabled {
            return Err(part.is_unfit());
        }
        // What a round would put in its place is not what is meant.
        if body.key_type != rule.key_type || !body.is_resource(path) {
            return Err(part.is_waited_for());
        }
        act(&body, &part)
    }
}

/// The key that is the part, as the policy has it.
struct PartKey<'p> {
    policy: &'p ActivePolicy,
    rule: &'p KeyRule,
    name: &'p KeyNameBuf,
}

impl PartKey<'_> {
    fn is_waited_for(&self) -> SealFault {
        SealFault::WaitsFor(self.name.clone())
    }

    fn is_unfit(&self) -> SealFault {
        let key = self.name.clone();
        SealFault::UnfitPart { key }
    }

    /// What a version is, if it may be a part.
    fn material<'b>(&self, body: &'b Body, version: &'b Version) -> Result<&'b [u8], SealFault> {
        if !version.counts(self.policy, self.rule, None) {
            return Err(self.is_waited_for());
        }
        let said = body.effective(version);
        let said = said.narrowed_by(&OwnPolicy::of_rule(self.rule));
        let is_free = said.gates.is_empty()
            && said.max_uses.is_none()
            && said.not_before.is_none()
            && said.not_after.is_none()
            && said
                .min_version
                .is_none_or(|lowest| version.number >= lowest);
        if !is_free || version.state != KeyState::Enabled {
            return Err(self.is_unfit());
        }
        let material = version.material();
        let material = material.ok_or_else(|| self.is_waited_for())?;
        Ok(material.record().expose())
    }
}
