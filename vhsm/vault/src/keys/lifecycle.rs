//! What changes a key that is there. Each change is one commit in the key's records; uses that are
//! under way end first.

use super::key::{Body, Key, Version};
use super::record::{self, NewVersion, VersionFields};
use super::terms::uses_asked;
use super::{Keys, Material, Noted, OwnPolicy, Voucher};
use crate::permissions::state_allows;
use crate::policy::{ActivePolicy, KeyRule, Rate};
use crate::{Draw, Now, Refusal};
use nitride_protocol::limits::MAX_VERSIONS_LEN;
use nitride_protocol::{KeyPolicy, KeyState, KeyType, Operation, Origin};
use nitride_secmem::SecretBuf;
use std::hash::Hash;

impl Keys {
    /// Enables or disables a key, or one of its versions.
    pub(crate) fn set_state(
        &self,
        (key, rule, noted): (&Key, Option<&KeyRule>, &Noted),
        version: Option<u32>,
        state: KeyState,
    ) -> Result<(), Refusal> {
        let operation = match state {
            KeyState::Enabled => Operation::Enable,
            _ => Operation::Disable,
        };
        let mut body = key.write()?;
        body.may_change(operation, version)?;
        let is_sealed = self.seal.concerns(&body, rule);
        self.seal.may_change(is_sealed)?;
        body.set_state(version, state);
        self.seal.note_by(noted, is_sealed);
        Ok(())
    }

    /// Zeroes a key, or one of its versions, for good.
    pub(crate) fn destroy(
        &self,
        (key, rule, noted): (&Key, Option<&KeyRule>, &Noted),
        version: Option<u32>,
    ) -> Result<(), Refusal> {
        let ended = {
            let mut body = key.write()?;
            body.may_change(Operation::Destroy, version)?;
            let is_sealed = self.seal.concerns(&body, rule);
            self.seal.may_promise(is_sealed)?;
            body.destroy(version);
            self.seal.note_by(noted, is_sealed);
            body.state == KeyState::Destroyed && body.origin != Origin::Provisioned
        };
        if ended {
            self.count_ended()?;
        }
        Ok(())
    }

    /// Makes a version more, which protects from now on; gives its number.
    pub(crate) fn rotate(
        &self,
        (key, rule, noted): (&Key, Option<&KeyRule>, &Noted),
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<u32, Refusal> {
        let key_type = key.read()?.may_rotate()?;
        let material = Material::draw(key_type, draw)?;
        let mut body = key.write()?;
        body.may_rotate()?;
        let is_sealed = self.seal.concerns(&body, rule);
        self.seal.may_change(is_sealed)?;
        let number = body.add_version(&material, now, draw)?;
        self.seal.note_by(noted, is_sealed);
        Ok(number)
    }

    /// Rotates the key if its rule says that it is time. That it cannot be is no reason to refuse
    /// a use of what is there; the status says so.
    pub(crate) fn rotate_if_due(
        &self,
        (key, rule, noted): (&Key, &KeyRule, &Noted),
        now: Now,
        draw: &mut dyn Draw,
    ) {
        if rule.rotates() {
            let _ = self.rotate_due_key((key, rule, noted), now, draw);
        }
    }

    fn rotate_due_key(
        &self,
        (key, rule, noted): (&Key, &KeyRule, &Noted),
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<(), Refusal> {
        let key_type = {
            let body = key.read()?;
            // While the seal is closed, the one that is there has to do.
            let may_change = self
                .seal
                .may_change(self.seal.concerns(&body, Some(rule)))
                .is_ok();
            if !body.is_due(rule, now) || !body.has_room() || !may_change {
                return Ok(());
            }
            body.may_rotate()?
        };
        let material = Material::draw(key_type, draw)?;
        let mut body = key.write()?;
        // Asked again under the lock: another thread may have done it.
        if body.is_due(rule, now) {
            body.may_rotate()?;
            let is_sealed = self.seal.concerns(&body, Some(rule));
            body.add_version(&material, now, draw)?;
            self.seal.note_by(noted, is_sealed);
        }
        Ok(())
    }

    /// Rotates every key whose rule says that it is time, also those that nobody uses.
    pub(crate) fn rotate_due(
        &self,
        policy: &ActivePolicy,
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<(), Refusal> {
        let mut result = Ok(());
        for (name, rule) in policy.key_rules() {
            if rule.rotates()
                && let Some(key) = self.find(name.as_str())?
            {
                result =
                    result.and(self.rotate_due_key((&key, rule, &Noted::default()), now, draw));
            }
        }
        result
    }

    /// Changes what travels with a key, as an administrator says: within its type, or, where
    /// somebody else vouches for the key or it was made out of another one, within what it says
    /// already.
    pub(crate) fn set_policy(
        &self,
        (key, rule, noted): (&Key, Option<&KeyRule>, &Noted),
        asked: &KeyPolicy<'_>,
    ) -> Result<(), Refusal> {
        let mut body = key.write()?;
        if body.state == KeyState::Destroyed {
            return Err(Refusal::KeyDestroyed);
        }
        let mut terms = changed(&body, &body.terms, asked)?;
        if !matches!(body.origin, Origin::Generated | Origin::Imported) {
            let newest = body.versions.last().ok_or(Refusal::VersionNotFound)?;
            let said = body.effective(newest);
            if !said.is_no_narrower_than(&changed(&body, &said, asked)?) {
                return Err(Refusal::WouldWiden);
            }
            terms = body.terms.narrowed_by(&terms);
        }
        let is_sealed = self.seal.concerns(&body, rule);
        self.seal.may_change(is_sealed)?;
        if asked.max_uses.is_some() {
            self.seal.may_promise(is_sealed)?;
        }
        let mut fields = body.fields(key.name());
        fields.terms = terms;
        body.rewrite(fields)?;
        self.seal.note_by(noted, is_sealed);
        Ok(())
    }

    /// Whether one more use may happen, by `whose`, now; counts it where it is one. Asked last,
    /// when everything else allows the use.
    pub(crate) fn admit(
        &self,
        (body, version): (&Body, &Version),
        operation: Operation,
        (rule, noted): (Option<&KeyRule>, &Noted),
        whose: impl Hash,
        now: Now,
    ) -> Result<(), Refusal> {
        if !is_counted(operation) {
            return Ok(());
        }
        if let Some(rate) = body.rate(version, rule) {
            // By the identity that copies of a key share, so that none is used faster by them.
            self.buckets.take((body.id, whose), rate, now)?;
        }
        let max_uses = body.max_uses(version, rule);
        // What is not limited is not written through: its uses are for people to read.
        let is_sealed = max_uses.is_some() && self.seal.concerns(body, rule);
        self.seal.may_promise(is_sealed)?;
        body.take_use(max_uses)?;
        self.seal.note_by(noted, is_sealed);
        Ok(())
    }
}

impl KeyRule {
    /// Whether it says when.
    pub(super) fn rotates(&self) -> bool {
        self.rotate_after_secs.is_some() || self.rotate_after_uses.is_some()
    }
}

/// Whether an operation uses what is secret of a key: the public half is everybody's.
fn is_counted(operation: Operation) -> bool {
    !matches!(
        operation,
        Operation::PublicKey | Operation::Verify | Operation::Encapsulate
    )
}

/// `said` with what is asked put in its place.
fn changed(body: &Body, said: &OwnPolicy, asked: &KeyPolicy<'_>) -> Result<OwnPolicy, Refusal> {
    let mut terms = said.clone();
    if let Some(operations) = asked.operations {
        terms.operations = uses_asked(body.key_type, Some(operations))?;
    }
    if let Some(first) = asked.min_version {
        if first == 0 || first > body.newest_version() {
            return Err(Refusal::VersionNotFound);
        }
        terms.min_version = Some(first);
    }
    terms.max_uses = asked.max_uses.or(terms.max_uses);
    terms.not_before = asked.not_before.or(terms.not_before);
    terms.not_after = asked.not_after.or(terms.not_after);
    if let Some(rate) = asked.rate {
        let (uses, per_secs) = (rate.uses, rate.per_secs);
        terms.rate = Some(Rate { uses, per_secs });
    }
    if let Some(keys) = &asked.wrappable_by {
        terms.wrappable_by = Some(keys.iter().map(|key| (*key).to_owned()).collect());
    }
    Ok(terms)
}

impl Body {
    fn may_change(&self, operation: Operation, version: Option<u32>) -> Result<(), Refusal> {
        state_allows(operation, self.state)?;
        let Some(number) = version else { return Ok(()) };
        let mut versions = self.versions.iter();
        let version = versions
            .find(|version| version.number == number)
            .ok_or(Refusal::VersionNotFound)?;
        state_allows(operation, version.state)
    }

    /// Whether a version more may be made here; gives the type.
    fn may_rotate(&self) -> Result<KeyType, Refusal> {
        match self.state {
            KeyState::Enabled => {}
            KeyState::Disabled => return Err(Refusal::KeyDisabled),
            KeyState::Destroyed => return Err(Refusal::KeyDestroyed),
            KeyState::Pending => return Err(Refusal::KeyNotFound),
        }
        match self.origin {
            Origin::Generated if self.has_room() => Ok(self.key_type),
            Origin::Generated => Err(Refusal::TooManyVersions),
            _ => Err(Refusal::NotGeneratedHere),
        }
    }

    /// Whether a version more has a place, or can take that of one that is destroyed.
    fn has_room(&self) -> bool {
        let is_gone = |version: &Version| version.material().is_none();
        self.versions.len() < MAX_VERSIONS_LEN || self.versions.iter().any(is_gone)
    }

    /// Adds a version of what this vault has drawn; gives its number.
    fn add_version(
        &mut self,
        material: &SecretBuf,
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<u32, Refusal> {
        let newest = self.newest_version();
        let number = newest.checked_add(1).ok_or(Refusal::TooManyVersions)?;
        let place = self.make_room()?;
        let version = NewVersion {
            number,
            state: KeyState::Enabled,
            fields: VersionFields {
                own: None,
                voucher: Voucher::Vault,
                was_unsealed: false,
                was_in_clear: false,
                told_lease_secs: None,
            },
            key_type: self.key_type,
            material,
            since_boot_ms: now.boot_ms,
        };
        let version = version.write(self.family, None, draw)?;
        self.put(version, place);
        Ok(number)
    }

    /// What has no material any more cannot come back beside a newer version, and gives it its
    /// place: gives which, for [`Body::put`]. What it took from the versions before it stays taken.
    pub(super) fn make_room(&mut self) -> Result<Option<usize>, Refusal> {
        if self.versions.len() < MAX_VERSIONS_LEN {
            return Ok(None);
        }
        let mut versions = self.versions.iter();
        let gone = versions
            .position(|version| version.material().is_none())
            .ok_or(Refusal::TooManyVersions)?;
        if let Some(before) = gone.checked_sub(1).and_then(|at| self.versions.get_mut(at))
            && before.own.is_some()
        {
            before.rewrite()?;
        }
        Ok(Some(gone))
    }

    /// Adds a version that is written. Only now does the one before go whose place it takes: were
    /// that the newest, and this one not to come, its number would be free again.
    pub(super) fn put(&mut self, version: Version, place: Option<usize>) {
        self.versions.push(version);
        if let Some(gone) = place {
            record::erase(self.versions.remove(gone));
        }
    }
}
