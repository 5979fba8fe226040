use super::{Material, Nonces, OwnPolicy, Voucher};
use crate::access::Wanted;
use crate::policy::{ActivePolicy, KeyRule};
use crate::{Draw, Now, Refusal};
use nitride_kbs::resource::ResourcePath;
use nitride_protocol::{KeyNameBuf, KeyState, KeyType, Origin};
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

/// What a key is, now.
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
    /// Ascending; at least one.
    pub(crate) versions: Vec<Version>,
    /// What was disabled or destroyed of the resources that it was provisioned from before.
    pub(super) former: Vec<Former>,
}

/// A version that an administrator has changed, of a resource that the key rule no longer speaks
/// of. Should it speak of it again, the version is as it was left.
#[derive(Debug, Clone)]
pub(super) struct Former {
    pub(super) origin_uri: String,
    pub(super) number: u32,
    /// Disabled or destroyed.
    pub(super) state: KeyState,
}

/// One version.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) number: u32,
    /// Enabled, disabled or destroyed.
    pub(crate) state: KeyState,
    pub(crate) own: OwnPolicy,
    pub(crate) voucher: Voucher,
    /// Since when the lease counts.
    pub(crate) since_boot_ms: u64,
    /// `None` once it is destroyed or its lease has run out.
    pub(crate) material: Option<Material>,
    pub(crate) nonces: Nonces,
    uses: AtomicU64,
}

/// For how long a version stays; the shorter of what travels with it and what its rule says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease(Option<u64>);

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

    pub(crate) fn write(&self) -> Result<RwLockWriteGuard<'_, Body>, Refusal> {
        self.body.write().map_err(|_| POISONED)
    }

    /// Zeroes the material of every version whose lease has run out.
    pub(crate) fn drop_lapsed(&self, rule: Option<&KeyRule>, now: Now) -> Result<(), Refusal> {
        let has_lapsed = |version: &Version| {
            version.material.is_some() && Lease::of(version, rule).has_run_out(version, now)
        };
        if !self.read()?.versions.iter().any(has_lapsed) {
            return Ok(());
        }
        // Asked again under the lock: it may have been renewed in between.
        let mut body = self.write()?;
        for version in body.versions.iter_mut().filter(|v| has_lapsed(v)) {
            version.material = None;
        }
        Ok(())
    }
}

const POISONED: Refusal = Refusal::Internal {
    what: "a thread panicked while it changed a key",
};

impl Body {
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

    /// Its state as it is shown: pending, if it would have to be fetched again.
    pub(crate) fn shown_state(&self, rule: Option<&KeyRule>, now: Now) -> KeyState {
        match self.state {
            KeyState::Enabled if !self.versions.iter().any(|v| v.is_here(rule, now)) => {
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
            newest.voucher.counts(policy, rule) && newest.is_here(Some(rule), now)
        })
    }

    /// Zeroes one version or all of them, for good.
    pub(crate) fn destroy(&mut self, number: Option<u32>) {
        for version in &mut self.versions {
            if number.is_none_or(|number| number == version.number) {
                version.state = KeyState::Destroyed;
                version.material = None;
            }
        }
        let is_gone = |version: &Version| version.state == KeyState::Destroyed;
        if self.versions.iter().all(is_gone) {
            self.state = KeyState::Destroyed;
        }
    }
}

impl Version {
    pub(crate) fn new(
        number: u32,
        material: Material,
        own: OwnPolicy,
        voucher: Voucher,
        now: Now,
        draw: &mut dyn Draw,
    ) -> Self {
        Self {
            number,
            state: KeyState::Enabled,
            own,
            voucher,
            since_boot_ms: now.boot_ms,
            material: Some(material),
            nonces: Nonces::new(draw),
            uses: AtomicU64::new(0),
        }
    }

    pub(crate) fn uses(&self) -> u64 {
        self.uses.load(Ordering::Relaxed)
    }

    pub(crate) fn count_use(&self) {
        self.uses.fetch_add(1, Ordering::Relaxed);
    }

    fn is_here(&self, rule: Option<&KeyRule>, now: Now) -> bool {
        self.material.is_some() && !Lease::of(self, rule).has_run_out(self, now)
    }
}

impl Lease {
    pub(crate) fn of(version: &Version, rule: Option<&KeyRule>) -> Self {
        // A key that nobody could fetch again has no lease: the policy takes none for it.
        if version.voucher == Voucher::Vault {
            return Self(None);
        }
        let stated = [
            version.own.lease_secs,
            rule.and_then(|rule| rule.lease_secs),
        ];
        Self(stated.into_iter().flatten().min())
    }

    pub(crate) fn has_run_out(self, version: &Version, now: Now) -> bool {
        self.left_ms(version, now) == Some(0)
    }

    /// Milliseconds that are left; `None` is for ever.
    pub(crate) fn left_ms(self, version: &Version, now: Now) -> Option<u64> {
        let lease_ms = self.0?.saturating_mul(1000);
        let end_boot_ms = version.since_boot_ms.saturating_add(lease_ms);
        Some(end_boot_ms.saturating_sub(now.boot_ms))
    }
}
