//! The key table: who has which name, how many there may be, and how keys come in.

mod durable;
mod image;
mod key;
mod lease;
mod lifecycle;
mod material;
mod new_key;
mod nonce;
mod provision;
mod rate;
pub(crate) mod record;
mod sealed;
mod terms;

pub(crate) use image::KeyImage;
pub(crate) use key::{Body, Key, Version};
pub(crate) use lease::{Lease, Renewable};
pub(crate) use material::{Expanded, ExpandedCache, Live, Material, Wrapping, curve_of};
pub(crate) use new_key::NewKey;
use nonce::Nonces;
pub(crate) use provision::{CommitRefused, Delivered};
pub(crate) use sealed::{SealedKey, SealedKeys};
pub(crate) use terms::{OwnPolicy, Owner, Voucher};

use crate::policy::{ActivePolicy, KeyRule};
use crate::{Draw, Now, Refusal, VaultLimits};
use durable::Durable;
pub(crate) use durable::Noted;
use new_key::Making;
use nitride_protocol::{KeyNameBuf, KeyState, Operation, Origin};
use nitride_secmem::crypto::sha256;
use nitride_secmem::{Record, SecretBuf, Usage, usage};
use rate::Buckets;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Every key, the destroyed ones too: a name keeps its key for as long as its record lives.
#[derive(Debug)]
pub(crate) struct Keys {
    table: RwLock<Table>,
    limits: VaultLimits,
    buckets: Buckets,
    /// What the library made of keys that were used lately.
    pub(crate) expanded: ExpandedCache,
    /// How full the arenas are.
    pub(crate) usage: fn() -> Usage,
    /// What the seal has to know, and whether it can.
    pub(crate) seal: Durable,
    /// What was found and not understood: never touched, so that a later vault finds it.
    held: Mutex<Vec<Record>>,
}

#[derive(Debug, Default)]
struct Table {
    by_name: BTreeSet<Named>,
    /// Keys that no key rule speaks of, by the user who made them. Names with a rule are bounded
    /// by the policy, and nobody else's keys may keep them out.
    of_uid: HashMap<u32, u64>,
    /// All of `of_uid`.
    unruled: u64,
    /// Keys that a lease may end: what has to be looked at once a second.
    leased: Vec<Arc<Key>>,
    /// Keys that no service could bring again.
    irreplaceable: u64,
}

/// A key under its name.
#[derive(Debug)]
struct Named(Arc<Key>);

impl Keys {
    /// A table of what was found again; the daemon logs what was not, and why.
    pub(crate) fn new(limits: VaultLimits, records: Vec<Record>) -> (Self, Vec<String>) {
        let found = record::recover(records);
        let mut table = Table::default();
        let keys = found.keys.into_iter();
        let keys: Vec<_> = keys
            .map(|(name, body)| {
                table.count(&body);
                let is_leased = is_leased(&body);
                let key = Arc::new(Key::new(name, body));
                if is_leased {
                    table.leased.push(Arc::clone(&key));
                }
                Named(key)
            })
            .collect();
        table.by_name = keys.into_iter().collect();
        let keys = Self {
            table: RwLock::new(table),
            limits,
            buckets: Buckets::default(),
            expanded: ExpandedCache::new(limits.expanded_len),
            usage,
            seal: Durable::default(),
            held: Mutex::new(found.held),
        };
        (keys, found.refused)
    }

    /// The key of this name, in whatever state.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Arc<Key>>, Refusal> {
        Ok(self.read()?.find(name).cloned())
    }

    /// How many keys there are, the destroyed ones included.
    pub(crate) fn count(&self) -> Result<usize, Refusal> {
        Ok(self.read()?.by_name.len())
    }

    /// What an operator should know of the keys.
    pub(crate) fn warnings(
        &self,
        policy: &ActivePolicy,
        are_records_kept: bool,
        now: Now,
    ) -> Result<Vec<String>, Refusal> {
        let mut warnings = Vec::new();
        let len = self.held().len();
        if len > 0 {
            warnings.push(format!(
                "{len} records were not understood, and their keys are not there"
            ));
        }
        let sealed = self.sealed_and_irreplaceable(policy)?;
        let irreplaceable = self.read()?.irreplaceable.saturating_sub(sealed);
        if irreplaceable > 0 && !are_records_kept {
            warnings.push(format!(
                "{irreplaceable} keys were made here and end with the process: nothing can bring \
                 them back"
            ));
        }
        for (name, rule) in policy.key_rules() {
            if rule.rotates()
                && let Some(key) = self.find(name.as_str())?
                && key.read()?.is_due(rule, now)
            {
                warnings.push(format!("key {name} should have been rotated, and was not"));
            }
        }
        Ok(warnings)
    }

    /// How many keys that no service could bring again the seal brings.
    fn sealed_and_irreplaceable(&self, policy: &ActivePolicy) -> Result<u64, Refusal> {
        let mut sealed = 0;
        if !self.seal.is_open() {
            return Ok(sealed);
        }
        for (name, rule) in policy.key_rules() {
            if rule.is_sealed()
                && let Some(key) = self.find(name.as_str())?
            {
                let body = key.read()?;
                sealed += u64::from(is_irreplaceable(&body) && body.is_sealed(Some(rule)));
            }
        }
        Ok(sealed)
    }

    /// Whether a sealed key that is here gets older, or nearer to a limit, by what the seal does
    /// not count as a change.
    pub(crate) fn age_in_seal(&self, policy: &ActivePolicy) -> Result<bool, Refusal> {
        for (name, rule) in policy.key_rules() {
            let ages = rule.rotates() || rule.operations.contains(Operation::Encrypt);
            if rule.is_sealed()
                && ages
                && let Some(key) = self.find(name.as_str())?
                && key.read()?.state == KeyState::Enabled
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// At most `max` keys in the order of their names, from `from` on.
    pub(crate) fn page(&self, from: Bound<&str>, max: usize) -> Result<Vec<Arc<Key>>, Refusal> {
        let table = self.read()?;
        let keys = table.by_name.range::<str, _>((from, Bound::Unbounded));
        Ok(keys.take(max).map(|key| Arc::clone(&key.0)).collect())
    }

    /// Makes a key by request; gives its version.
    pub(crate) fn generate(&self, new: NewKey<'_>, draw: &mut dyn Draw) -> Result<u32, Refusal> {
        let terms = new.terms(Operation::Generate)?;
        self.has_place(&new)?;
        let material = Material::draw(new.key_type, draw)?;
        let mut id = [0; 16];
        draw.fill(&mut id);
        let making = Making {
            origin: Origin::Generated,
            id,
            terms,
            material: &material,
        };
        self.insert(new, making, draw)
    }

    /// Takes a key from an administrator; gives its version. `material` lies in the arena.
    pub(crate) fn import(
        &self,
        new: NewKey<'_>,
        material: &[u8],
        draw: &mut dyn Draw,
    ) -> Result<u32, Refusal> {
        let terms = new.terms(Operation::Import)?;
        self.has_place(&new)?;
        let making = Making {
            origin: Origin::Imported,
            // The same in every vault that imports it under this name, so that what one of them
            // encrypts another one opens.
            id: public_id("imported", new.name.as_str()),
            terms,
            material: &Material::accept(new.key_type, material)?,
        };
        self.insert(new, making, draw)
    }

    /// Takes a key that an operation has made out of another one, as it is stored, under the
    /// `terms` that follow from that one's; gives its version.
    pub(crate) fn adopt(
        &self,
        new: NewKey<'_>,
        origin: Origin,
        terms: OwnPolicy,
        material: &SecretBuf,
        id: [u8; 16],
        draw: &mut dyn Draw,
    ) -> Result<u32, Refusal> {
        new.check(&terms, Operation::Import)?;
        let making = Making {
            origin,
            id,
            terms,
            material,
        };
        self.insert(new, making, draw)
    }

    /// The key that its rule says to make, or the one that another thread has made meanwhile.
    pub(crate) fn generate_at_first_use(
        &self,
        (rule, noted): (&KeyRule, &Noted),
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<Arc<Key>, Refusal> {
        let new = NewKey {
            name: rule.name.as_name(),
            key_type: rule.key_type,
            operations: None,
            wrappable_by: None,
            rule: Some(rule),
            noted,
            uid: 0,
            now,
        };
        match self.generate(new, draw) {
            Ok(_) | Err(Refusal::KeyExists | Refusal::KeyDestroyed) => {}
            Err(refusal) => return Err(refusal),
        }
        self.find(rule.name.as_str())?.ok_or(Refusal::KeyNotFound)
    }

    /// Zeroes whatever leases have run out; what fails keeps no other from its turn, and the first
    /// failure is given.
    pub(crate) fn sweep(&self, policy: &ActivePolicy, now: Now) -> Result<(), Refusal> {
        self.buckets.clear_full(now);
        let leased = self.read()?.leased.clone();
        let mut result = Ok(());
        for key in leased {
            let rule = policy.key_rule(key.name().as_str());
            result = result.and(key.drop_lapsed(rule.map(|rule| &**rule), now));
        }
        result
    }

    /// Draws new nonce prefixes for every key: the VM may have been copied.
    pub(crate) fn renew_nonce_prefixes(&self, draw: &mut dyn Draw) -> Result<(), Refusal> {
        const PAGE_LEN: usize = 256;
        let mut result = Ok(());
        let mut page = self.page(Bound::Unbounded, PAGE_LEN)?;
        while let Some(last) = page.last() {
            for key in &page {
                // Alone: no use may be between its prefix and its number.
                match key.write() {
                    Ok(body) => body
                        .versions
                        .iter()
                        .for_each(|version| version.nonces().renew_prefix(draw)),
                    Err(refusal) => result = result.and(Err(refusal)),
                }
            }
            let from = Bound::Excluded(last.name().as_str());
            page = self.page(from, PAGE_LEN)?;
        }
        result
    }

    /// Counts a key that was made here and is destroyed.
    fn count_ended(&self) -> Result<(), Refusal> {
        let mut table = self.write()?;
        table.irreplaceable = table.irreplaceable.saturating_sub(1);
        Ok(())
    }

    /// Whether there would be a place for the key now, before it costs anything to make one.
    fn has_place(&self, new: &NewKey<'_>) -> Result<(), Refusal> {
        self.place(&*self.read()?, new)
    }

    /// Puts a key under a free name; gives its version.
    fn insert(
        &self,
        new: NewKey<'_>,
        making: Making<'_>,
        draw: &mut dyn Draw,
    ) -> Result<u32, Refusal> {
        let mut table = self.write()?;
        self.place(&table, &new)?;
        let noted = new.noted;
        let is_sealed = new.rule.is_some_and(KeyRule::is_sealed);
        if making.terms.max_uses.is_some() {
            self.seal.may_promise(is_sealed)?;
        }
        let (name, body) = new.write(making, draw)?;
        let version = body.newest_version();
        table.add(name, body);
        self.seal.note_by(noted, is_sealed);
        Ok(version)
    }

    fn place(&self, table: &Table, new: &NewKey<'_>) -> Result<(), Refusal> {
        if let Some(key) = table.find(new.name.as_str()) {
            return Err(match key.read()?.state {
                KeyState::Destroyed => Refusal::KeyDestroyed,
                _ => Refusal::KeyExists,
            });
        }
        let is_sealed = new.rule.is_some_and(KeyRule::is_sealed);
        self.seal.may_change(is_sealed)?;
        if new.rule.is_none() {
            if table.unruled >= self.limits.keys {
                return Err(Refusal::TooManyKeys);
            }
            let of_uid = table.of_uid.get(&new.uid).copied().unwrap_or(0);
            if of_uid >= self.limits.keys_per_uid {
                return Err(Refusal::TooManyKeysOfUser);
            }
            if !has_room_to_spare((self.usage)()) {
                return Err(Refusal::ArenaReserved);
            }
        }
        Ok(())
    }

    /// Erases every key, those that were not understood too. One that is in use at this moment is
    /// erased when its use ends.
    pub(crate) fn forget(&self) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        *table = Table::default();
        drop(table);
        self.held().clear();
    }

    fn held(&self) -> MutexGuard<'_, Vec<Record>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> Result<RwLockReadGuard<'_, Table>, Refusal> {
        self.table.read().map_err(|_| POISONED)
    }

    fn write(&self) -> Result<RwLockWriteGuard<'_, Table>, Refusal> {
        self.table.write().map_err(|_| POISONED)
    }
}

const POISONED: Refusal = Refusal::Internal {
    what: "a thread panicked while it changed the key table",
};

impl Table {
    fn find(&self, name: &str) -> Option<&Arc<Key>> {
        self.by_name.get(name).map(|key| &key.0)
    }

    /// The caller has seen that the name is free.
    fn add(&mut self, name: KeyNameBuf, body: Body) {
        self.count(&body);
        let is_leased = is_leased(&body);
        let key = Arc::new(Key::new(name, body));
        if is_leased {
            self.leased.push(Arc::clone(&key));
        }
        self.by_name.insert(Named(key));
    }

    fn count(&mut self, body: &Body) {
        if let Some(uid) = body.maker {
            *self.of_uid.entry(uid).or_default() += 1;
            self.unruled += 1;
        }
        self.irreplaceable += u64::from(is_irreplaceable(body));
    }
}

/// Whether no service could bring it again.
fn is_irreplaceable(body: &Body) -> bool {
    body.origin != Origin::Provisioned && body.state != KeyState::Destroyed
}

/// Whether a lease, its own or its rule's, may ever end it.
fn is_leased(body: &Body) -> bool {
    body.origin == Origin::Provisioned || body.terms.lease_secs.is_some()
}

impl Named {
    fn as_str(&self) -> &str {
        self.0.name().as_str()
    }
}

impl Borrow<str> for Named {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Named {}

impl PartialOrd for Named {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Named {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

/// Whether there is room for a key that no policy speaks of. The last quarter of each arena is for
/// the keys of the policy, for rounds and for buffers: whoever may generate keys must not be able
/// to keep everybody else from working.
fn has_room_to_spare(usage: Usage) -> bool {
    let spares = |used: usize, size: usize| used <= size / 4 * 3;
    spares(usage.records_used, usage.records_size) && spares(usage.heap_used, usage.heap_size)
}

/// The identity of a key that several vaults may hold; from what is known of it in public.
fn public_id(origin: &str, what: &str) -> [u8; 16] {
    let digest = sha256(&[
        b"nitride key identity\0",
        origin.as_bytes(),
        b"\0",
        what.as_bytes(),
    ]);
    let mut id = [0; 16];
    for (place, byte) in id.iter_mut().zip(digest) {
        *place = byte;
    }
    id
}
