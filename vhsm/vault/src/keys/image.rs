//! A key as it stands in a backup: all versions, and all that is said of it.
//!
//! ```text
//! image    [name, type, origin, id, created, under-rule, state, policy, uses,
//!           [+ [version, state, uses, messages, material]]]
//! ```
//!
//! What comes back is a copy: it counts as imported, since the key may live on elsewhere, too. So
//! it never encrypts under a counter, never wraps, and is no key that a rule wants generated.

use super::key::{Body, Version};
use super::record::{
    Family, Group, KeyFields, MESSAGES, NewVersion, USES, VersionFields, bad, key_name, read_list,
    read_policy, write_list, write_policy,
};
use super::{Keys, Lease, Material, NewKey, Noted, OwnPolicy, Table, Voucher};
use crate::policy::{ActivePolicy, KeyRule};
use crate::{Draw, Now, Refusal};
use nitride_protocol::limits::MAX_VERSIONS_LEN;
use nitride_protocol::{
    DecodeError, EncodeError, KeyNameBuf, KeyState, KeyType, Operation, Origin, Reader, Writer,
};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

/// What is read of a key in a backup; the material stays where the backup was opened, in the arena.
pub(crate) struct KeyImage<'i> {
    pub(crate) name: KeyNameBuf,
    key_type: KeyType,
    origin: Origin,
    id: [u8; 16],
    created_secs: u64,
    born_under_rule: bool,
    state: KeyState,
    terms: OwnPolicy,
    uses: u64,
    versions: Vec<VersionImage<'i>>,
}

struct VersionImage<'i> {
    number: u32,
    state: KeyState,
    uses: u64,
    messages: u64,
    /// Empty once it is destroyed.
    material: &'i [u8],
}

/// Why a key is left out of backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// It is destroyed, or its lease has run out.
    Gone,
    /// Its service brings it again.
    Provisioned,
    /// A copy could outlive its lease, or be used as often again.
    Counted,
    /// Whoever restored it could take out what it guards.
    Wrapping,
}

impl Body {
    /// Whether it may be in a backup, and under which terms: no wider than what is said here, now.
    pub(crate) fn backed_up(&self, rule: Option<&KeyRule>) -> Result<OwnPolicy, LeftOut> {
        let has_material = |version: &Version| version.material().is_some();
        if self.state == KeyState::Destroyed || !self.versions.iter().any(has_material) {
            return Err(LeftOut::Gone);
        }
        if self.origin == Origin::Provisioned {
            return Err(LeftOut::Provisioned);
        }
        if self.key_type == KeyType::Aes256Kwp {
            return Err(LeftOut::Wrapping);
        }
        let mut terms = match rule {
            Some(rule) => self.terms.narrowed_by(&OwnPolicy::of_rule(rule)),
            None => self.terms.clone(),
        };
        // Nobody was named, so nobody it is: where it comes back, a rule may name somebody.
        terms.release_to.get_or_insert_default();
        let is_leased = |version| !Lease::of(self, version, rule).is_endless();
        if terms.max_uses.is_some() || self.versions.iter().any(is_leased) {
            return Err(LeftOut::Counted);
        }
        Ok(terms)
    }

    pub(crate) fn write_image(
        &self,
        name: &KeyNameBuf,
        terms: &OwnPolicy,
        writer: &mut Writer<'_>,
    ) -> Result<(), EncodeError> {
        writer.array(10)?;
        writer.text(name.as_str())?;
        writer.text(self.key_type.as_str())?;
        // A copy is nobody's to widen, and nobody's to open with nonces of his choice.
        writer.u64(Origin::Derived.to_wire())?;
        writer.bytes(&self.id)?;
        writer.u64(self.created_secs)?;
        writer.bool(self.born_under_rule)?;
        writer.u64(self.state.to_wire())?;
        write_policy(writer, terms)?;
        writer.u64(self.uses_taken())?;
        write_list(writer, &self.versions, |writer, version| {
            let record = version.held().record();
            let counter = |index| record.counter(index).load(Ordering::SeqCst);
            writer.array(5)?;
            writer.u64(version.number.into())?;
            writer.u64(version.state.to_wire())?;
            writer.u64(counter(USES))?;
            writer.u64(counter(MESSAGES))?;
            writer.bytes(record.expose())
        })
    }
}

impl<'i> KeyImage<'i> {
    pub(crate) fn read(reader: &mut Reader<'i>) -> Result<Self, DecodeError> {
        let at = reader.position();
        reader.array_of(10)?;
        let image = Self {
            name: key_name(reader)?,
            key_type: KeyType::read(reader)?,
            origin: Origin::read(reader)?,
            id: *reader.byte_array("id")?,
            created_secs: reader.u64()?,
            born_under_rule: reader.bool()?,
            state: KeyState::read(reader)?,
            terms: read_policy(reader)?,
            uses: reader.u64()?,
            versions: read_list(reader, MAX_VERSIONS_LEN, "versions", VersionImage::read)?,
        };
        image.check(at)?;
        Ok(image)
    }

    /// What no vault writes is not taken.
    fn check(&self, at: usize) -> Result<(), DecodeError> {
        let fault = |field| Err(DecodeError::OutOfRange { at, field });
        let lives = |state| matches!(state, KeyState::Enabled | KeyState::Disabled);
        if self.origin != Origin::Derived {
            return fault("origin");
        }
        if !lives(self.state) {
            return fault("state");
        }
        if self.key_type == KeyType::Aes256Kwp {
            return fault("type");
        }
        if self.terms.max_uses.is_some() || self.terms.lease_secs.is_some() {
            return fault("policy");
        }
        let ascends = |pair: &[VersionImage<'_>]| match pair {
            [one, next] => one.number < next.number,
            _ => true,
        };
        let is_whole =
            |version: &VersionImage<'_>| lives(version.state) != version.material.is_empty();
        let first = self.versions.first().map_or(0, |version| version.number);
        let all_whole = self.versions.iter().all(is_whole);
        let any_lives = self.versions.iter().any(|version| lives(version.state));
        if first == 0 || !self.versions.windows(2).all(ascends) || !all_whole || !any_lives {
            return fault("versions");
        }
        Ok(())
    }

    /// Whether `body` is this key already: the same identity, and of each version the same material
    /// or none, since what was destroyed here stays so.
    fn is_same(&self, body: &Body) -> bool {
        let is_there = |image: &VersionImage<'_>| {
            let mut versions = body.versions.iter();
            let same = versions.find(|version| version.number == image.number);
            same.is_some_and(|version| match version.material() {
                Some(material) => material.record().ct_eq(image.material),
                None => true,
            })
        };
        // What a service provisioned is in no backup: whoever guesses at it learns nothing here.
        body.origin != Origin::Provisioned
            && body.id == self.id
            && body.key_type == self.key_type
            && self.versions.iter().all(is_there)
    }

    /// Writes the versions, and then the key that makes them its own.
    fn write(
        &self,
        family: Family,
        new: &NewKey<'_>,
        draw: &mut dyn Draw,
    ) -> Result<(KeyNameBuf, Body), Refusal> {
        let mut versions = Vec::with_capacity(self.versions.len());
        for image in &self.versions {
            let material = match image.material {
                [] => nitride_secmem::SecretBuf::with_len(0)?,
                material => Material::accept(self.key_type, material)?,
            };
            let version = NewVersion {
                number: image.number,
                state: image.state,
                fields: VersionFields {
                    own: None,
                    voucher: Voucher::Vault,
                    was_unsealed: false,
                    was_in_clear: false,
                    told_lease_secs: None,
                },
                key_type: self.key_type,
                material: &material,
                since_boot_ms: new.now.boot_ms,
            };
            let version = version.write(family, None, draw)?;
            let record = version.held().record();
            for (index, value) in [(USES, image.uses), (MESSAGES, image.messages)] {
                record.counter(index).store(value, Ordering::SeqCst);
            }
            versions.push(version);
        }
        let fields = KeyFields {
            name: self.name.clone(),
            key_type: self.key_type,
            origin: self.origin,
            origin_uri: None,
            id: self.id,
            family,
            created_secs: self.created_secs,
            maker: new.rule.is_none().then_some(new.uid),
            // A narrowing that was there once is needed for good.
            born_under_rule: self.born_under_rule || new.rule.is_some(),
            terms: self.terms.clone(),
            former: Vec::new(),
        };
        fields.write_in(self.state, self.uses, versions, draw)
    }
}

impl<'i> VersionImage<'i> {
    fn read(reader: &mut Reader<'i>) -> Result<Self, DecodeError> {
        reader.array_of(5)?;
        let number = reader.u32("version")?;
        let at = reader.position();
        let state = KeyState::read(reader)?;
        if state == KeyState::Pending {
            return Err(bad(at, "state"));
        }
        Ok(Self {
            number,
            state,
            uses: reader.u64()?,
            messages: reader.u64()?,
            material: reader.bytes()?,
        })
    }
}

impl Keys {
    /// Brings all of these keys back, or none of them; gives how many were not there already. The
    /// names of those who ask count against `uid`.
    pub(crate) fn bring_back(
        &self,
        images: &[KeyImage<'_>],
        policy: &ActivePolicy,
        uid: u32,
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<u64, (KeyNameBuf, Refusal)> {
        let mut names = HashSet::with_capacity(images.len());
        let mut wanted = Vec::with_capacity(images.len());
        let Some(first) = images.first() else {
            return Ok(0);
        };
        let mut table = self
            .write()
            .map_err(|refusal| (first.name.clone(), refusal))?;
        let mut unruled = 0;
        // The daemon asks what has changed, by whomever.
        let noted = Noted::default();
        for image in images {
            let of_key = |refusal| (image.name.clone(), refusal);
            if !names.insert(image.name.as_str()) {
                return Err(of_key(Refusal::KeyExists));
            }
            let rule = policy.key_rule(image.name.as_str());
            let new = NewKey {
                name: image.name.as_name(),
                key_type: image.key_type,
                operations: None,
                wrappable_by: None,
                rule: rule.map(|rule| &**rule),
                noted: &noted,
                uid,
                now,
            };
            if is_here(&table, image).map_err(of_key)? {
                continue;
            }
            new.check(&image.terms, Operation::Import).map_err(of_key)?;
            self.place(&table, &new).map_err(of_key)?;
            unruled += u64::from(new.rule.is_none());
            let of_uid = table.of_uid.get(&uid).copied().unwrap_or(0);
            if table.unruled + unruled > self.limits.keys {
                return Err(of_key(Refusal::TooManyKeys));
            }
            if unruled > 0 && of_uid + unruled > self.limits.keys_per_uid {
                return Err(of_key(Refusal::TooManyKeysOfUser));
            }
            wanted.push((image, new));
        }
        // What is not added to the table is erased with its records when this returns early, and by
        // the next start where this is killed: the group stands until all is written.
        let group = Group::open(draw);
        let mut group = group.map_err(|refusal| (first.name.clone(), refusal))?;
        let mut written = Vec::with_capacity(wanted.len());
        for (image, new) in wanted {
            let whole = image.write(group.family(), &new, draw);
            written.push(whole.map_err(|refusal| (image.name.clone(), refusal))?);
        }
        group.close();
        let keys = written.len() as u64;
        for (name, body) in written {
            let rule = policy.key_rule(name.as_str());
            let is_sealed = rule.is_some_and(|rule| rule.is_sealed());
            table.add(name, body);
            self.seal.note(is_sealed);
        }
        Ok(keys)
    }

    /// How many keys there are of which backups leave out, by why.
    pub(crate) fn left_out(
        &self,
        policy: &ActivePolicy,
    ) -> Result<HashMap<&'static str, u64>, Refusal> {
        let mut left_out = HashMap::new();
        for key in &self.read()?.by_name {
            let rule = policy.key_rule(key.as_str());
            if let Err(reason) = key.0.read()?.backed_up(rule.map(|rule| &**rule)) {
                *left_out.entry(reason.as_str()).or_default() += 1;
            }
        }
        Ok(left_out)
    }
}

/// Whether the key is there already; a name that is another one's, or was, stands in its way.
fn is_here(table: &Table, image: &KeyImage<'_>) -> Result<bool, Refusal> {
    let Some(key) = table.find(image.name.as_str()) else {
        return Ok(false);
    };
    let body = key.read()?;
    match body.state {
        KeyState::Destroyed => Err(Refusal::KeyDestroyed),
        _ if image.is_same(&body) => Ok(true),
        _ => Err(Refusal::KeyExists),
    }
}

impl LeftOut {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "destroyed or over",
            Self::Provisioned => "provisioned",
            Self::Counted => "with a lease or max-uses",
            Self::Wrapping => "wrapping",
        }
    }
}
