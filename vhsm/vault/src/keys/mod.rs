//! The key table: who has which name, how many there may be, and how keys come in.

mod key;
mod material;
mod nonce;
mod provision;
mod terms;

pub(crate) use key::{Body, Key, Lease, Version};
pub(crate) use material::{Expanded, Material};
use nonce::Nonces;
pub(crate) use provision::{CommitRefused, Delivered};
pub(crate) use terms::{OwnPolicy, Owner, Voucher};

use crate::permissions::uses_of;
use crate::policy::{ActivePolicy, KeyRule, Source};
use crate::{Draw, Now, Refusal, VaultLimits};
use nitride_protocol::{KeyName, KeyNameBuf, KeyState, KeyType, Operation, OperationSet, Origin};
use nitride_secmem::crypto::sha256;
use nitride_secmem::{Usage, usage};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Every key, the destroyed ones too: a name keeps its key for as long as the vault runs.
#[derive(Debug)]
pub(crate) struct Keys {
    table: RwLock<Table>,
    limits: VaultLimits,
    /// How full the arenas are.
    pub(crate) usage: fn() -> Usage,
}

#[derive(Debug, Default)]
struct Table {
    by_name: BTreeMap<KeyNameBuf, Arc<Key>>,
    /// Keys that no key rule speaks of, by the user who made them. Names with a rule are bounded
    /// by the policy, and nobody else's keys may keep them out.
    of_uid: HashMap<u32, u64>,
}

/// A key that somebody asks for by `generate` or `import`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewKey<'n> {
    pub(crate) name: KeyName<'n>,
    pub(crate) key_type: KeyType,
    /// What it may be used for; `None` is all that its type can.
    pub(crate) operations: Option<OperationSet>,
    pub(crate) rule: Option<&'n KeyRule>,
    pub(crate) uid: u32,
    pub(crate) now: Now,
}

impl Keys {
    pub(crate) fn new(limits: VaultLimits) -> Self {
        let table = RwLock::default();
        Self {
            table,
            limits,
            usage,
        }
    }

    /// The key of this name, in whatever state.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Arc<Key>>, Refusal> {
        Ok(self.read()?.by_name.get(name).cloned())
    }

    /// How many keys there are, the destroyed ones included.
    pub(crate) fn count(&self) -> Result<usize, Refusal> {
        Ok(self.read()?.by_name.len())
    }

    /// At most `max` keys in the order of their names, from `from` on.
    pub(crate) fn page(&self, from: Bound<&str>, max: usize) -> Result<Vec<Arc<Key>>, Refusal> {
        let table = self.read()?;
        let keys = table.by_name.range::<str, _>((from, Bound::Unbounded));
        Ok(keys.take(max).map(|(_, key)| Arc::clone(key)).collect())
    }

    /// Makes a key by request; gives its version.
    pub(crate) fn generate(&self, new: NewKey<'_>, draw: &mut dyn Draw) -> Result<u32, Refusal> {
        let own = new.own_policy(Operation::Generate)?;
        self.insert(new.name, new.rule, new.uid, || {
            let material = Material::generate(new.key_type, draw)?;
            let mut id = [0; 16];
            draw.fill(&mut id);
            Ok(new.body(Origin::Generated, id, own, material, draw))
        })
    }

    /// Takes a key from an administrator; gives its version. `material` lies in the arena.
    pub(crate) fn import(
        &self,
        new: NewKey<'_>,
        material: &[u8],
        draw: &mut dyn Draw,
    ) -> Result<u32, Refusal> {
        let own = new.own_policy(Operation::Import)?;
        self.insert(new.name, new.rule, new.uid, || {
            let material = Material::from_raw(new.key_type, material)?;
            // The same in every vault that imports it under this name, so that what one of them
            // encrypts another one opens.
            let id = public_id("imported", new.name.as_str());
            Ok(new.body(Origin::Imported, id, own, material, draw))
        })
    }

    /// The key that its rule says to make, or the one that another thread has made meanwhile.
    pub(crate) fn generate_at_first_use(
        &self,
        rule: &KeyRule,
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<Arc<Key>, Refusal> {
        let new = NewKey {
            name: rule.name.as_name(),
            key_type: rule.key_type,
            operations: None,
            rule: Some(rule),
            uid: 0,
            now,
        };
        match self.generate(new, draw) {
            Ok(_) | Err(Refusal::KeyExists | Refusal::KeyDestroyed) => {}
            Err(refusal) => return Err(refusal),
        }
        self.find(rule.name.as_str())?.ok_or(Refusal::KeyNotFound)
    }

    /// Zeroes whatever leases have run out.
    pub(crate) fn sweep(&self, policy: &ActivePolicy, now: Now) -> Result<(), Refusal> {
        self.for_each(|key| {
            let rule = policy.key_rule(key.name().as_str());
            key.drop_lapsed(rule.map(|rule| &**rule), now)
        })
    }

    /// Draws new nonce prefixes for every key: the VM may have been copied.
    pub(crate) fn renew_nonce_prefixes(&self, draw: &mut dyn Draw) -> Result<(), Refusal> {
        self.for_each(|key| {
            for version in &mut key.write()?.versions {
                version.nonces.renew_prefix(draw);
            }
            Ok(())
        })
    }

    /// Every key in turn, without holding the table meanwhile; what fails keeps no other from its
    /// turn, and the first failure is given.
    fn for_each(&self, mut act: impl FnMut(&Key) -> Result<(), Refusal>) -> Result<(), Refusal> {
        const PAGE_LEN: usize = 256;
        let mut result = Ok(());
        let mut page = self.page(Bound::Unbounded, PAGE_LEN)?;
        while let Some(last) = page.last() {
            result = page.iter().fold(result, |result, key| result.and(act(key)));
            let from = Bound::Excluded(last.name().as_str());
            page = self.page(from, PAGE_LEN)?;
        }
        result
    }

    /// Puts what `make` makes under a free name; gives its version.
    fn insert(
        &self,
        name: KeyName<'_>,
        rule: Option<&KeyRule>,
        uid: u32,
        make: impl FnOnce() -> Result<Body, Refusal>,
    ) -> Result<u32, Refusal> {
        let mut table = self.write()?;
        if let Some(key) = table.by_name.get(name.as_str()) {
            return Err(match key.read()?.state {
                KeyState::Destroyed => Refusal::KeyDestroyed,
                _ => Refusal::KeyExists,
            });
        }
        let of_uid = table.of_uid.get(&uid).copied().unwrap_or(0);
        if rule.is_none() {
            if table.of_uid.values().sum::<u64>() >= self.limits.keys {
                return Err(Refusal::TooManyKeys);
            }
            if of_uid >= self.limits.keys_per_uid {
                return Err(Refusal::TooManyKeysOfUser);
            }
            if !has_room_to_spare((self.usage)()) {
                return Err(Refusal::ArenaReserved);
            }
        }
        let body = make()?;
        let version = body.newest_version();
        let key = Arc::new(Key::new(name.to_owned(), body));
        table.by_name.insert(name.to_owned(), key);
        if rule.is_none() {
            table.of_uid.insert(uid, of_uid + 1);
        }
        Ok(version)
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

/// Whether there is room for a key that no policy speaks of. The last quarter of each arena is for
/// the keys of the policy, for rounds and for buffers: whoever may generate keys must not be able
/// to keep everybody else from working.
fn has_room_to_spare(usage: Usage) -> bool {
    let spares = |used: usize, size: usize| used <= size / 4 * 3;
    spares(usage.records_used, usage.records_size) && spares(usage.heap_used, usage.heap_size)
}

impl NewKey<'_> {
    /// What travels with the key from now on, if it may be made at all.
    fn own_policy(&self, operation: Operation) -> Result<OwnPolicy, Refusal> {
        let key_type = self.key_type;
        let of_type = key_type.operations();
        let asked = self.operations.unwrap_or(of_type);
        if let Some(operation) = asked.iter().find(|op| !of_type.contains(*op)) {
            return Err(Refusal::WrongKeyType {
                key_type,
                operation,
            });
        }
        let operations = asked.intersection(uses_of(key_type));
        let mut allowed = operations;
        if let Some(rule) = self.rule {
            if rule.key_type != key_type {
                return Err(Refusal::WrongKeyType {
                    key_type,
                    operation,
                });
            }
            // What a service provisions is not for anybody here to make up.
            match (&rule.source, operation) {
                (Source::Local, _) | (Source::Generate, Operation::Generate) => {}
                _ => return Err(Refusal::KeyForbids { operation }),
            }
            // Not kept: the rule is asked at each use, as it is then.
            allowed = operations.intersection(rule.operations);
        }
        // A key for nothing is a mistake, and would stand in the way of a right one.
        if allowed.is_empty() {
            return Err(Refusal::KeyForbids { operation });
        }
        Ok(OwnPolicy {
            operations,
            release_to: None,
            lease_secs: None,
            not_after: None,
        })
    }

    fn body(
        &self,
        origin: Origin,
        id: [u8; 16],
        own: OwnPolicy,
        material: Material,
        draw: &mut dyn Draw,
    ) -> Body {
        Body {
            id,
            key_type: self.key_type,
            origin,
            origin_uri: None,
            born_under_rule: self.rule.is_some(),
            state: KeyState::Enabled,
            created_secs: self.now.wall_secs,
            versions: vec![Version::new(
                1,
                material,
                own,
                Voucher::Vault,
                self.now,
                draw,
            )],
            former: Vec::new(),
        }
    }
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
