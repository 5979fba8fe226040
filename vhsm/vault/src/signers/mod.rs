//! Whose signatures count, where an owner says so by a signed list.
//!
//! ```text
//!  pinned: name, list key ──┐
//!  round ── list ──> take() ┴─ signed? owner? serial? ──> record ──> the policy's lists
//!                                                            └── found by a later process
//! ```
//!
//! Principles:
//! - **What is pinned is the list key.** Before a list has come, nothing of its owner is believed.
//! - **Never back.** A serial lower than one that was taken is refused for as long as the records
//!   live, and so is another list of the same serial. A reboot forgets them: what is measured then
//!   is `min_serial` alone.
//! - **Never wider.** A name whose list was taken under one list key takes none under another.
//! - **Silence is bounded, and lies are not.** A list is public, and who delivers it is not known: whoever
//!   answers with the one before keeps it in force. `max_age` is for how long none may come.
//! - **Judged at use.** A list replaces the one before in the policy that every use asks; keys that
//!   it names no more take along what they signed.

mod record;

pub(crate) use record::SIGNER_LIST;

use crate::keys::Keys;
use crate::policy::{ActivePolicy, Believed};
use crate::policy::{CurrentPolicy, KeyRule, ListedSigner, PolicySet};
use crate::{Now, Vault};
use nitride_kbs::resource::ResourcePath;
use nitride_kbs::signer_list::{SignerList, SignerListError, UnverifiedSignerList};
use nitride_protocol::application::SignerStatus;
use nitride_secmem::Record;
use nitride_secmem::crypto::{p256_spki, sha256, verify_p256_sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// Names that lists are kept of, at most: beyond what one policy states, those of policies before.
const MAX_HELD: usize = 4 * crate::policy::limits::LISTED_SIGNERS;

/// Lists by the name of their signer.
pub(crate) type HeldLists = HashMap<String, Arc<HeldList>>;

/// A list that was taken, and when.
#[derive(Debug)]
pub(crate) struct HeldList {
    list: SignerList,
    digest: [u8; 32],
    list_key: [u8; 65],
    /// In the order of the list's keys.
    kids: Vec<[u8; 32]>,
    /// When the key of the round was made that brought it last.
    since_boot_ms: AtomicU64,
}

/// Every list that was taken, also those that the policy does not speak of now.
#[derive(Debug, Default)]
pub(crate) struct SignerLists {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    by_name: HashMap<String, (Arc<HeldList>, Record)>,
    /// What was found and not understood: kept, so that a later vault finds it.
    strange: Vec<Record>,
}

/// A list that took the place of another, or of none: other keys are believed from here on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListTaken {
    /// The signer's name.
    pub signer: String,
    /// The list's serial.
    pub serial: u64,
    /// SHA-256 over what is signed of it.
    pub digest: [u8; 32],
    /// How many keys it names.
    pub keys: usize,
}

/// Why a list of signers was refused. Those that were believed still are.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum SignerListFault {
    /// It is malformed, or not signed by the pinned list key.
    #[error("it is malformed or not of the pinned list key")]
    NotSigned(#[source] Arc<SignerListError>),
    /// It is another owner's.
    #[error("it is the list of another owner")]
    OtherOwner,
    /// Its serial is below what the configuration states.
    #[error("its serial {serial} is below {min_serial}, which is stated")]
    BelowStated {
        /// The list's.
        serial: u64,
        /// The least that is taken.
        min_serial: u64,
    },
    /// Its serial is below one that was taken: a roll-back.
    #[error("its serial {serial} is below {held}, which was taken")]
    Older {
        /// The list's.
        serial: u64,
        /// The one that was taken.
        held: u64,
    },
    /// There are two lists of one serial.
    #[error("it is another list with serial {serial} than the one that was taken")]
    Forked {
        /// The serial of both.
        serial: u64,
    },
    /// It has the next serial and follows another list.
    #[error("it does not follow the list with serial {held}, which was taken")]
    NotTheNext {
        /// The serial that was taken.
        held: u64,
    },
    /// The name's list was taken under another list key.
    #[error("a list was taken under another list key; `vhsm wipe` or a reboot forgets that")]
    OtherListKey,
    /// The signer is stated otherwise than when the round began.
    #[error("the signer is stated otherwise than when the round began")]
    PolicyChanged,
    /// More names than lists are kept of.
    #[error("lists of {MAX_HELD} names are kept, and no more")]
    TooManyNames,
    /// The locked memory is full.
    #[error("the locked arena has no room left")]
    ArenaFull,
}

impl HeldList {
    fn read(
        bytes: &[u8],
        list_key: &[u8; 65],
        since_boot_ms: u64,
    ) -> Result<Self, SignerListError> {
        let unverified = UnverifiedSignerList::parse(bytes)?;
        let digest = unverified.digest();
        // What stands in its header is not looked at: there is one key that it may be.
        let list = unverified
            .verified_by(|parts, signature| verify_p256_sha256(list_key, parts, signature))?;
        let kid = |point| sha256(&[&p256_spki(point)]);
        Ok(Self {
            kids: list.keys.iter().map(|key| kid(&key.point)).collect(),
            list,
            digest,
            list_key: *list_key,
            since_boot_ms: AtomicU64::new(since_boot_ms),
        })
    }

    /// Whether it is what `rule` speaks of.
    pub(crate) fn is_of(&self, rule: &ListedSigner) -> bool {
        self.list.owner == rule.name
            && self.list_key == rule.list_key
            && self.list.serial >= rule.min_serial
    }

    /// The keys whose signature counts at this moment.
    pub(crate) fn believed(
        &self,
        rule: &ListedSigner,
        now: Now,
    ) -> impl Iterator<Item = Believed<'_>> {
        let is_fresh = self.age_ms(now) <= rule.max_age_ms;
        let keys = self.list.keys.iter().zip(&self.kids);
        keys.filter(move |(key, _)| is_fresh && key.counts_at(now.wall_secs))
            .map(|(key, kid)| Believed {
                kid,
                point: &key.point,
            })
    }

    /// Whether it has this key, whenever that counts.
    pub(crate) fn names(&self, point: &[u8; 65]) -> bool {
        self.list.keys.iter().any(|key| key.point == *point)
    }

    fn age_ms(&self, now: Now) -> u64 {
        let since = self.since_boot_ms.load(Ordering::Relaxed);
        now.boot_ms.saturating_sub(since)
    }
}

impl SignerLists {
    /// What an earlier process has left, each believed only as far as its own signature goes.
    pub(crate) fn recover(records: Vec<Record>) -> (Self, Vec<String>) {
        let mut held = Held::default();
        let mut refused = Vec::new();
        for record in records {
            match record::read(&record) {
                Ok(list) => {
                    let name = list.list.owner.clone();
                    held.by_name.insert(name, (Arc::new(list), record));
                }
                Err(fault) => {
                    refused.push(format!("a list of signers is not taken: {fault}"));
                    held.strange.push(record);
                }
            }
        }
        let lists = Self {
            held: Mutex::new(held),
        };
        (lists, refused)
    }

    /// All of them, for the policy to choose from.
    pub(crate) fn all(&self) -> HeldLists {
        self.lock().all()
    }

    /// The same, and no list is taken before `act` has done with them.
    pub(crate) fn under_lock<R>(&self, act: impl FnOnce(HeldLists) -> R) -> R {
        let held = self.lock();
        act(held.all())
    }

    /// Takes a list that a round has brought whose key was made at `made_boot_ms`, or refuses it
    /// and changes nothing. Gives it, unless it is the one that was here.
    pub(crate) fn take(
        &self,
        rule: &ListedSigner,
        bytes: &[u8],
        made_boot_ms: u64,
        (current, keys): (&CurrentPolicy, &Keys),
    ) -> Result<Option<ListTaken>, SignerListFault> {
        let list = HeldList::read(bytes, &rule.list_key, made_boot_ms)
            .map_err(|error| SignerListFault::NotSigned(Arc::new(error)))?;
        let serial = list.list.serial;
        if list.list.owner != rule.name {
            return Err(SignerListFault::OtherOwner);
        }
        if serial < rule.min_serial {
            let min_serial = rule.min_serial;
            return Err(SignerListFault::BelowStated { serial, min_serial });
        }
        let mut held = self.lock();
        let policy = current.policy();
        if policy.listed_signer(&rule.name).map(|rule| &**rule) != Some(rule) {
            return Err(SignerListFault::PolicyChanged);
        }
        if let Some((before, record)) = held.by_name.get(&rule.name) {
            before.allows(&list)?;
            if before.list.serial == serial {
                before
                    .since_boot_ms
                    .fetch_max(made_boot_ms, Ordering::Relaxed);
                record::renew(record, made_boot_ms);
                return Ok(None);
            }
        }
        let taken = ListTaken {
            signer: rule.name.clone(),
            serial,
            digest: list.digest,
            keys: list.list.keys.len(),
        };
        held.put(&policy, list, bytes)?;
        let lists = held.all();
        // As with a policy: what is sealed may be somebody else's now.
        current.replace(|policy| policy.with_lists(lists), || keys.seal.note(true));
        Ok(Some(taken))
    }

    /// Forgets all of them: only while records that are dropped are not kept.
    pub(crate) fn forget(&self) {
        *self.lock() = Held::default();
    }

    /// What the process leaves behind.
    #[cfg(test)]
    pub(crate) fn leave(&self) -> Vec<Record> {
        let mut held = self.lock();
        let records = held.by_name.drain().map(|(_, (_, record))| record);
        records.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldList {
    /// Whether `next` may take its place.
    fn allows(&self, next: &Self) -> Result<(), SignerListFault> {
        let (held, serial) = (self.list.serial, next.list.serial);
        if self.list_key != next.list_key {
            return Err(SignerListFault::OtherListKey);
        }
        if serial < held {
            return Err(SignerListFault::Older { serial, held });
        }
        if serial == held && next.digest != self.digest {
            return Err(SignerListFault::Forked { serial });
        }
        // Those between are not known here: a serial further on is taken without them.
        let is_next = serial.checked_sub(1) == Some(held);
        if is_next && next.list.previous != Some(self.digest) {
            return Err(SignerListFault::NotTheNext { held });
        }
        Ok(())
    }
}

impl Held {
    fn all(&self) -> HeldLists {
        let lists = self.by_name.iter();
        lists
            .map(|(name, (list, _))| (name.clone(), Arc::clone(list)))
            .collect()
    }

    fn put(
        &mut self,
        policy: &ActivePolicy,
        list: HeldList,
        bytes: &[u8],
    ) -> Result<(), SignerListFault> {
        let name = list.list.owner.clone();
        if let Some((before, record)) = self.by_name.get_mut(&name) {
            record::replace(record, &list, bytes).map_err(|_| SignerListFault::ArenaFull)?;
            *before = Arc::new(list);
            return Ok(());
        }
        if self.by_name.len() >= MAX_HELD {
            let mut names = self.by_name.keys();
            let other = names.find(|name| policy.listed_signer(name).is_none());
            let other = other.cloned().ok_or(SignerListFault::TooManyNames)?;
            if let Some((_, record)) = self.by_name.remove(&other) {
                record.erase();
            }
        }
        // Of two records of one name a later process would take either.
        let id = record::id(&name);
        let strange = std::mem::take(&mut self.strange).into_iter();
        let (same, strange): (Vec<_>, _) = strange.partition(|record| record.id() == id);
        self.strange = strange;
        same.into_iter().for_each(Record::erase);
        let record = record::write(&list, bytes).map_err(|_| SignerListFault::ArenaFull)?;
        self.by_name.insert(name, (Arc::new(list), record));
        Ok(())
    }
}

impl ActivePolicy {
    /// Signers whose list should be brought again, before it counts no more, and by whom.
    pub(crate) fn lists_due(&self, now: Now) -> impl Iterator<Item = (&str, &[String])> {
        self.listed_signers().filter_map(move |rule| {
            let list = self.list(&rule.name)?;
            let is_due = list.age_ms(now) > rule.max_age_ms / 2;
            is_due.then(|| (rule.name.as_str(), self.services_of_list(&rule.name)))
        })
    }

    /// Whether a signer of `rule` has a list and none that counts is here.
    pub(crate) fn lacks_list(&self, rule: &KeyRule, now: Now) -> bool {
        let mut listed = rule
            .signer
            .iter()
            .filter_map(|name| self.listed_signer(name));
        listed.any(|signer| {
            let list = self.list(&signer.name);
            list.is_none_or(|list| list.age_ms(now) > signer.max_age_ms)
        })
    }

    /// Those that are here, by the name of their signer.
    pub(crate) fn lists_here(&self) -> impl Iterator<Item = SignerStatus<'_>> {
        self.listed_signers().filter_map(|rule| {
            let held = &self.list(&rule.name)?.list;
            Some(SignerStatus {
                signer: &rule.name,
                serial: held.serial,
                keys: u64::try_from(held.keys.len()).unwrap_or(u64::MAX),
            })
        })
    }

    /// What an operator should know of the lists.
    pub(crate) fn warnings_of_lists(&self, now: Now) -> impl Iterator<Item = String> {
        self.listed_signers().filter_map(move |rule| {
            let name = &rule.name;
            match self.list(name) {
                None => Some(format!(
                    "no list of signer {name} has come: nothing that it signed is believed"
                )),
                Some(list) if list.age_ms(now) > rule.max_age_ms => Some(format!(
                    "the list of signer {name} is older than its max-age: nothing that it signed \
                     is believed"
                )),
                Some(_) => None,
            }
        })
    }
}

impl Vault {
    /// The serial of the list of this signer that counts, and how many keys it names.
    pub fn signer_list(&self, name: &str) -> Option<(u64, usize)> {
        let policy = self.policy();
        let held = policy.list(name)?;
        Some((held.list.serial, held.list.keys.len()))
    }
}

/// Lists that are to be in one order, each once, by the policy of this moment.
pub(crate) fn lists_of<'p>(
    policy: &'p ActivePolicy,
    keys: &BTreeMap<ResourcePath, Vec<Arc<KeyRule>>>,
) -> HashMap<&'p str, &'p Arc<ListedSigner>> {
    keys.values()
        .flatten()
        .flat_map(|rule| &rule.signer)
        .filter_map(|name| policy.listed_signer(name))
        .map(|signer| (signer.name.as_str(), signer))
        .collect()
}

/// Resources that one order has room for, beside the lists.
pub(crate) fn room_beside_lists(set: &PolicySet) -> usize {
    use nitride_protocol::limits::MAX_RESOURCES_PER_ROUND;
    MAX_RESOURCES_PER_ROUND.saturating_sub(set.listed_signers.len())
}
