//! What a restart finds again: how a key lies in the records arena.
//!
//! ```text
//! key record       id: drawn                public: KeyFields       secret: none
//!   |              counters: uses of all versions, sealed file     state: enabled, disabled, destroyed
//!   | family
//!   +-- version    id: family, number       public: VersionFields   secret: material
//!   +-- version    counters: uses, messages protected, age before, nonce prefix, since when; state
//! ```
//!
//! Principles:
//! - **One commit a change.** A version is written before the key record that names its family, so
//!   a new key is there when its key record is; a version more is there when its own record is; a
//!   key that takes the place of another one's versions names another family. Versions of a family
//!   that no key names are leftovers, and erased.
//! - **Narrowing is recomputed**, not rewritten: what a newer envelope takes from the versions
//!   before follows from the newer one's own record.
//! - **Keys that are restored come together**: a record of their group stands until the last one is
//!   written, and a start that finds it erases them.
//! - **What is not understood is kept**, refused by name: it may be of a later vault.
//!
//! Every change of a record passes one of the functions here, so that tests can stop between any
//! two of them.

mod codec;
mod group;
mod recover;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
pub(crate) mod trace;

pub(crate) use codec::{
    KeyFields, MAX_FORMER_LEN, VersionFields, bad, key_name, read_list, read_policy, write_list,
    write_policy,
};
#[cfg(test)]
pub(crate) use group::GROUP;
pub(super) use group::Group;
pub use recover::record_written_again;
pub(super) use recover::{narrow_before, recover};

use super::key::{Body, Version};
use super::{Material, Nonces};
use crate::{Draw, Refusal};
use nitride_protocol::{KeyNameBuf, KeyState, KeyType};
use nitride_secmem::{Draft, Record, RecordId, RecordKind, SecretBuf};
use std::sync::atomic::Ordering;

/// The kinds of records that are the vault's.
pub(crate) const KEY: RecordKind = RecordKind(1);
pub(crate) const VERSION: RecordKind = RecordKind(2);

/// In a key record: uses of all versions, taken before they happen.
pub(super) const TAKEN: usize = 0;
/// In a key record: one more than the generation of the newest sealed file that has it; 0 is none.
pub(super) const FILED: usize = 1;
/// In a version record: uses that succeeded, for people to read.
pub(super) const USES: usize = 0;
/// In a version record: messages protected, and so nonces taken.
pub(super) const MESSAGES: usize = 1;
/// In a version record: milliseconds that it was old when it was unsealed.
pub(super) const AGE_MS: usize = 2;
/// In a version record: the first 8 bytes of counted nonces.
pub(super) const NONCE_PREFIX: usize = 3;
/// In a version record: since when, on the boot clock, age and lease count.
pub(super) const SINCE_BOOT_MS: usize = 4;

/// What versions of one key have in common; drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Family(pub(crate) [u8; 12]);

impl Family {
    pub(super) fn draw(draw: &mut dyn Draw) -> Self {
        let mut family = [0; 12];
        draw.fill(&mut family);
        Self(family)
    }

    fn record_id(self, number: u32) -> RecordId {
        let mut id = [0; 16];
        let bytes = self.0.into_iter().chain(number.to_be_bytes());
        for (place, byte) in id.iter_mut().zip(bytes) {
            *place = byte;
        }
        RecordId(id)
    }

    /// Whose version a record is, and which.
    fn of_record(id: RecordId) -> (Self, u32) {
        let [
            f0,
            f1,
            f2,
            f3,
            f4,
            f5,
            f6,
            f7,
            f8,
            f9,
            f10,
            f11,
            n0,
            n1,
            n2,
            n3,
        ] = id.0;
        let family = [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11];
        (Self(family), u32::from_be_bytes([n0, n1, n2, n3]))
    }
}

/// A version that is to be written.
pub(super) struct NewVersion<'m> {
    pub(super) number: u32,
    pub(super) state: KeyState,
    pub(super) fields: VersionFields,
    pub(super) key_type: KeyType,
    /// As it is stored.
    pub(super) material: &'m SecretBuf,
    /// Since when its age and its lease count; not from earlier than with the one before.
    pub(super) since_boot_ms: u64,
}

impl NewVersion<'_> {
    /// Writes it, under counters of its own, or of the one whose place it takes.
    pub(super) fn write(
        self,
        family: Family,
        former: Option<&Version>,
        draw: &mut dyn Draw,
    ) -> Result<Version, Refusal> {
        let public = self.fields.encode()?;
        let secret = self.material.expose();
        let id = family.record_id(self.number);
        let mut draft = Draft::new(VERSION, id, public.len(), secret.len())?;
        draft.public_mut().copy_from_slice(&public);
        draft.secret_mut().copy_from_slice(secret);
        let mut since_boot_ms = self.since_boot_ms;
        match former.map(|former| former.held().record()) {
            Some(former) => {
                let before = former.counter(SINCE_BOOT_MS).load(Ordering::SeqCst);
                since_boot_ms = since_boot_ms.max(before);
                for index in [USES, MESSAGES, NONCE_PREFIX] {
                    let value = former.counter(index).load(Ordering::SeqCst);
                    draft.set_counter(index, value);
                }
            }
            None => draft.set_counter(NONCE_PREFIX, Nonces::new_prefix(draw)),
        }
        draft.set_counter(SINCE_BOOT_MS, since_boot_ms);
        draft.set_state(word_of(self.state));
        let record = commit(draft);
        let material = Material::from_record(self.key_type, record);
        Ok(Version::new(self.number, self.state, self.fields, material))
    }
}

impl KeyFields {
    /// Writes a key over versions that were written before: from here on it is there.
    pub(super) fn write(
        self,
        versions: Vec<Version>,
        draw: &mut dyn Draw,
    ) -> Result<(KeyNameBuf, Body), Refusal> {
        self.write_in(KeyState::Enabled, 0, versions, draw)
    }

    /// The same, in a state of its own, after uses that were taken elsewhere.
    pub(super) fn write_in(
        self,
        state: KeyState,
        uses_taken: u64,
        versions: Vec<Version>,
        draw: &mut dyn Draw,
    ) -> Result<(KeyNameBuf, Body), Refusal> {
        let mut id = [0; 16];
        draw.fill(&mut id);
        let mut draft = match self.draft(RecordId(id)) {
            Ok(draft) => draft,
            Err(refusal) => {
                // Of no key: nobody else would find them.
                versions.into_iter().for_each(erase);
                return Err(refusal);
            }
        };
        draft.set_counter(TAKEN, uses_taken);
        draft.set_state(word_of(state));
        let record = commit(draft);
        Ok(Body::new(self, state, versions, record))
    }

    fn draft(&self, id: RecordId) -> Result<Draft, Refusal> {
        let public = self.encode()?;
        let mut draft = Draft::new(KEY, id, public.len(), 0)?;
        draft.public_mut().copy_from_slice(&public);
        Ok(draft)
    }
}

fn commit(draft: Draft) -> Record {
    let record = draft.commit();
    #[cfg(test)]
    trace::written(&record);
    record
}

/// Changes the state of a key or a version.
pub(super) fn set_state(record: &Record, state: KeyState) {
    record.set_state(word_of(state));
    #[cfg(test)]
    trace::written(record);
}

/// Notes in which sealed file a key is.
pub(super) fn mark_filed(record: &Record, mark: u64) {
    record.counter(FILED).store(mark, Ordering::SeqCst);
    #[cfg(test)]
    trace::written(record);
}

/// Counts a version's lease from then on; never from earlier than before.
pub(super) fn renew(record: &Record, since_boot_ms: u64) {
    record
        .counter(SINCE_BOOT_MS)
        .fetch_max(since_boot_ms, Ordering::SeqCst);
    #[cfg(test)]
    trace::written(record);
}

/// Gives a record other fields.
pub(super) fn replace(record: &mut Record, public: &[u8]) -> Result<(), Refusal> {
    record.replace_public(public)?;
    #[cfg(test)]
    trace::written(record);
    Ok(())
}

/// Zeroes a version's material; its fields, counters and state stay.
pub(super) fn erase_material(material: &mut Material) {
    material.erase();
    #[cfg(test)]
    trace::written(material.record());
}

/// Erases a version that is no part of its key any more.
pub(super) fn erase(version: Version) {
    let record = version.into_record();
    #[cfg(test)]
    trace::erased(&record);
    record.erase();
}

/// Erases a key that never came to be, its versions first: no start takes what has none.
pub(super) fn erase_key(body: Body) {
    body.versions.into_iter().for_each(erase);
    #[cfg(test)]
    trace::erased(&body.record);
    body.record.erase();
}

/// Drops the record whose place another one of its id has taken.
pub(super) fn erase_replaced(version: Version) {
    version.into_record().erase();
}

fn word_of(state: KeyState) -> u32 {
    match state {
        KeyState::Pending | KeyState::Enabled => 0,
        KeyState::Disabled => 1,
        KeyState::Destroyed => 2,
    }
}

fn state_of(word: u32) -> Option<KeyState> {
    match word {
        0 => Some(KeyState::Enabled),
        1 => Some(KeyState::Disabled),
        2 => Some(KeyState::Destroyed),
        _ => None,
    }
}
