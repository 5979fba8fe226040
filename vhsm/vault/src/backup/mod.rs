//! Backups: keys sealed to a recipient whom the configuration pins, in parts that fit a packet, and
//! brought back all together or not at all.
//!
//! A key that is provisioned is fetched again and is in no backup; neither is one with a lease or
//! with max-uses, which a copy would outlive, nor a wrapping key. Each comes with what its own
//! policy and its key rule say at that moment, and comes back no wider.

#[cfg(test)]
mod cddl_tests;
mod envelope;
mod fault;
#[cfg(test)]
mod tests;

pub use envelope::RecipientKey;
pub use fault::BackupFault;

use crate::keys::{KeyImage, OwnPolicy};
use crate::policy::ActivePolicy;
use crate::{DaemonCall, Draw, Now, Refusal, Vault};
use envelope::{OVERHEAD_LEN, Private, SealedPart};
use nitride_protocol::limits::MAX_SEALED_LEN;
use nitride_protocol::{KeyNameBuf, KeyState, KeyType, Operation, Reader, Writer};
use nitride_secmem::SecretBuf;
use nitride_secmem::crypto::{Curve, Ec, X25519};
use std::ops::Bound;

/// Bytes of images in one part.
const IMAGES_LEN: usize = MAX_SEALED_LEN - OVERHEAD_LEN;
/// Parts that are held until the last one is there, in the arena, which may be full before.
const MAX_PARTS: usize = 256;
/// Keys that are looked at under one lock.
const PAGE_LEN: usize = 64;

/// Who may read backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// What `backup` calls it.
    pub name: String,
    /// What it is sealed to.
    pub public_key: RecipientKey,
    /// The key of this vault with the other half, if its backups may be restored here.
    pub key: Option<KeyNameBuf>,
}

/// A backup that is being made, part by part, on one connection.
#[derive(Debug)]
pub struct Giving {
    recipient: String,
    backup: [u8; 16],
    number: u32,
    after: Option<KeyNameBuf>,
    cursor: [u8; CURSOR_LEN],
}

const CURSOR_LEN: usize = 20;

/// A part, and where the next one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Sealed.
    pub part: Vec<u8>,
    /// `None`: this was the last one.
    pub next: Option<[u8; CURSOR_LEN]>,
}

/// The parts of a backup that have come so far, opened, in the arena.
#[derive(Debug, Default)]
pub struct Taking {
    backup: [u8; 16],
    recipient: [u8; 32],
    parts: Vec<SecretBuf>,
}

impl Vault {
    /// Gives the next part of a backup. Of keys that come or change meanwhile, each is in it as it
    /// was at one moment, or not at all.
    ///
    /// # Errors
    /// [`BackupFault`]; the backup is to begin again then.
    pub fn back_up(
        &self,
        _proof: &DaemonCall,
        giving: &mut Option<Giving>,
        recipient: &Recipient,
        cursor: Option<&[u8]>,
        draw: &mut dyn Draw,
    ) -> Result<Given, BackupFault> {
        let begun = giving.take();
        let mut state = match (cursor, begun) {
            (None, _) => {
                let mut backup = [0; 16];
                draw.fill(&mut backup);
                Giving {
                    recipient: recipient.name.clone(),
                    backup,
                    number: 0,
                    after: None,
                    cursor: [0; CURSOR_LEN],
                }
            }
            (Some(cursor), Some(begun))
                if begun.cursor == cursor && begun.recipient == recipient.name =>
            {
                begun
            }
            (Some(_), _) => return Err(BackupFault::WrongCursor),
        };
        let mut images = SecretBuf::with_len(IMAGES_LEN)?;
        let (len, is_last) = self.fill(&mut state, images.expose_mut())?;
        images.truncate(len);
        let place = (state.backup, state.number, is_last);
        let part = recipient.public_key.seal(place, images.expose())?;
        if is_last {
            return Ok(Given { part, next: None });
        }
        state.number += 1;
        let bytes = state.backup.into_iter().chain(state.number.to_be_bytes());
        for (place, byte) in state.cursor.iter_mut().zip(bytes) {
            *place = byte;
        }
        let next = Some(state.cursor);
        *giving = Some(state);
        Ok(Given { part, next })
    }

    /// Writes as many keys as fit; gives the bytes and whether there are no more.
    fn fill(&self, state: &mut Giving, room: &mut [u8]) -> Result<(usize, bool), BackupFault> {
        let policy = self.policy();
        let mut len = 0;
        loop {
            let from = match &state.after {
                Some(name) => Bound::Excluded(name.as_str()),
                None => Bound::Unbounded,
            };
            let page = self.keys.page(from, PAGE_LEN)?;
            if page.is_empty() {
                return Ok((len, true));
            }
            for key in page {
                let rule = policy.key_rule(key.name().as_str());
                let body = key.read()?;
                if let Ok(terms) = body.backed_up(rule.map(|rule| &**rule)) {
                    let rest = room.get_mut(len..).unwrap_or_default();
                    let mut writer = Writer::new(rest);
                    match body.write_image(key.name(), &terms, &mut writer) {
                        Ok(()) => len += writer.position(),
                        Err(_) if len > 0 => return Ok((len, false)),
                        Err(_) => {
                            let name = key.name().clone();
                            return Err(BackupFault::KeyTooLong { name });
                        }
                    }
                }
                state.after = Some(key.name().clone());
            }
        }
    }

    /// What backups leave out, in words; `None` where that is nothing.
    ///
    /// # Errors
    /// [`Refusal::Internal`] where a key cannot be reached.
    pub fn left_out_of_backups(&self) -> Result<Option<String>, Refusal> {
        let mut left_out: Vec<_> = self.keys.left_out(&self.policy())?.into_iter().collect();
        left_out.sort_unstable();
        let words: Vec<String> = left_out
            .iter()
            .map(|(why, keys)| format!("{keys} {why}"))
            .collect();
        Ok((!words.is_empty()).then(|| format!("keys that no backup has: {}", words.join(", "))))
    }

    /// Takes a part of a backup. With the last one, all keys of it come back, or none does; gives
    /// how many came. Those that are there already, with the same material, count as there.
    ///
    /// # Errors
    /// [`BackupFault`]; nothing has changed then, and the backup is to begin again.
    pub fn restore(
        &self,
        _proof: &DaemonCall,
        (taking, uid): (&mut Taking, u32),
        recipients: &[Recipient],
        part: &[u8],
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<u64, BackupFault> {
        let mut state = std::mem::take(taking);
        let part = SealedPart::parse(part)?;
        let pinned = recipients
            .iter()
            .find(|recipient| *recipient.public_key.digest() == part.head.recipient)
            .ok_or(BackupFault::OtherRecipient)?;
        let policy = self.policy();
        let private = self.private_of(pinned, &policy)?;
        let number = part.head.number as usize;
        if number == 0 {
            state = Taking {
                backup: part.head.backup,
                recipient: part.head.recipient,
                parts: Vec::new(),
            };
        }
        let is_next = number == state.parts.len()
            && part.head.backup == state.backup
            && part.head.recipient == state.recipient;
        if !is_next {
            return Err(BackupFault::OutOfOrder);
        }
        if state.parts.len() == MAX_PARTS {
            return Err(BackupFault::TooLong);
        }
        state.parts.push(part.open(&private)?);
        if !part.head.is_last {
            *taking = state;
            return Ok(0);
        }
        let mut images = Vec::new();
        for part in &state.parts {
            let part = part.expose();
            let mut reader = Reader::new(part);
            while reader.position() < part.len() {
                images.push(KeyImage::read(&mut reader)?);
            }
        }
        self.keys
            .bring_back(&images, &policy, uid, now, draw)
            .map_err(|(name, refusal)| BackupFault::Key { name, refusal })
    }

    /// The half of a recipient's pair that this vault has.
    fn private_of(
        &self,
        recipient: &Recipient,
        policy: &ActivePolicy,
    ) -> Result<Private, BackupFault> {
        let no_key = || BackupFault::NoKeyHere {
            name: recipient.name.clone(),
        };
        let name = recipient.key.as_ref().ok_or_else(no_key)?;
        let unfit = || BackupFault::UnfitKey { key: name.clone() };
        let key = self.keys.find(name.as_str())?.ok_or_else(no_key)?;
        let rule = policy.key_rule(name.as_str());
        let body = key.read()?;
        // Nobody's request stands behind this use that gates or counters could judge: a key that
        // is bound to more than its state is not used at all.
        if body.state != KeyState::Enabled || (rule.is_none() && body.born_under_rule) {
            return Err(unfit());
        }
        for version in body.versions.iter().rev() {
            let said = match rule {
                Some(rule) => body
                    .effective(version)
                    .narrowed_by(&OwnPolicy::of_rule(rule)),
                None => body.effective(version),
            };
            let is_free = said.operations.contains(Operation::Agree)
                && said.gates.is_empty()
                && said.max_uses.is_none()
                && said.lease_secs.is_none()
                && said.not_before.is_none()
                && said.not_after.is_none()
                && said
                    .min_version
                    .is_none_or(|lowest| version.number >= lowest);
            let Some(material) = version.material() else {
                continue;
            };
            if !is_free || version.state != KeyState::Enabled {
                continue;
            }
            let material = material.record().expose();
            let private = match body.key_type {
                KeyType::EcP256 => Private::P256(Ec::from_scalar(Curve::P256, material)?),
                KeyType::X25519 => Private::X25519(X25519::from_private(material)?),
                _ => break,
            };
            if recipient.public_key.is_half_of(&private) {
                return Ok(private);
            }
        }
        Err(unfit())
    }
}
