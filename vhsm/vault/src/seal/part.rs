//! The provisioned part of a sealing key: read where it lies, without anybody's request.

use super::SealFault;
use crate::Vault;
use crate::access::Wanted;
use crate::keys::OwnPolicy;
use crate::policy::Source;
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
        let waits = || SealFault::WaitsFor(name.clone());
        let unfit = || SealFault::UnfitPart { key: name.clone() };
        let policy = self.policy();
        let rule = policy.key_rule(name.as_str()).ok_or_else(unfit)?;
        let Source::Kbs { path, .. } = &rule.source else {
            return Err(unfit());
        };
        let key = self.keys.find(name.as_str())?.ok_or_else(waits)?;
        let body = key.read()?;
        if body.origin != Origin::Provisioned || body.state != KeyState::Enabled {
            return Err(unfit());
        }
        // What a round would put in its place is not what is meant.
        if body.key_type != rule.key_type || !body.is_resource(path) {
            return Err(waits());
        }
        let version = body.version(Wanted::Newest)?;
        if !version.voucher.counts(&policy, rule) {
            return Err(waits());
        }
        let said = body
            .effective(version)
            .narrowed_by(&OwnPolicy::of_rule(rule));
        let is_free = said.gates.is_empty()
            && said.max_uses.is_none()
            && said.not_before.is_none()
            && said.not_after.is_none()
            && said
                .min_version
                .is_none_or(|lowest| version.number >= lowest);
        if !is_free || version.state != KeyState::Enabled {
            return Err(unfit());
        }
        let material = version.material().ok_or_else(waits)?;
        act(material.record().expose())
    }
}
