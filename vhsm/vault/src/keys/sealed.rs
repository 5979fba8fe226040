//! A key as it stands in a sealed file: what its records say, in items of their own.
//!
//! What comes back is the key itself and no copy of it, so its origin, its tombstones and its
//! counters come with it. Its versions are marked: the host may have copied what they came from.

use super::key::{Body, Version};
use super::record::{
    AGE_MS, FILED, Family, Group, KeyFields, MESSAGES, NewVersion, USES, VersionFields, erase,
    erase_key, mark_filed,
};
use super::{Keys, Lease, Material, Table, Voucher};
use crate::policy::{ActivePolicy, KeyRule};
use crate::seal::{Generation, SealFault};
use crate::{Draw, Now, Refusal};
use nitride_protocol::limits::MAX_VERSIONS_LEN;
use nitride_protocol::{EncodeError, KeyNameBuf, KeyState, KeyType, Origin, Reader, Writer};
use nitride_secmem::SecretBuf;
use std::sync::RwLockWriteGuard;
use std::sync::atomic::Ordering;

/// What is in an item besides its byte strings.
const ITEM_ROOM: usize = 96;
/// Families are this vault's own, and drawn anew.
const NO_FAMILY: Family = Family([0; 12]);

/// What is read of a key, its versions still to come.
pub(crate) struct SealedFields {
    fields: KeyFields,
    state: KeyState,
    uses: u64,
}

/// What is read of a key; the material stays where the file was opened, in the arena.
pub(crate) struct SealedKey<'i> {
    of_key: SealedFields,
    versions: Vec<SealedVersion<'i>>,
}

struct SealedVersion<'i> {
    number: u32,
    state: KeyState,
    fields: VersionFields,
    uses: u64,
    messages: u64,
    age_ms: u64,
    /// Empty once it is destroyed, or has to be fetched again.
    material: &'i [u8],
}

impl Body {
    /// Whether the seal has it: its rule says so, and no lease ends it, which a reboot would begin
    /// anew.
    pub(crate) fn is_sealed(&self, rule: Option<&KeyRule>) -> bool {
        let is_endless = |version| Lease::of(self, version, rule).is_endless();
        rule.is_some_and(KeyRule::is_sealed) && self.versions.iter().all(is_endless)
    }

    /// The newest file that has it, whatever its rule says now: more than that file's generation,
    /// and 0 where there is none. It stands in its record, for the next process.
    pub(super) fn filed_mark(&self) -> u64 {
        self.record.counter(FILED).load(Ordering::SeqCst)
    }

    /// Gives the bytes of its items to `push`: those of the material as they lie in its records.
    pub(crate) fn write_items(
        &self,
        name: &KeyNameBuf,
        generation: Generation,
        now: Now,
        push: &mut dyn FnMut(&[u8]) -> Result<(), SealFault>,
    ) -> Result<(), SealFault> {
        // Before there is such a file: whoever changes the key after it was read knows of it.
        mark_filed(&self.record, mark_of(generation));
        let fields = KeyFields {
            family: NO_FAMILY,
            ..self.fields(name)
        };
        let fields = fields.encode()?;
        let item = encoded(fields.len(), |writer| {
            writer.array(4)?;
            writer.bytes(&fields)?;
            writer.u64(self.state.to_wire())?;
            writer.u64(self.uses_taken())?;
            writer.u64(self.versions.len() as u64)
        })?;
        push_item(push, &item, &[])?;
        for version in &self.versions {
            let record = version.held().record();
            let counter = |index| record.counter(index).load(Ordering::SeqCst);
            let (fields, material) = (version.fields().encode()?, record.expose());
            let item = encoded(fields.len(), |writer| {
                writer.array(7)?;
                writer.u64(version.number.into())?;
                writer.bytes(&fields)?;
                writer.u64(version.state.to_wire())?;
                writer.u64(counter(USES))?;
                writer.u64(counter(MESSAGES))?;
                writer.u64(version.age_ms(now))?;
                writer.bytes_head(material.len())
            })?;
            push_item(push, &item, material)?;
        }
        Ok(())
    }
}

/// What stands in the record of a key that a file has.
fn mark_of(generation: Generation) -> u64 {
    generation.0.saturating_add(1)
}

/// An item up to its material, which is not written anywhere but in the arena.
fn encoded(
    fields_len: usize,
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<Vec<u8>, EncodeError> {
    let mut room = vec![0; fields_len + ITEM_ROOM];
    let mut writer = Writer::new(&mut room);
    write(&mut writer)?;
    let len = writer.position();
    room.truncate(len);
    Ok(room)
}

fn push_item(
    push: &mut dyn FnMut(&[u8]) -> Result<(), SealFault>,
    item: &[u8],
    material: &[u8],
) -> Result<(), SealFault> {
    let len = u32::try_from(item.len() + material.len()).map_err(|_| SealFault::TooLong)?;
    push(&len.to_be_bytes())?;
    push(item)?;
    push(material)
}

impl SealedFields {
    /// Gives the versions that follow, too.
    pub(crate) fn with_versions<'i>(
        self,
        items: impl Iterator<Item = &'i [u8]>,
    ) -> Result<SealedKey<'i>, SealFault> {
        let versions = items.map(SealedVersion::read).collect::<Result<_, _>>()?;
        let key = SealedKey {
            of_key: self,
            versions,
        };
        key.check()?;
        Ok(key)
    }
}

impl SealedKey<'_> {
    /// What an item says of a key, and how many versions follow.
    pub(crate) fn read_fields(item: &[u8]) -> Result<(SealedFields, usize), SealFault> {
        let mut reader = Reader::new(item);
        reader.array_of(4)?;
        let fields = KeyFields::decode(reader.bytes()?).map_err(|_| inconsistent("a key"))?;
        let state = KeyState::read(&mut reader)?;
        let uses = reader.u64()?;
        let len = reader.u64()?;
        reader.finish()?;
        let len = usize::try_from(len)
            .ok()
            .filter(|len| (1..=MAX_VERSIONS_LEN).contains(len))
            .ok_or(inconsistent("how many versions a key has"))?;
        let fields = SealedFields {
            fields,
            state,
            uses,
        };
        Ok((fields, len))
    }

    pub(crate) fn name(&self) -> &KeyNameBuf {
        &self.of_key.fields.name
    }

    /// What no vault writes is not taken, as little as of a record.
    fn check(&self) -> Result<(), SealFault> {
        let (fields, state) = (&self.of_key.fields, self.of_key.state);
        let is_provisioned = fields.origin == Origin::Provisioned;
        let ascends = |pair: &[SealedVersion<'_>]| match pair {
            [one, next] => one.number < next.number,
            _ => true,
        };
        let first = self.versions.first().map_or(0, |version| version.number);
        if first == 0 || !self.versions.windows(2).all(ascends) {
            return Err(inconsistent("the numbers of versions"));
        }
        let is_vouched_for = |version: &SealedVersion<'_>| {
            is_provisioned == (version.fields.voucher != Voucher::Vault)
                && is_provisioned == version.fields.own.is_some()
        };
        if !self.versions.iter().all(is_vouched_for)
            || is_provisioned != fields.origin_uri.is_some()
        {
            return Err(inconsistent("where a key is from"));
        }
        let is_whole = |version: &SealedVersion<'_>| match version.state {
            KeyState::Pending => false,
            KeyState::Destroyed => version.material.is_empty(),
            KeyState::Enabled | KeyState::Disabled => {
                is_provisioned || !version.material.is_empty()
            }
        };
        let is_gone = |version: &SealedVersion<'_>| version.state == KeyState::Destroyed;
        let are_gone = self.versions.iter().all(is_gone);
        if state == KeyState::Pending
            || (state == KeyState::Destroyed) != are_gone
            || !self.versions.iter().all(is_whole)
        {
            return Err(inconsistent("the states of a key"));
        }
        match fields.family == NO_FAMILY {
            true => Ok(()),
            false => Err(inconsistent("a family")),
        }
    }

    /// Writes the versions, and then the key that makes them its own.
    fn write(
        &self,
        family: Family,
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<(KeyNameBuf, Body), Refusal> {
        let of_key = &self.of_key;
        let key_type = of_key.fields.key_type;
        let mut versions = Vec::with_capacity(self.versions.len());
        for version in &self.versions {
            match version.write(family, key_type, now, draw) {
                Ok(version) => versions.push(version),
                Err(refusal) => {
                    versions.into_iter().for_each(erase);
                    return Err(refusal);
                }
            }
        }
        let fields = KeyFields {
            family,
            ..of_key.fields.clone()
        };
        fields.write_in(of_key.state, of_key.uses, versions, draw)
    }
}

impl<'i> SealedVersion<'i> {
    fn read(item: &'i [u8]) -> Result<Self, SealFault> {
        let mut reader = Reader::new(item);
        reader.array_of(7)?;
        let number = reader.u32("version")?;
        let fields = VersionFields::decode(reader.bytes()?);
        let version = Self {
            number,
            fields: fields.map_err(|_| inconsistent("a version"))?,
            state: KeyState::read(&mut reader)?,
            uses: reader.u64()?,
            messages: reader.u64()?,
            age_ms: reader.u64()?,
            material: reader.bytes()?,
        };
        reader.finish()?;
        Ok(version)
    }

    fn write(
        &self,
        family: Family,
        key_type: KeyType,
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<Version, Refusal> {
        let material = match self.material {
            [] => SecretBuf::with_len(0)?,
            material => Material::accept(key_type, material)?,
        };
        let version = NewVersion {
            number: self.number,
            state: self.state,
            fields: VersionFields {
                // The host may have copied what it came from, and this machine's memory.
                was_unsealed: true,
                ..self.fields.clone()
            },
            key_type,
            material: &material,
            since_boot_ms: now.boot_ms,
        };
        let version = version.write(family, None, draw)?;
        let record = version.held().record();
        let counters = [
            (USES, self.uses),
            (MESSAGES, self.messages),
            (AGE_MS, self.age_ms),
        ];
        for (index, value) in counters {
            record.counter(index).store(value, Ordering::SeqCst);
        }
        Ok(version)
    }
}

fn inconsistent(what: &'static str) -> SealFault {
    SealFault::Inconsistent { what }
}

/// Keys that are brought back all together: what is not finished is erased with its records.
pub(crate) struct SealedKeys<'k> {
    written: Vec<(KeyNameBuf, Body)>,
    /// What a kill leaves open, the next start erases; there until all have come or are erased.
    group: Option<Group>,
    table: RwLockWriteGuard<'k, Table>,
    keys: &'k Keys,
    policy: &'k ActivePolicy,
    /// Of the file that they come from.
    generation: Generation,
    /// Whether the file is not what would be written now.
    is_behind: bool,
}

impl<'k> SealedKeys<'k> {
    pub(crate) fn begin(
        keys: &'k Keys,
        policy: &'k ActivePolicy,
        generation: Generation,
        draw: &mut dyn Draw,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            table: keys.write()?,
            group: Some(Group::open(draw)?),
            keys,
            policy,
            generation,
            written: Vec::new(),
            is_behind: false,
        })
    }

    /// Takes one, unless there is a key of its name: that one's records are the newer ones.
    pub(crate) fn take(
        &mut self,
        key: &SealedKey<'_>,
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<(), SealFault> {
        let of_key = |refusal| SealFault::Key {
            name: key.name().clone(),
            refusal,
        };
        let mark = mark_of(self.generation);
        if let Some(here) = self.table.find(key.name().as_str()) {
            let here = here.read().map_err(of_key)?;
            // Whoever writes a file marks what is in it first. So this one is somebody else's, who
            // went on where a copy of this memory ends.
            if (1..mark).contains(&here.filed_mark()) {
                let key = key.name().clone();
                return Err(SealFault::OlderMemory { key });
            }
            mark_filed(&here.record, mark.max(here.filed_mark()));
            self.is_behind = true;
            return Ok(());
        }
        let Some(group) = &mut self.group else {
            return Err(NOT_BEGUN);
        };
        let family = group.family();
        let (name, body) = key.write(family, now, draw).map_err(of_key)?;
        mark_filed(&body.record, mark);
        // What the file should not have, the next one does not.
        let rule = self.policy.key_rule(name.as_str());
        self.is_behind |= !body.is_sealed(rule.map(|rule| &**rule));
        self.written.push((name, body));
        Ok(())
    }

    /// Shows them all; gives how many they are.
    pub(crate) fn finish(mut self) -> u64 {
        let written = std::mem::take(&mut self.written);
        let keys = written.len() as u64;
        if let Some(group) = self.group.take() {
            group.close();
        }
        for (name, body) in written {
            self.table.add(name, body);
        }
        self.keys.seal.keep(self.generation);
        self.keys.seal.note(self.is_behind);
        keys
    }
}

impl Drop for SealedKeys<'_> {
    /// Whether dropped records are kept or not: before vhsmd serves they are, and these would take
    /// the room of the next try.
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            let written = self.written.drain(..);
            written.for_each(|(_, body)| erase_key(body));
            group.close();
        }
    }
}

/// Only what ends it takes the group.
const NOT_BEGUN: SealFault = SealFault::Vault(Refusal::Internal {
    what: "a key came after the last one of its file",
});
