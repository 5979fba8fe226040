//! The seal: keys that outlive a reboot without the service, in a file that only this machine
//! opens. Pure: files, counters and platforms are the daemon's.
//!
//! ```text
//! file     "NVSEALED" head chunk*
//! head     [1, platform, params, provisioned / null, salt, generation]
//! chunk    AES-256-GCM( 65,536 bytes of items, the last one fewer; aad = SHA-256("NVSEALED" head);
//!                       nonce = 7 zero bytes, number in 4 bytes, 1 in the last chunk )
//! key      HKDF-SHA256( len platform-part [len provisioned-part], salt,
//!                       info = "nitride seal v1\0" SHA-256("NVSEALED" head) )
//! item     its length in 4 bytes, and a key or a version of the key before:
//! key      [fields, state, uses, versions]         fields: as in the key's record, family zero
//! version  [number, fields, state, uses, messages, age-ms, material]
//! ```
//!
//! Principles:
//! - **A key seals once.** Its salt is new with each file, so no nonce of it comes twice.
//! - **What comes back stays what it was**: origin, states, versions, policy, counters and the
//!   tombstones of what was destroyed. But the host may have copied file and memory: a version that
//!   was unsealed never encrypts under a counter again.
//! - **What is here is the truth.** A key whose records outlived the process is newer than the file.
//! - **All or nothing**: the whole file is read and found genuine before anything of it is kept.
//! - **One file a counter value** ([`Ladder`]): whichever file the host plays, the one that counts
//!   has everything that was ever acknowledged.

mod fault;
mod head;
mod key;
mod ladder;
mod part;
mod stream;
#[cfg(test)]
mod tests;

pub use fault::SealFault;
pub use head::{Generation, Head, Platform, UnknownPlatform};
pub use key::{MIN_PART_LEN, SealingKey};
pub use ladder::{Ladder, LadderFault, Shelf};
pub use stream::MAX_FILE_LEN;

use crate::keys::{SealedKey, SealedKeys};
use crate::{Draw, Now, Refusal, Vault};
use nitride_secmem::SecretBuf;
use std::ops::Bound;
use stream::{Chunks, Opened};

/// Keys that are looked at under one lock.
const PAGE_LEN: usize = 64;

/// Whether what is sealed can be had and kept now; said by the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// There is no seal: the start.
    Off,
    /// There is one, and what it has is not here yet: nothing that it would know is made up, and
    /// nothing that it should know is changed.
    Closed,
    /// What it had is here, and what changes is written.
    Open {
        /// Whether a counter keeps the host from playing an older file.
        is_durable: bool,
    },
}

/// A file, as it is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// All of it.
    pub file: Vec<u8>,
    /// How many keys it has, the destroyed ones included.
    pub keys: u64,
    /// Which of the keys that should be sealed are not, in words; `None` where that is none.
    pub left_out: Option<String>,
    /// What [`Vault::seal_changes`] was: it has all changes up to there.
    pub changes: u64,
}

impl Vault {
    /// The key of the file that `head` begins: out of what the platform gave, at least
    /// [`MIN_PART_LEN`] bytes, and the provisioned part that the head names. That one is read where
    /// it lies, in the arena.
    ///
    /// # Errors
    /// [`SealFault::WaitsFor`] while the provisioned part is not here, [`SealFault::UnfitPart`],
    /// [`SealFault::ShortPart`], [`SealFault::Vault`] where there is no room.
    pub fn sealing_key(
        &self,
        head: &Head,
        platform_part: &SecretBuf,
    ) -> Result<SealingKey, SealFault> {
        let platform_part = platform_part.expose();
        match &head.provisioned {
            None => SealingKey::derive(head, platform_part, None),
            Some(name) => self.with_part(name, |part| {
                SealingKey::derive(head, platform_part, Some(part))
            }),
        }
    }

    /// The keys that the file of `head` may be sealed under, as [`Vault::unseal`] tries them: one
    /// for each version of the provisioned part that is here and may be one, the newest first. A
    /// part may have been rotated after the last file was written.
    ///
    /// # Errors
    /// As [`Vault::sealing_key`], of the newest version where no other will do.
    pub fn opening_keys(
        &self,
        head: &Head,
        platform_part: &SecretBuf,
    ) -> Result<Vec<SealingKey>, SealFault> {
        let platform_part = platform_part.expose();
        match &head.provisioned {
            None => SealingKey::derive(head, platform_part, None).map(|key| vec![key]),
            Some(name) => self.with_each_part(name, |part| {
                SealingKey::derive(head, platform_part, Some(part))
            }),
        }
    }

    /// Seals every key whose rule says so. Of keys that change meanwhile, each is in the file as it
    /// was at one moment; every change up to [`Sealed::changes`] is.
    ///
    /// # Errors
    /// [`SealFault::KeySpent`] where `key` is not that of a new head, or has sealed already;
    /// [`SealFault::OtherHead`], [`SealFault::TooLong`], [`SealFault::Vault`].
    pub fn seal(&self, head: &Head, key: &SealingKey, now: Now) -> Result<Sealed, SealFault> {
        key.spend(head)?;
        // Before anything is read: what changes later may be in the file, and need not.
        let changes = self.seal_changes();
        let policy = self.policy();
        let mut chunks = Chunks::new(head, key)?;
        let (mut keys, mut leased) = (0, 0_u64);
        let mut after = None;
        loop {
            let page = self.keys.page(after_bound(after.as_ref()), PAGE_LEN)?;
            let Some(last) = page.last() else { break };
            for key in &page {
                let Some(rule) = policy.key_rule(key.name().as_str()) else {
                    continue;
                };
                if !rule.seal || head.provisioned.as_ref() == Some(key.name()) {
                    continue;
                }
                let body = key.read()?;
                if body.is_sealed(Some(rule)) {
                    let generation = head.generation;
                    let mut push = |bytes: &[u8]| chunks.push(bytes);
                    body.write_items(key.name(), generation, now, &mut push)?;
                    keys += 1;
                } else {
                    leased += 1;
                }
            }
            after = Some(last.name().clone());
        }
        let left_out = (leased > 0).then(|| format!("keys that are not sealed: {leased} leased"));
        Ok(Sealed {
            file: chunks.finish()?,
            keys,
            left_out,
            changes,
        })
    }

    /// Brings back what a file has that counts, all of it or nothing; gives how many keys came. It
    /// is opened with the first of `keys` that opens it. Keys that are here already stay as they
    /// are.
    ///
    /// # Errors
    /// [`SealFault`]; nothing has changed then.
    pub fn unseal(
        &self,
        head: &Head,
        keys: &[SealingKey],
        file: &[u8],
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<u64, SealFault> {
        let mut result = Err(SealFault::NotGenuine);
        for key in keys {
            result = self.unseal_with(head, key, file, now, draw);
            if result != Err(SealFault::NotGenuine) {
                break;
            }
        }
        result
    }

    fn unseal_with(
        &self,
        head: &Head,
        key: &SealingKey,
        file: &[u8],
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<u64, SealFault> {
        let mut last: Option<nitride_protocol::KeyNameBuf> = None;
        each_key(head, key, file, |sealed| {
            // In order, so that none comes twice.
            if last.as_ref() >= Some(sealed.name()) {
                return Err(SealFault::Inconsistent { what: "names" });
            }
            last = Some(sealed.name().clone());
            Ok(())
        })?;
        let policy = self.policy();
        let mut bringing = SealedKeys::begin(&self.keys, &policy, head.generation, draw)?;
        each_key(head, key, file, |sealed| bringing.take(sealed, now, draw))?;
        Ok(bringing.finish())
    }

    /// Says that the file of this generation is written and counts: what no file has any more that
    /// may count, the seal need not know of.
    pub fn seal_kept(&self, generation: Generation) {
        self.keys.seal.keep(generation);
    }

    /// Whether time and uses make the file older than what is here though nothing changes that
    /// [`Vault::seal_changes`] counts: ages of versions, and how much they have protected. Then it
    /// should be written now and then, and at the end.
    ///
    /// # Errors
    /// [`Refusal::Internal`] where the keys cannot be reached.
    pub fn seal_ages(&self) -> Result<bool, Refusal> {
        self.keys.age_in_seal(&self.policy())
    }

    /// Goes up with each change that a sealed file must have, after the change: where it is what it
    /// was before a request, the request needs no file.
    pub fn seal_changes(&self) -> u64 {
        self.keys.seal.changes()
    }

    /// Says what the seal can do from now on.
    pub fn set_sealing(&self, sealing: Sealing) {
        self.keys.seal.set(sealing);
    }
}

fn after_bound(after: Option<&nitride_protocol::KeyNameBuf>) -> Bound<&str> {
    after.map_or(Bound::Unbounded, |name| Bound::Excluded(name.as_str()))
}

/// Opens the file from its first byte to its last and gives each key of it to `act`.
fn each_key(
    head: &Head,
    key: &SealingKey,
    file: &[u8],
    mut act: impl FnMut(&SealedKey<'_>) -> Result<(), SealFault>,
) -> Result<(), SealFault> {
    let mut opened = Opened::new(head, key, file)?;
    while let Some(item) = opened.item()? {
        let (fields, len) = SealedKey::read_fields(item.expose())?;
        let mut versions = Vec::with_capacity(len);
        for _ in 0..len {
            versions.push(opened.item()?.ok_or(SealFault::Cut)?);
        }
        let versions = versions.iter().map(SecretBuf::expose);
        act(&fields.with_versions(versions)?)?;
    }
    Ok(())
}
