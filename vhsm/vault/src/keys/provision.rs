use super::key::{Body, Former, Key, Version};
use super::{Keys, Material, OwnPolicy, Voucher, public_id};
use crate::access::Wanted;
use crate::permissions::uses_of;
use crate::policy::{ActivePolicy, KeyRule, ReleaseTo, Source};
use crate::{Draw, Now, Refusal};
use nitride_protocol::limits::MAX_VERSIONS_LEN;
use nitride_protocol::{KeyState, OperationSet, Origin};
use std::sync::Arc;
use thiserror::Error;

/// A key that a round has brought and verified, with the policy that travels with it.
pub(crate) struct Delivered<'a> {
    /// The policy by which it was verified.
    pub(crate) policy: &'a ActivePolicy,
    /// What it was asked for by: name, type and resource are this rule's.
    pub(crate) rule: &'a KeyRule,
    /// Who says that it is this key.
    pub(crate) voucher: Voucher,
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
    /// A newer version is added under terms of its own. The version that is here already renews
    /// its lease. Of what is here, terms can only get narrower: whoever signs wider ones has to
    /// count the version up. An older version is a roll-back and refused, and so is whatever was
    /// destroyed here.
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
        let (own, voucher) = (delivered.own_policy(), delivered.voucher.clone());
        let version = Version::new(delivered.version, material, own, voucher, now, draw);

        let mut table = self.write()?;
        if let Some(key) = table.by_name.get(rule.name.as_str()) {
            return merge(&mut *key.write()?, delivered, version, now);
        }
        let key = Key::new(rule.name.clone(), delivered.body(version, now));
        table.by_name.insert(rule.name.clone(), Arc::new(key));
        Ok(())
    }

    /// Whether a round could bring the key that `rule` speaks of: nobody has it yet, its lease has
    /// run out, or the rule speaks of another resource than the one that is here, or believes
    /// others than who signed it. A key that was destroyed, disabled or made here is not missing.
    pub(crate) fn is_missing(&self, policy: &ActivePolicy, rule: &KeyRule, now: Now) -> bool {
        let (Source::Kbs { path, .. }, Ok(found)) = (&rule.source, self.find(rule.name.as_str()))
        else {
            return false;
        };
        let Some(key) = found else { return true };
        let Ok(body) = key.read() else { return false };
        let is_of_rule = body.key_type == rule.key_type && body.is_resource(path);
        body.origin == Origin::Provisioned
            && body.state == KeyState::Enabled
            && !(is_of_rule && body.is_up_to_date(policy, rule, now))
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
            state: KeyState::Enabled,
            created_secs: now.wall_secs,
            versions: vec![version],
            former: Vec::new(),
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
    let (policy, rule) = (delivered.policy, delivered.rule);
    let is_same = body.origin_uri.as_ref() == Some(&delivered.origin_uri)
        && body.key_type == rule.key_type
        // What nobody vouches for any more has no say in what comes after it.
        && body
            .version(Wanted::Newest)
            .is_ok_and(|newest| newest.voucher.counts(policy, rule));
    if !is_same {
        return replace(body, delivered, version, now);
    }
    let held = body.newest_version();
    if version.number < held {
        return Err(CommitRefused::OlderVersion { held });
    }
    if version.number > held {
        make_room(&mut body.versions)?;
        narrow(&mut body.versions, &version.own);
        body.versions.push(version);
        return Ok(());
    }
    if let Some(here) = body.versions.last_mut() {
        let own = version.own.clone();
        renew(here, version, now)?;
        narrow(&mut body.versions, &own);
    }
    Ok(())
}

/// Puts what came in the place of another resource, or of another owner's. What an administrator
/// disabled stays disabled and what was destroyed stays destroyed, also if it comes back later.
fn replace(
    body: &mut Body,
    delivered: &Delivered<'_>,
    mut version: Version,
    now: Now,
) -> Result<(), CommitRefused> {
    let mut former = body.former.clone();
    if let Some(origin_uri) = &body.origin_uri {
        let changed = body
            .versions
            .iter()
            .filter(|version| version.state != KeyState::Enabled);
        former.extend(changed.map(|version| Former {
            origin_uri: origin_uri.clone(),
            number: version.number,
            state: version.state,
        }));
    }
    let is_it =
        |one: &Former| one.origin_uri == delivered.origin_uri && one.number == delivered.version;
    if let Some(left) = former.iter().find(|one| is_it(one)) {
        if left.state == KeyState::Destroyed {
            return Err(CommitRefused::Destroyed);
        }
        version.state = left.state;
    }
    former.retain(|one| !is_it(one));
    let state = body.state;
    *body = delivered.body(version, now);
    body.state = state;
    body.former = former;
    Ok(())
}

/// What has no material any more cannot come back beside a newer version, and gives it its place.
fn make_room(versions: &mut Vec<Version>) -> Result<(), CommitRefused> {
    if versions.len() < MAX_VERSIONS_LEN {
        return Ok(());
    }
    let gone = versions
        .iter()
        .position(|version| version.material.is_none())
        .ok_or(CommitRefused::TooManyVersions)?;
    versions.remove(gone);
    Ok(())
}

/// Who signs narrower terms means the versions before, too; wider ones are for the new one alone.
fn narrow(versions: &mut [Version], by: &OwnPolicy) {
    for version in versions {
        version.own = version.own.narrowed_by(by);
    }
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
        (None, _) => {
            here.material = again.material;
            here.voucher = again.voucher;
        }
    }
    here.since_boot_ms = now.boot_ms;
    Ok(())
}
