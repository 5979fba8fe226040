use super::key::{Body, Former, Version};
use super::record::{self, Family, KeyFields, MAX_FORMER_LEN, NewVersion, VersionFields};
use super::{Keys, Material, OwnPolicy, Voucher, public_id};
use crate::access::Wanted;
use crate::permissions::uses_of;
use crate::policy::{ActivePolicy, KeyRule, ReleaseTo, Source};
use crate::{Draw, Now, Refusal};
use nitride_kbs::disk::DiskExpectation;
use nitride_protocol::limits::MAX_VERSIONS_LEN;
use nitride_protocol::{KeyNameBuf, KeyState, OperationSet, Origin};
use nitride_secmem::SecretBuf;
use thiserror::Error;

/// A key that a round has brought and verified, with the policy that travels with it.
pub(crate) struct Delivered<'a> {
    /// The policy by which it was verified.
    pub(crate) policy: &'a ActivePolicy,
    /// What it was asked for by: name, type and resource are this rule's.
    pub(crate) rule: &'a KeyRule,
    /// Who says that it is this key.
    pub(crate) voucher: Voucher,
    /// Whether the agent has read it.
    pub(crate) in_clear: bool,
    pub(crate) version: u32,
    pub(crate) operations: OperationSet,
    /// Empty: by nobody.
    pub(crate) wrappable_by: Vec<KeyNameBuf>,
    /// Empty: to nobody.
    pub(crate) release_to: Vec<ReleaseTo>,
    /// `None`: a volume's disk may be any; empty: none.
    pub(crate) disks: Option<Vec<DiskExpectation>>,
    pub(crate) lease_secs: Option<u64>,
    /// What the agent says of it: of this delivery alone, and of no other version.
    pub(crate) told_lease_secs: Option<u64>,
    /// Wall clock in seconds.
    pub(crate) not_after_secs: Option<u64>,
    /// `kbs:///repo/type/tag`.
    pub(crate) origin_uri: String,
    /// When the key of the round was made that brought it: a lease counts from then, since the
    /// service may have given it at any moment after that, and the courier have kept it.
    pub(crate) made_boot_ms: u64,
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
            Refusal::TooManyVersions => Self::TooManyVersions,
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
    /// destroyed here. Versions above the newest that somebody vouches for are dropped.
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
        let material = Material::accept(rule.key_type, delivered.material)?;
        let mut table = self.write()?;
        // What is sealed changes with it, and so does what it is sealed under.
        let is_part = delivered.policy.is_seal_part(&rule.name);
        if let Some(key) = table.find(rule.name.as_str()) {
            let mut body = key.write()?;
            let was_sealed = self.seal.concerns(&body, Some(rule));
            self.seal.may_change(was_sealed)?;
            let has_changed = merge(&mut body, delivered, &material, now, draw)?;
            let is_sealed = was_sealed || body.is_sealed(Some(rule));
            self.seal.note(has_changed && (is_part || is_sealed));
            return Ok(());
        }
        self.seal.may_change(rule.is_sealed())?;
        let family = Family::draw(draw);
        let version = delivered.version(&material, KeyState::Enabled);
        let version = version.write(family, None, draw)?;
        let fields = delivered.fields(family, now);
        let (name, body) = fields.write(vec![version], draw)?;
        let is_sealed = body.is_sealed(Some(rule));
        table.add(name, body);
        self.seal.note(is_part || is_sealed);
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
        let Some(key) = found else {
            return self.seal.may_change(rule.is_sealed()).is_ok();
        };
        let Ok(body) = key.read() else { return false };
        let is_of_rule = body.key_type == rule.key_type && body.is_resource(path);
        body.origin == Origin::Provisioned
            && body.state == KeyState::Enabled
            && !(is_of_rule && body.is_up_to_date(policy, rule, now))
    }
}

impl Delivered<'_> {
    /// Whether that was this version.
    fn is(&self, former: &Former) -> bool {
        former.origin_uri == self.origin_uri && former.number == self.version
    }

    /// The state in which an administrator left this version.
    fn state_left(&self, former: &[Former]) -> Result<KeyState, CommitRefused> {
        match former.iter().find(|one| self.is(one)) {
            Some(left) if left.state == KeyState::Destroyed => Err(CommitRefused::Destroyed),
            Some(left) => Ok(left.state),
            None => Ok(KeyState::Enabled),
        }
    }

    fn own_policy(&self) -> OwnPolicy {
        let uses = uses_of(self.rule.key_type);
        OwnPolicy {
            release_to: Some(self.release_to.clone()),
            disks: self.disks.clone(),
            lease_secs: self.lease_secs,
            not_after: self.not_after_secs,
            wrappable_by: Some(self.wrappable_by.clone()),
            ..OwnPolicy::of(self.operations.with_implied().intersection(uses))
        }
    }

    fn version<'m>(&self, material: &'m SecretBuf, state: KeyState) -> NewVersion<'m> {
        NewVersion {
            number: self.version,
            state,
            fields: VersionFields {
                own: Some(Box::new(self.own_policy())),
                voucher: self.voucher.clone(),
                was_unsealed: false,
                was_in_clear: self.in_clear,
                told_lease_secs: self.told_lease_secs,
            },
            key_type: self.rule.key_type,
            material,
            since_boot_ms: self.made_boot_ms,
        }
    }

    fn fields(&self, family: Family, now: Now) -> KeyFields {
        KeyFields {
            name: self.rule.name.clone(),
            key_type: self.rule.key_type,
            origin: Origin::Provisioned,
            origin_uri: Some(self.origin_uri.clone()),
            id: public_id("provisioned", &self.origin_uri),
            family,
            created_secs: now.wall_secs,
            maker: None,
            born_under_rule: true,
            terms: OwnPolicy::of(OperationSet::ALL),
            former: Vec::new(),
        }
    }
}

/// Says whether anything but a lease has changed.
fn merge(
    body: &mut Body,
    delivered: &Delivered<'_>,
    material: &SecretBuf,
    now: Now,
    draw: &mut dyn Draw,
) -> Result<bool, CommitRefused> {
    if body.origin != Origin::Provisioned {
        return Err(CommitRefused::NotProvisioned);
    }
    if body.state == KeyState::Destroyed {
        return Err(CommitRefused::Destroyed);
    }
    let (policy, rule) = (delivered.policy, delivered.rule);
    let is_same =
        body.origin_uri.as_ref() == Some(&delivered.origin_uri) && body.key_type == rule.key_type;
    // What nobody vouches for any more has no say in what comes after it. What somebody vouches
    // for at another time has: a clock that is put back is no reason to go back.
    let mut vouched_for = body
        .versions
        .iter()
        .filter(|version| is_same && version.is_named(policy, rule));
    let Some(held) = vouched_for.next_back().map(|newest| newest.number) else {
        replace(body, delivered, material, now, draw)?;
        return Ok(true);
    };
    if delivered.version < held {
        return Err(CommitRefused::OlderVersion { held });
    }
    if delivered.version > held {
        let state = delivered.state_left(&body.former)?;
        drop_above(body, held, rule)?;
        let place = body.make_room()?;
        let version = delivered.version(material, state);
        let version = version.write(body.family, None, draw)?;
        narrow(&mut body.versions, version.own.as_deref());
        body.put(version, place);
        return Ok(true);
    }
    renew(body, delivered, material, now, draw)
}

/// Drops the versions above `held`, for which nobody vouches any more, and takes back by what they
/// narrowed those before. What an administrator did to them is remembered. A kill in between leaves
/// some of them, and what is vouched for whole. Says whether there were any.
fn drop_above(body: &mut Body, held: u32, rule: &KeyRule) -> Result<bool, CommitRefused> {
    let kept = body
        .versions
        .partition_point(|version| version.number <= held);
    if kept == body.versions.len() {
        return Ok(false);
    }
    let former = bounded(left_behind(body, kept))?;
    if former != body.former {
        let fields = body.fields(&rule.name);
        body.rewrite(KeyFields { former, ..fields })?;
    }
    let dropped = body.versions.split_off(kept);
    dropped.into_iter().for_each(record::erase);
    body.restate();
    Ok(true)
}

/// Puts what came in the place of another resource, or of another owner's. What an administrator
/// disabled stays disabled and what was destroyed stays destroyed, also if it comes back later;
/// what an administrator narrowed stays narrow.
fn replace(
    body: &mut Body,
    delivered: &Delivered<'_>,
    material: &SecretBuf,
    now: Now,
    draw: &mut dyn Draw,
) -> Result<(), CommitRefused> {
    let mut former = left_behind(body, 0);
    let state = delivered.state_left(&former)?;
    former.retain(|one| !delivered.is(one));
    let former = bounded(former)?;
    // Nobody's until the key names the family.
    let family = Family::draw(draw);
    let version = delivered.version(material, state);
    let version = version.write(family, None, draw)?;
    let fields = KeyFields {
        terms: body.terms.clone(),
        former,
        ..delivered.fields(family, now)
    };
    if let Err(refusal) = body.rewrite(fields) {
        record::erase(version);
        return Err(refusal.into());
    }
    let replaced = std::mem::replace(&mut body.versions, vec![version]);
    replaced.into_iter().for_each(record::erase);
    Ok(())
}

/// What is known of versions that are not here, once those from `kept` on are gone: what an
/// administrator has disabled or destroyed. Of one that came back, its state here is what counts.
fn left_behind(body: &Body, kept: usize) -> Vec<Former> {
    let mut former = body.former.clone();
    if let Some(origin_uri) = &body.origin_uri {
        let is_here = |one: &Former| {
            let mut versions = body.versions.iter();
            one.origin_uri == *origin_uri && versions.any(|version| version.number == one.number)
        };
        former.retain(|one| !is_here(one));
        let gone = body.versions.iter().skip(kept);
        let changed = gone.filter(|version| version.state != KeyState::Enabled);
        former.extend(changed.map(|version| Former {
            origin_uri: origin_uri.clone(),
            number: version.number,
            state: version.state,
        }));
    }
    former
}

/// Nothing that was changed is forgotten: better no other resource than that.
fn bounded(former: Vec<Former>) -> Result<Vec<Former>, CommitRefused> {
    match former.len() {
        0..=MAX_FORMER_LEN => Ok(former),
        _ => Err(CommitRefused::TooManyVersions),
    }
}

/// Who signs narrower terms means the versions before, too; wider ones are for the new one alone.
fn narrow(versions: &mut [Version], by: Option<&OwnPolicy>) {
    for version in versions {
        version.narrow_by(by);
    }
}

/// Renews the lease of the version that is here; its counters and its nonces go on. Says whether
/// more than that has changed.
fn renew(
    body: &mut Body,
    delivered: &Delivered<'_>,
    material: &SecretBuf,
    now: Now,
    draw: &mut dyn Draw,
) -> Result<bool, CommitRefused> {
    let here = body.version(Wanted::Given(delivered.version))?;
    if here.state == KeyState::Destroyed {
        return Err(CommitRefused::Destroyed);
    }
    let is_other = |held: &Material| !held.record().ct_eq(material.expose());
    if here.material().is_some_and(is_other) {
        return Err(CommitRefused::OtherMaterial);
    }
    let has_dropped = drop_above(body, delivered.version, delivered.rule)?;
    let family = body.family;
    let Some((here, before)) = body.versions.split_last_mut() else {
        return Ok(has_dropped);
    };
    let said = delivered.own_policy();
    let own = here.own.as_deref().unwrap_or(&said).narrowed_by(&said);
    // Who vouched for it first does so on, but for one whose time is over.
    let is_vouched_for =
        here.material().is_some() && here.counts(delivered.policy, delivered.rule, Some(now));
    // What was read once stays read, however it comes again.
    let was_in_clear = here.was_in_clear || delivered.in_clear;
    let says_nothing_new = here.own.as_deref() == Some(&own)
        && here.was_in_clear == was_in_clear
        && here.told_lease_secs == delivered.told_lease_secs;
    if is_vouched_for && says_nothing_new {
        here.renew_lease(delivered.made_boot_ms);
        return Ok(has_dropped);
    }
    let mut again = delivered.version(material, here.state);
    if is_vouched_for {
        again.fields.voucher = here.voucher.clone();
    }
    again.fields.own = Some(Box::new(own));
    again.fields.was_in_clear = was_in_clear;
    let again = again.write(family, Some(here), draw)?;
    record::erase_replaced(std::mem::replace(here, again));
    narrow(before, Some(&said));
    Ok(true)
}
