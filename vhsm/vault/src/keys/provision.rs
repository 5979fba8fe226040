use super::key::{Body, Key, OwnPolicy, Version};
use super::{Keys, Material, public_id};
use crate::permissions::uses_of;
use crate::policy::{KeyRule, ReleaseTo, Source};
use crate::{Draw, Now, Refusal};
use nitride_protocol::limits::MAX_VERSIONS_LEN;
use nitride_protocol::{KeyState, OperationSet, Origin};
use std::sync::Arc;
use thiserror::Error;

/// A key that a round has brought and verified, with the policy that travels with it.
pub(crate) struct Delivered<'a> {
    /// What it was asked for by: name, type and resource are this rule's.
    pub(crate) rule: &'a KeyRule,
    pub(crate) version: u32,
    pub(crate) operations: OperationSet,
    /// Empty: to nobody.
    pub(crate) release_to: Vec<ReleaseTo>,
    pub(crate) lease_secs: Option<u64>,
    /// Wall clock in seconds.
    pub(crate) not_after_secs: Option<u64>,
    /// `kbs:///repo/type/tag`.
    pub(crate) origin_uri: String,
    /// In the arena.
    pub(crate) material: &'a [u8],
}

/// Why a provisioned key was not taken. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum CommitRefused {
    /// It came from elsewhere than its key rule says.
    #[error("the key is not from where its key rule says")]
    OtherSource,
    /// An older version than one that was here already.
    #[error("the key's version is older than version {held}, which was here")]
    OlderVersion {
        /// The newest that was here.
        held: u32,
    },
    /// Other material under the number of the version that is here.
    #[error("the key's version is here already with other material")]
    OtherMaterial,
    /// The name belongs to a key that was generated or imported here.
    #[error("a key that was made here has the name")]
    NotProvisioned,
    /// An administrator destroyed the key, or this version of it.
    #[error("the key was destroyed here")]
    Destroyed,
    /// The material is no key of its type.
    #[error("the material is no key of its type")]
    BadMaterial,
    /// As many versions as a key may have.
    #[error("the key has {MAX_VERSIONS_LEN} versions already")]
    TooManyVersions,
    /// No room in the locked memory.
    #[error("the locked arena has no room left")]
    ArenaFull,
    /// Something that should not happen.
    #[error("the vault could not take the key")]
    Internal(#[source] Refusal),
}

impl From<Refusal> for CommitRefused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::ArenaFull => Self::ArenaFull,
            Refusal::BadMaterial { .. } => Self::BadMaterial,
            refusal => Self::Internal(refusal),
        }
    }
}

impl Keys {
    /// Takes a provisioned key, or refuses it and changes nothing.
    ///
    /// A newer version is added, and its policy counts from now on. The version that is here
    /// already renews its lease, and its policy can only get narrower: whoever signs wider terms
    /// has to count the version up. An older version is a roll-back and refused, and so is
    /// whatever was destroyed here.
    pub(crate) fn commit_provisioned(
        &self,
        delivered: &Delivered<'_>,
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<(), CommitRefused> {
        let rule = delivered.rule;
        match &rule.source {
            Source::Kbs { path, .. } if path.to_uri() == delivered.origin_uri => {}
            _ => return Err(CommitRefused::OtherSource),
        }
        let material = Material::from_raw(rule.key_type, delivered.material)?;
        let version = Version::new(delivered.version, material, now, draw);

        let mut table = self.write()?;
        if let Some(key) = table.by_name.get(rule.name.as_str()) {
            return merge(&mut *key.write()?, delivered, version, now);
        }
        let key = Key::new(rule.name.clone(), delivered.body(version, now));
        table.by_name.insert(rule.name.clone(), Arc::new(key));
        Ok(())
    }

    /// Whether a round could bring the key that `rule` speaks of: nobody has it yet, its lease has
    /// run out, or the rule speaks of another resource than the one that is here. A key that was
    /// destroyed, disabled or made here is not missing.
    pub(crate) fn is_missing(&self, rule: &KeyRule, now: Now) -> bool {
        let (Source::Kbs { path, .. }, Ok(found)) = (&rule.source, self.find(rule.name.as_str()))
        else {
            return false;
        };
        let Some(key) = found else { return true };
        let Ok(body) = key.read() else { return false };
        let is_of_rule = body.key_type == rule.key_type && body.is_resource(path);
        body.origin == Origin::Provisioned
            && body.state == KeyState::Enabled
            && !(is_of_rule && body.shown_state(Some(rule), now) == KeyState::Enabled)
    }
}

impl Delivered<'_> {
    fn own_policy(&self) -> OwnPolicy {
        let uses = uses_of(self.rule.key_type);
        OwnPolicy {
            operations: self.operations.intersection(uses),
            release_to: Some(self.release_to.clone()),
            lease_secs: self.lease_secs,
            not_after: self.not_after_secs,
        }
    }

    fn body(&self, version: Version, now: Now) -> Body {
        Body {
            id: public_id("provisioned", &self.origin_uri),
            key_type: self.rule.key_type,
            origin: Origin::Provisioned,
            origin_uri: Some(self.origin_uri.clone()),
            born_under_rule: true,
            own: self.own_policy(),
            state: KeyState::Enabled,
            created_secs: now.wall_secs,
            versions: vec![version],
        }
    }
}

fn merge(
    body: &mut Body,
    delivered: &Delivered<'_>,
    version: Version,
    now: Now,
) -> Result<(), CommitRefused> {
    if body.origin != Origin::Provisioned {
        return Err(CommitRefused::NotProvisioned);
    }
    if body.state == KeyState::Destroyed {
        return Err(CommitRefused::Destroyed);
    }
    let is_same = body.origin_uri.as_ref() == Some(&delivered.origin_uri)
        && body.key_type == delivered.rule.key_type;
    if !is_same {
        // The key rule speaks of another resource now: it takes the place of the one before, and
        // what an administrator disabled stays disabled.
        let state = body.state;
        *body = delivered.body(version, now);
        body.state = state;
        return Ok(());
    }
    let held = body.newest_version();
    if version.number < held {
        return Err(CommitRefused::OlderVersion { held });
    }
    if version.number > held {
        if body.versions.len() >= MAX_VERSIONS_LEN {
            return Err(CommitRefused::TooManyVersions);
        }
        body.own = delivered.own_policy();
        body.versions.push(version);
        return Ok(());
    }
    if let Some(here) = body.versions.last_mut() {
        renew(here, version, now)?;
        body.own = body.own.narrowed_by(delivered.own_policy());
    }
    Ok(())
}

/// Renews the lease of the version that is here; its counters and its nonces go on.
fn renew(here: &mut Version, again: Version, now: Now) -> Result<(), CommitRefused> {
    if here.state == KeyState::Destroyed {
        return Err(CommitRefused::Destroyed);
    }
    match (&here.material, &again.material) {
        (Some(one), Some(other)) if !one.record().ct_eq(other.record().expose()) => {
            return Err(CommitRefused::OtherMaterial);
        }
        (Some(_), _) => {}
        (None, _) => here.material = again.material,
    }
    here.since_boot_ms = now.boot_ms;
    Ok(())
}

impl OwnPolicy {
    fn narrowed_by(&self, other: Self) -> Self {
        let shorter = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
        Self {
            operations: self.operations.intersection(other.operations),
            release_to: match (&self.release_to, other.release_to) {
                (Some(here), Some(mut other)) => {
                    other.retain(|to| here.contains(to));
                    Some(other)
                }
                (here, other) => here.clone().or(other),
            },
            lease_secs: shorter(self.lease_secs, other.lease_secs),
            not_after: shorter(self.not_after, other.not_after),
        }
    }
}
