use super::record::{self, AGE_MS, Family, KeyFields, SINCE_BOOT_MS, TAKEN, USES, VersionFields};
use super::terms::slower;
use super::{Lease, Material, Nonces, OwnPolicy, Voucher};
use crate::access::Wanted;
use crate::policy::{ActivePolicy, KeyRule, Rate};
use crate::{Now, Refusal};
use nitride_kbs::resource::ResourcePath;
use nitride_protocol::{KeyName, KeyNameBuf, KeyState, KeyType, OperationSet, Origin};
use nitride_secmem::Record;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The scheme of the only origin that is a resource.
const KBS_SCHEME: &str = "kbs:///";

/// A key: its name for good, and what may change under its lock. Operations hold the lock for
/// reading, so that a `destroy` that has returned has outlived every use.
#[derive(Debug)]
pub(crate) struct Key {
    name: KeyNameBuf,
    body: RwLock<Body>,
}

/// What a key is, now. All of it follows from its records: what is read here stands there, too.
#[derive(Debug)]
pub(crate) struct Body {
    /// Stands in every ciphertext.
    pub(crate) id: [u8; 16],
    pub(crate) key_type: KeyType,
    pub(crate) origin: Origin,
    /// Where it was provisioned from.
    pub(crate) origin_uri: Option<String>,
    /// Whether a key rule spoke of it when it came; then one has to for as long as it lives.
    pub(crate) born_under_rule: bool,
    /// Enabled, disabled or destroyed.
    pub(crate) state: KeyState,
    /// Wall clock in seconds; 0 is unknown.
    pub(crate) created_secs: u64,
    /// What travels with the key: all of it, or, with a provisioned one, what an administrator
    /// has narrowed.
    pub(crate) terms: OwnPolicy,
    /// Ascending; at least one.
    pub(crate) versions: Vec<Version>,
    /// What was disabled or destroyed of the resources that it was provisioned from before.
    pub(super) former: Vec<Former>,
    pub(super) family: Family,
    /// The user whose quota it counts against.
    pub(super) maker: Option<u32>,
    pub(super) record: Record,
}

/// A version that an administrator has changed, of a resource that the key rule no longer speaks
/// of. Should it speak of it again, the version is as it was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Former {
    pub(crate) origin_uri: String,
    pub(crate) number: u32,
    /// Disabled or destroyed.
    pub(crate) state: KeyState,
}

/// One version.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) number: u32,
    /// Enabled, disabled or destroyed.
    pub(crate) state: KeyState,
    /// What its envelope says, and those of newer versions with it.
    pub(crate) own: Option<Box<OwnPolicy>>,
    pub(crate) voucher: Voucher,
    /// Whether other machines may have it, whatever its origin.
    pub(crate) was_unsealed: bool,
    /// Whether the agent has read it.
    pub(crate) was_in_clear: bool,
    /// For how long it may be kept, as the agent said when it last came.
    pub(super) told_lease_secs: Option<u64>,
    /// Uses when its lease began, as far as this process knows.
    used_before: AtomicU64,
    held: Material,
}

impl Key {
    pub(super) fn new(name: KeyNameBuf, body: Body) -> Self {
        let body = RwLock::new(body);
        Self { name, body }
    }

    pub(crate) fn name(&self) -> &KeyNameBuf {
        &self.name
    }

    /// A panic while the key was being changed leaves it locked for good: better no key than half
    /// a change.
    pub(crate) fn read(&self) -> Result<RwLockReadGuard<'_, Body>, Refusal> {
        self.body.read().map_err(|_| POISONED)
    }

    pub(super) fn write(&self) -> Result<RwLockWriteGuard<'_, Body>, Refusal> {
        self.body.write().map_err(|_| POISONED)
    }

    /// Zeroes the material of every version whose lease has run out.
    pub(crate) fn drop_lapsed(&self, rule: Option<&KeyRule>, now: Now) -> Result<(), Refusal> {
        if !self.read()?.has_lapsed(rule, now) {
            return Ok(());
        }
        // Asked again under the lock: it may have been renewed in between.
        self.write()?.drop_lapsed(rule, now);
        Ok(())
    }
}

const POISONED: Refusal = Refusal::Internal {
    what: "a thread panicked while it changed a key",
};

impl Body {
    /// What the records say of a key, and its name.
    pub(super) fn new(
        fields: KeyFields,
        state: KeyState,
        versions: Vec<Version>,
        record: Record,
    ) -> (KeyNameBuf, Self) {
        let body = Self {
            id: fields.id,
            key_type: fields.key_type,
            origin: fields.origin,
            origin_uri: fields.origin_uri,
            born_under_rule: fields.born_under_rule,
            state,
            created_secs: fields.created_secs,
            terms: fields.terms,
            versions,
            former: fields.former,
            family: fields.family,
            maker: fields.maker,
            record,
        };
        (fields.name, body)
    }

    /// Puts the terms of its versions together again, out of the records of those that are left.
    pub(super) fn restate(&mut self) {
        self.versions.iter_mut().for_each(Version::reread);
        record::narrow_before(&mut self.versions);
    }

    /// What stands in its record.
    pub(super) fn fields(&self, name: &KeyNameBuf) -> KeyFields {
        KeyFields {
            name: name.clone(),
            key_type: self.key_type,
            origin: self.origin,
            origin_uri: self.origin_uri.clone(),
            id: self.id,
            family: self.family,
            created_secs: self.created_secs,
            maker: self.maker,
            born_under_rule: self.born_under_rule,
            terms: self.terms.clone(),
            former: self.former.clone(),
        }
    }

    /// Gives the key other fields, here and in its record, or changes nothing.
    pub(super) fn rewrite(&mut self, fields: KeyFields) -> Result<(), Refusal> {
        record::replace(&mut self.record, &fields.encode()?)?;
        self.id = fields.id;
        self.key_type = fields.key_type;
        self.origin = fields.origin;
        self.origin_uri = fields.origin_uri;
        self.born_under_rule = fields.born_under_rule;
        self.created_secs = fields.created_secs;
        self.terms = fields.terms;
        self.former = fields.former;
        self.family = fields.family;
        self.maker = fields.maker;
        Ok(())
    }

    /// The version that `wanted` speaks of, in whatever state.
    pub(crate) fn version(&self, wanted: Wanted<'_>) -> Result<&Version, Refusal> {
        let number = match wanted {
            Wanted::Newest => {
                let mut newest_first = self.versions.iter().rev();
                return newest_first
                    .find(|version| version.state != KeyState::Destroyed)
                    .ok_or(Refusal::KeyDestroyed);
            }
            Wanted::Maker { id, .. } if *id != self.id => {
                return Err(Refusal::VerificationFailed);
            }
            Wanted::Maker { version, .. } | Wanted::Given(version) => version,
        };
        self.versions
            .iter()
            .find(|version| version.number == number)
            .ok_or(Refusal::VersionNotFound)
    }

    /// The number of the newest version, in whatever state.
    pub(crate) fn newest_version(&self) -> u32 {
        self.versions.last().map_or(0, |version| version.number)
    }

    /// Everything that travels with a version; all of it has to allow.
    pub(crate) fn layers<'b>(
        &'b self,
        version: &'b Version,
    ) -> impl Iterator<Item = &'b OwnPolicy> {
        std::iter::once(&self.terms).chain(version.own.as_deref())
    }

    /// The same, in one.
    pub(crate) fn effective(&self, version: &Version) -> OwnPolicy {
        match &version.own {
            Some(own) => self.terms.narrowed_by(own),
            None => self.terms.clone(),
        }
    }

    /// The uses that travel with a version.
    pub(crate) fn own_operations(&self, version: &Version) -> OperationSet {
        self.layers(version).fold(OperationSet::ALL, |all, layer| {
            all.intersection(layer.operations)
        })
    }

    /// The lowest version that is used.
    pub(crate) fn min_version(&self, version: &Version, rule: Option<&KeyRule>) -> u32 {
        let stated = self.layers(version).filter_map(|layer| layer.min_version);
        stated
            .chain(rule.and_then(|rule| rule.min_version))
            .max()
            .unwrap_or(1)
    }

    /// The keys that may wrap it: all that says something names them, and something does.
    pub(crate) fn wrappable_by<'b>(
        &'b self,
        version: &'b Version,
        rule: Option<&'b KeyRule>,
    ) -> Vec<KeyName<'b>> {
        let own = self
            .layers(version)
            .filter_map(|layer| layer.wrappable_by.as_ref());
        let stated: Vec<&Vec<KeyNameBuf>> =
            own.chain(rule.map(|rule| &rule.wrappable_by)).collect();
        let Some((first, rest)) = stated.split_first() else {
            return Vec::new();
        };
        let named = first.iter();
        named
            .filter(|key| rest.iter().all(|list| list.contains(key)))
            .map(KeyNameBuf::as_name)
            .collect()
    }

    /// In how many uses the key ends.
    pub(crate) fn max_uses(&self, version: &Version, rule: Option<&KeyRule>) -> Option<u64> {
        let stated = self.layers(version).filter_map(|layer| layer.max_uses);
        stated.chain(rule.and_then(|rule| rule.max_uses)).min()
    }

    /// How often one peer uses the key.
    pub(super) fn rate(&self, version: &Version, rule: Option<&KeyRule>) -> Option<Rate> {
        self.layers(version)
            .fold(rule.and_then(|rule| rule.rate), |all, layer| {
                slower(all, layer.rate)
            })
    }

    /// Uses that were taken, over all versions.
    pub(crate) fn uses_taken(&self) -> u64 {
        self.record.counter(TAKEN).load(Ordering::Relaxed)
    }

    /// Counts a use before it happens, in the record; refuses the one after the last.
    pub(super) fn take_use(&self, max_uses: Option<u64>) -> Result<(), Refusal> {
        let taken = self.record.counter(TAKEN);
        let Some(max_uses) = max_uses else {
            // Counted too: an administrator may set a limit later.
            taken.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < max_uses).then_some(taken.saturating_add(1))
            })
            .map(drop)
            .map_err(|_| Refusal::KeyExhausted)
    }

    /// Its state as it is shown: pending, if it would have to be fetched again.
    pub(crate) fn shown_state(&self, rule: Option<&KeyRule>, now: Now) -> KeyState {
        match self.state {
            KeyState::Enabled if !self.versions.iter().any(|v| self.is_here(v, rule, now)) => {
                KeyState::Pending
            }
            state => state,
        }
    }

    /// Whether it was provisioned from this resource.
    pub(crate) fn is_resource(&self, path: &ResourcePath) -> bool {
        let uri = self.origin_uri.as_deref();
        uri.and_then(|uri| uri.strip_prefix(KBS_SCHEME)) == Some(path.as_str())
    }

    /// Whether the newest version is here, and somebody vouches for it whom `rule` believes.
    pub(super) fn is_up_to_date(&self, policy: &ActivePolicy, rule: &KeyRule, now: Now) -> bool {
        self.version(Wanted::Newest).is_ok_and(|newest| {
            newest.counts(policy, rule, Some(now)) && self.is_here(newest, Some(rule), now)
        })
    }

    /// Changes the state of the key, or of one version: one atomic store.
    pub(super) fn set_state(&mut self, number: Option<u32>, state: KeyState) {
        let Some(number) = number else {
            record::set_state(&self.record, state);
            self.state = state;
            return;
        };
        for version in self.versions.iter_mut().filter(|v| v.number == number) {
            record::set_state(version.held.record(), state);
            version.state = state;
        }
    }

    /// Zeroes one version or all of them, for good. The state goes first: who is stopped halfway
    /// goes on at the next start.
    pub(super) fn destroy(&mut self, number: Option<u32>) {
        let is_meant = |version: &Version| number.is_none_or(|number| number == version.number);
        let is_gone = |version: &Version| version.state == KeyState::Destroyed;
        if self.versions.iter().all(|v| is_meant(v) || is_gone(v)) {
            self.set_state(None, KeyState::Destroyed);
        }
        for version in self.versions.iter_mut().filter(|v| is_meant(v)) {
            record::set_state(version.held.record(), KeyState::Destroyed);
            version.state = KeyState::Destroyed;
            record::erase_material(&mut version.held);
        }
    }

    /// Whether the newest version is to be followed by another one, as `rule` says.
    pub(super) fn is_due(&self, rule: &KeyRule, now: Now) -> bool {
        let Some(newest) = self.versions.last() else {
            return false;
        };
        let is_ours = self.origin == Origin::Generated
            && self.state == KeyState::Enabled
            && newest.state == KeyState::Enabled;
        let age_ms = newest.age_ms(now);
        let is_old = |after_secs: u64| age_ms >= after_secs.saturating_mul(1000);
        is_ours
            && (rule.rotate_after_secs.is_some_and(is_old)
                || rule
                    .rotate_after_uses
                    .is_some_and(|after| newest.uses() >= after))
    }

    fn is_here(&self, version: &Version, rule: Option<&KeyRule>, now: Now) -> bool {
        version.material().is_some() && !Lease::of(self, version, rule).has_run_out(version, now)
    }

    fn has_lapsed(&self, rule: Option<&KeyRule>, now: Now) -> bool {
        self.versions.iter().any(|version| {
            version.material().is_some() && Lease::of(self, version, rule).has_run_out(version, now)
        })
    }

    fn drop_lapsed(&mut self, rule: Option<&KeyRule>, now: Now) {
        for at in 0..self.versions.len() {
            let has_lapsed = self.versions.get(at).is_some_and(|version| {
                version.material().is_some()
                    && Lease::of(self, version, rule).has_run_out(version, now)
            });
            if has_lapsed && let Some(version) = self.versions.get_mut(at) {
                record::erase_material(&mut version.held);
            }
        }
        // What nobody could bring back is not missing but gone.
        if self.origin != Origin::Provisioned {
            let is_gone = |version: &Version| version.material().is_none();
            if self.versions.iter().all(is_gone) {
                self.destroy(None);
            }
        }
    }
}

impl Version {
    pub(super) fn new(number: u32, state: KeyState, fields: VersionFields, held: Material) -> Self {
        Self {
            number,
            state,
            own: fields.own,
            voucher: fields.voucher,
            was_unsealed: fields.was_unsealed,
            was_in_clear: fields.was_in_clear,
            told_lease_secs: fields.told_lease_secs,
            used_before: AtomicU64::new(held.record().counter(USES).load(Ordering::Relaxed)),
            held,
        }
    }

    /// `None` once it is destroyed or its lease has run out.
    pub(crate) fn material(&self) -> Option<&Material> {
        Some(&self.held).filter(|held| !held.record().is_empty())
    }

    /// What is left of it in the arena, with or without material.
    pub(super) fn held(&self) -> &Material {
        &self.held
    }

    pub(super) fn into_record(self) -> Record {
        self.held.into_record()
    }

    pub(crate) fn nonces(&self) -> Nonces<'_> {
        Nonces::of(self.held.record())
    }

    /// Since when its lease and its age count.
    pub(crate) fn since_boot_ms(&self) -> u64 {
        self.held
            .record()
            .counter(SINCE_BOOT_MS)
            .load(Ordering::Relaxed)
    }

    /// How old it is, with what it was when it was unsealed.
    pub(super) fn age_ms(&self, now: Now) -> u64 {
        let before_ms = self.held.record().counter(AGE_MS).load(Ordering::Relaxed);
        let since_ms = now.boot_ms.saturating_sub(self.since_boot_ms());
        before_ms.saturating_add(since_ms)
    }

    /// Counts its lease from this moment on, if that is later: one atomic store.
    pub(super) fn renew_lease(&self, since_boot_ms: u64) {
        self.used_before.store(self.uses(), Ordering::Relaxed);
        record::renew(self.held.record(), since_boot_ms);
    }

    /// Whether anybody used it since its lease began, or since this process did.
    pub(super) fn is_used(&self) -> bool {
        self.uses() > self.used_before.load(Ordering::Relaxed)
    }

    pub(crate) fn uses(&self) -> u64 {
        self.held.record().counter(USES).load(Ordering::Relaxed)
    }

    pub(crate) fn count_use(&self) {
        self.held
            .record()
            .counter(USES)
            .fetch_add(1, Ordering::Relaxed);
    }

    /// Takes what `newer` says for this one, too. Who signs narrower terms means the versions
    /// before; wider ones are for the new one alone.
    pub(super) fn narrow_by(&mut self, newer: Option<&OwnPolicy>) {
        if let (Some(own), Some(newer)) = (&mut self.own, newer) {
            **own = own.narrowed_by(newer);
        }
    }

    /// What stands in its record.
    pub(super) fn fields(&self) -> VersionFields {
        VersionFields {
            own: self.own.clone(),
            voucher: self.voucher.clone(),
            was_unsealed: self.was_unsealed,
            was_in_clear: self.was_in_clear,
            told_lease_secs: self.told_lease_secs,
        }
    }

    /// Takes what its envelope says out of its record, without what newer ones took from it. What
    /// could not be read would stay as narrow as it is.
    pub(super) fn reread(&mut self) {
        if let Ok(fields) = VersionFields::decode(self.held.record().public()) {
            self.own = fields.own;
        }
    }

    /// Writes what its envelope says into its record.
    pub(super) fn rewrite(&mut self) -> Result<(), Refusal> {
        let public = self.fields().encode()?;
        record::replace(self.held.record_mut(), &public)
    }
}
