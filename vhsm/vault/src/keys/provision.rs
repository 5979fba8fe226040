use super::key::{Body, Key, OwnPolicy, Version};
use super::{Keys, Material, public_id};
use crate::permissions::uses_of;
use crate::policy::{KeyRule, ReleaseTo, Source};
use crate::{Draw, Now, Refusal};
use nitride_protocol::limits::MAX_VERSIONS_LEN;
use nitride_protocol::{KeyName, KeyState, KeyType, OperationSet, Origin};
use std::sync::Arc;
use thiserror::Error;

/// What a verified envelope says of the key in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnvelopeFacts {
    pub(crate) version: u32,
    pub(crate) key_type: KeyType,
    pub(crate) operations: OperationSet,
    /// Empty: to nobody.
    pub(crate) release_to: Vec<ReleaseTo>,
    pub(crate) lease_secs: Option<u64>,
    /// Wall clock in seconds.
    pub(crate) not_after: Option<u64>,
    pub(crate) tenant: Option<String>,
    /// `kbs:///repo/type/tag`.
    pub(crate) origin_uri: String,
}

/// Why a provisioned key was not taken. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum CommitError {
    /// A field of the envelope is not what was asked for.
    #[error("cannot take the provisioned key: its {field} is not what was asked for")]
    NotAskedFor {
        /// The field.
        field: &'static str,
    },
    /// The name belongs to a key that was generated or imported here.
    #[error("cannot take the provisioned key: a key made here has its name")]
    Occupied,
    /// An administrator destroyed the key, or this version of it.
    #[error("cannot take the provisioned key: it was destroyed here")]
    Destroyed,
    /// An older version than one that was here already.
    #[error("cannot take version {offered} of the provisioned key: version {newest} was here")]
    RolledBack {
        /// What came.
        offered: u32,
        /// What was here.
        newest: u32,
    },
    /// Other material under the number of a version that is here.
    #[error("cannot take the provisioned key: its version is here with other material")]
    OtherMaterial,
    /// As many versions as a key may have.
    #[error("cannot take the provisioned key: it has {MAX_VERSIONS_LEN} versions already")]
    TooManyVersions,
    /// The material is no key of its type, or there is no room for it.
    #[error("cannot take the provisioned key")]
    Refused(#[source] Refusal),
}

impl From<Refusal> for CommitError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl EnvelopeFacts {
    /// What is taken as said by a plain resource, which nobody signed: what the key rule says.
    pub(crate) fn of_unsigned(rule: &KeyRule, origin_uri: String) -> Self {
        Self {
            version: 1,
            key_type: rule.key_type,
            operations: rule.operations,
            release_to: rule.release_to.clone(),
            lease_secs: rule.lease_secs,
            not_after: rule.not_after,
            tenant: rule.tenant.clone(),
            origin_uri,
        }
    }

    fn own_policy(self) -> OwnPolicy {
        OwnPolicy {
            operations: self.operations.intersection(uses_of(self.key_type)),
            release_to: Some(self.release_to),
            lease_secs: self.lease_secs,
            not_after: self.not_after,
        }
    }
}

impl Keys {
    /// Takes a key that a round has brought and verified; `material` lies in the arena.
    ///
    /// A newer version is added, and its envelope's policy counts from now on. The version that is
    /// here already renews its lease, and its policy can only get narrower: whoever signs wider
    /// terms has to count the version up. An older version is a roll-back and refused, and so is
    /// whatever was destroyed here.
    pub(crate) fn commit_provisioned(
        &self,
        name: KeyName<'_>,
        rule: &KeyRule,
        facts: EnvelopeFacts,
        material: &[u8],
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<(), CommitError> {
        check_asked_for(name, rule, &facts)?;
        let material = Material::from_raw(facts.key_type, material)?;
        let version = Version::new(facts.version, material, now, draw);

        let mut table = self.write()?;
        if let Some(key) = table.by_name.get(name.as_str()) {
            return merge(&mut *key.write()?, facts, version, now);
        }
        let key = Key::new(name.to_owned(), new_body(facts, version, now));
        table.by_name.insert(name.to_owned(), Arc::new(key));
        Ok(())
    }
}

fn check_asked_for(
    name: KeyName<'_>,
    rule: &KeyRule,
    facts: &EnvelopeFacts,
) -> Result<(), CommitError> {
    let Source::Kbs { path, .. } = &rule.source else {
        return Err(CommitError::NotAskedFor { field: "source" });
    };
    let fields = [
        ("name", rule.name.as_str() == name.as_str()),
        ("path", facts.origin_uri == path.to_uri()),
        ("key type", facts.key_type == rule.key_type),
        // A rule that names no tenant takes none but those of no tenant.
        ("tenant", facts.tenant == rule.tenant),
        ("version", facts.version > 0),
    ];
    match fields.into_iter().find(|(_, fits)| !fits) {
        Some((field, _)) => Err(CommitError::NotAskedFor { field }),
        None => Ok(()),
    }
}

fn new_body(facts: EnvelopeFacts, version: Version, now: Now) -> Body {
    Body {
        id: public_id("provisioned", &facts.origin_uri),
        key_type: facts.key_type,
        origin: Origin::Provisioned,
        origin_uri: Some(facts.origin_uri.clone()),
        born_under_rule: true,
        own: facts.own_policy(),
        state: KeyState::Enabled,
        created_secs: now.wall_secs,
        versions: vec![version],
    }
}

fn merge(
    body: &mut Body,
    facts: EnvelopeFacts,
    version: Version,
    now: Now,
) -> Result<(), CommitError> {
    if body.origin != Origin::Provisioned {
        return Err(CommitError::Occupied);
    }
    if body.state == KeyState::Destroyed {
        return Err(CommitError::Destroyed);
    }
    let is_same =
        body.origin_uri.as_ref() == Some(&facts.origin_uri) && body.key_type == facts.key_type;
    if !is_same {
        // The key rule speaks of another resource now: it takes the place of the one before, and
        // what an administrator disabled stays disabled.
        let state = body.state;
        *body = new_body(facts, version, now);
        body.state = state;
        return Ok(());
    }
    let (offered, newest) = (version.number, body.newest_version());
    if offered < newest {
        return Err(CommitError::RolledBack { offered, newest });
    }
    if offered > newest {
        if body.versions.len() >= MAX_VERSIONS_LEN {
            return Err(CommitError::TooManyVersions);
        }
        body.own = facts.own_policy();
        body.versions.push(version);
        return Ok(());
    }
    if let Some(here) = body.versions.last_mut() {
        renew(here, version, now)?;
        body.own = body.own.narrowed_by(facts.own_policy());
    }
    Ok(())
}

/// Renews the lease of the version that is here; its counters and its nonces go on.
fn renew(here: &mut Version, again: Version, now: Now) -> Result<(), CommitError> {
    if here.state == KeyState::Destroyed {
        return Err(CommitError::Destroyed);
    }
    match (&here.material, &again.material) {
        (Some(one), Some(other)) if !one.record().ct_eq(other.record().expose()) => {
            return Err(CommitError::OtherMaterial);
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
