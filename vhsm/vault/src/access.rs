//! The access decision, in two values that nothing else can make.
//!
//! [`Grant`]: a rule lets this peer do this operation on this name. [`Access`]: the key's own
//! policy, what travels with the key, its state, its validity, its lease and its gate let it too,
//! now. What can only be refused is refused before anything is fetched or waited for.

use crate::keys::{Body, ExpandedCache, Key, Lease, Live, Material, OwnPolicy, Version};
use crate::permissions::{self, Authority, state_allows, type_allows};
use crate::policy::{ActivePolicy, GateRule, KeyRule, ReleaseTo, Source};
use crate::refusal::Stop;
use crate::{Draw, Now, Peer, Refusal, Session, Used, Vault, Want};
use nitride_protocol::{KeyName, Operation, Origin};
use nitride_secmem::Record;
use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

/// The rules' side of the decision.
#[derive(Debug)]
pub(crate) struct Grant<'s> {
    operation: Operation,
    part: Part<'s>,
    name: KeyName<'s>,
    recipient: Recipient<'s>,
    policy: &'s ActivePolicy,
    rule: Option<&'s Arc<KeyRule>>,
    gate: Option<&'s GateRule>,
    key: Option<Cow<'s, Arc<Key>>>,
    /// Where a use notes what it used.
    used: Option<&'s Cell<Option<Used>>>,
}

/// The rules' side for what is about no key.
#[derive(Debug)]
pub(crate) struct KeylessGrant(());

/// Who gets what comes out.
#[derive(Debug, Clone, Copy)]
enum Recipient<'s> {
    Peer(&'s Peer),
    Volume(&'s str),
}

impl Recipient<'_> {
    /// Who it is, for rates: a user in a unit, however many processes, or a volume.
    fn spender(&self) -> (Option<u32>, Option<&str>) {
        match self {
            Self::Peer(peer) => (Some(peer.uid), peer.unit.as_deref()),
            Self::Volume(volume) => (None, Some(volume)),
        }
    }
}

/// The part that the key has in the operation.
#[derive(Debug, Clone, Copy)]
enum Part<'s> {
    /// It does the operation: its type and its policies have to name that.
    Does,
    /// The key `by` wraps it: its policies have to name that key.
    IsWrapped { by: KeyName<'s> },
    /// It is what the operation makes.
    IsMade,
}

/// Which version is to be used.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted<'w> {
    /// The newest that is not destroyed.
    Newest,
    /// This one.
    Given(u32),
    /// The one that made this ciphertext, if the key did.
    Maker { id: &'w [u8; 16], version: u32 },
}

impl Wanted<'_> {
    /// Whether no other version will do.
    fn is_given(self) -> bool {
        !matches!(self, Self::Newest)
    }
}

impl From<Option<u32>> for Wanted<'_> {
    fn from(version: Option<u32>) -> Self {
        version.map_or(Self::Newest, Self::Given)
    }
}

/// Both sides: the operation may use this version of the key, now.
#[derive(Debug)]
pub(crate) struct Access<'k> {
    body: &'k Body,
    version: &'k Version,
    material: &'k Material,
    cache: &'k ExpandedCache,
}

impl<'k> Access<'k> {
    /// The key that is used.
    pub(crate) fn body(&self) -> &'k Body {
        self.body
    }

    /// The version that is used.
    pub(crate) fn version(&self) -> &'k Version {
        self.version
    }

    /// What the operation works with.
    pub(crate) fn live(&self) -> Result<Live, Refusal> {
        self.material.live(self.cache)
    }

    /// Why an operation that its type allows is none of this key's objects'.
    pub(crate) fn wrong_type(&self, operation: Operation) -> Refusal {
        Refusal::WrongKeyType {
            key_type: self.body.key_type,
            operation,
        }
    }

    /// What is said of the version by all that has a say: what travels with it and its rule.
    pub(crate) fn effective(&self, rule: Option<&KeyRule>) -> OwnPolicy {
        let own = self.body.effective(self.version);
        match rule {
            Some(rule) => own.narrowed_by(&OwnPolicy::of_rule(rule)),
            None => own,
        }
    }

    /// The canonical bytes.
    pub(crate) fn record(&self) -> &'k Record {
        self.material.record()
    }
}

impl KeylessGrant {
    /// Decides an operation that is about no key.
    pub(crate) fn new(session: &Session, operation: Operation) -> Result<Self, Refusal> {
        match authority(session, operation)? {
            Authority::Anybody => Ok(Self(())),
            _ if session.granted_anywhere().contains(operation) => Ok(Self(())),
            authority => Err(not_granted(authority, operation)),
        }
    }
}

impl<'s> Grant<'s> {
    /// Decides an operation on the key `name`.
    pub(crate) fn new(
        session: &'s mut Session,
        vault: &Vault,
        operation: Operation,
        name: KeyName<'s>,
    ) -> Result<Self, Refusal> {
        authority(session, operation)?;
        session.decide(&vault.keys, name)?;
        Self::decided(session, operation, name, Part::Does)
    }

    /// Decides `wrap` by the key `by` on the key `name`: the rules have to grant it on both names.
    /// Gives both, in this order.
    pub(crate) fn to_wrap(
        session: &'s mut Session,
        vault: &Vault,
        by: KeyName<'s>,
        name: KeyName<'s>,
    ) -> Result<(Self, Self), Refusal> {
        authority(session, Operation::Wrap)?;
        session.decide_both(&vault.keys, by, name)?;
        let session: &'s Session = session;
        let wrapped = Part::IsWrapped { by };
        Ok((
            Self::decided(session, Operation::Wrap, by, Part::Does)?,
            Self::decided(session, Operation::Wrap, name, wrapped)?,
        ))
    }

    /// Decides an operation by the key `by` that makes the key `name`: the rules have to grant it
    /// on both names. Gives both, in this order.
    pub(crate) fn to_make(
        session: &'s mut Session,
        vault: &Vault,
        operation: Operation,
        by: KeyName<'s>,
        name: KeyName<'s>,
    ) -> Result<(Self, Self), Refusal> {
        authority(session, operation)?;
        session.decide_both(&vault.keys, by, name)?;
        let session: &'s Session = session;
        Ok((
            Self::decided(session, operation, by, Part::Does)?,
            Self::decided(session, operation, name, Part::IsMade)?,
        ))
    }

    /// Decides an import that comes wrapped under the key `by`, for which an administrator needs
    /// no rule: its policies have to allow `unwrap`, as ever. Gives both, in this order.
    pub(crate) fn to_import(
        session: &'s mut Session,
        vault: &Vault,
        by: KeyName<'s>,
        name: KeyName<'s>,
    ) -> Result<(Self, Self), Refusal> {
        let (mut wrapping, made) = Self::to_make(session, vault, Operation::Import, by, name)?;
        wrapping.operation = Operation::Unwrap;
        Ok((wrapping, made))
    }

    /// What was decided on a name that the session has looked at.
    fn decided(
        session: &'s Session,
        operation: Operation,
        name: KeyName<'s>,
        part: Part<'s>,
    ) -> Result<Self, Refusal> {
        let authority = authority(session, operation)?;
        let decision = session
            .decision(name)
            .filter(|decision| decision.granted.contains(operation))
            .ok_or_else(|| not_granted(authority, operation))?;
        Ok(Self {
            operation,
            part,
            name,
            recipient: Recipient::Peer(session.peer()),
            policy: session.policy(),
            rule: decision.rule.as_ref(),
            gate: decision.gate.as_deref(),
            key: decision.key.as_ref().map(Cow::Borrowed),
            used: Some(session.note_of_use()),
        })
    }

    /// Decides the release to a volume: no rule is asked, since no peer is; the key's own policy
    /// has to name the volume, and so has what travels with the key.
    pub(crate) fn for_volume(
        policy: &'s ActivePolicy,
        vault: &Vault,
        volume: &'s str,
    ) -> Result<Option<Self>, Refusal> {
        let Some(rule) = policy.key_of_volume(volume) else {
            return Ok(None);
        };
        let gate = rule.gate.as_deref().and_then(|gate| policy.gate_rule(gate));
        Ok(Some(Self {
            operation: Operation::Release,
            part: Part::Does,
            name: rule.name.as_name(),
            recipient: Recipient::Volume(volume),
            policy,
            rule: Some(rule),
            gate: gate.map(|gate| &**gate),
            key: vault.keys.find(rule.name.as_str())?.map(Cow::Owned),
            used: None,
        }))
    }

    /// The key's own policy, where one is stated.
    pub(crate) fn rule(&self) -> Option<&'s Arc<KeyRule>> {
        self.rule
    }

    /// The key, whatever its state, for operations that only show or change that.
    pub(crate) fn key(&self) -> Option<&Arc<Key>> {
        self.key.as_deref()
    }

    /// The key that is to be used. One that is missing is made, if its own policy says so, or
    /// wanted; what the key's own policy forbids is refused before either.
    pub(crate) fn ensure_key(
        &self,
        vault: &Vault,
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<Cow<'_, Arc<Key>>, Stop> {
        self.rule_allows(now)?;
        if let Some(key) = &self.key {
            if let Some(rule) = self.rule {
                vault.keys.rotate_if_due(key, rule, now, draw);
            }
            return Ok(Cow::Borrowed(&**key));
        }
        match self.rule {
            Some(rule) if rule.source == Source::Generate => {
                self.gate_allows(vault, now)?;
                let key = vault.keys.generate_at_first_use(rule, now, draw)?;
                Ok(Cow::Owned(key))
            }
            _ => Err(self.missing(vault, now)),
        }
    }

    /// The key that is to be used, where none can be made.
    pub(crate) fn present_key(&self, vault: &Vault, now: Now) -> Result<&Arc<Key>, Stop> {
        self.rule_allows(now)?;
        self.key().ok_or_else(|| self.missing(vault, now))
    }

    /// Finishes the decision for a use, and lets `act` use the key under it.
    ///
    /// The key cannot be changed or destroyed while `act` runs.
    pub(crate) fn use_key<R>(
        &self,
        vault: &Vault,
        key: &Key,
        wanted: Wanted<'_>,
        now: Now,
        act: impl FnOnce(&Access<'_>) -> Result<R, Refusal>,
    ) -> Result<R, Stop> {
        // Asked again, so that no use depends on where its key came from.
        self.rule_allows(now)?;
        let body = key.read()?;
        match self.body_allows(vault, &body, wanted, now) {
            Ok(access) => {
                if let Some(note) = self.used {
                    note.set(Some(Used {
                        key_type: access.body.key_type,
                        version: access.version.number,
                    }));
                }
                let used = (access.body, access.version);
                let rule = self.rule.map(|rule| &**rule);
                let whose = self.recipient.spender();
                vault.keys.admit(used, self.operation, rule, whose, now)?;
                let result = act(&access)?;
                access.version.count_use();
                Ok(result)
            }
            Err(stop) => {
                drop(body);
                // What a lease has left behind goes at once, not when somebody sweeps.
                key.drop_lapsed(self.rule.map(|rule| &**rule), now)?;
                Err(stop)
            }
        }
    }

    /// Whether it would be allowed now: the checks of a use, and nothing is made or counted.
    pub(crate) fn examine(&self, vault: &Vault, now: Now) -> Result<(), Stop> {
        match permissions::concerns(self.operation) {
            Some(permissions::Key::Use(_)) => self.rule_allows(now)?,
            Some(permissions::Key::Lifecycle(_)) => {
                let key = self.key().ok_or(Refusal::KeyNotFound)?;
                return Ok(state_allows(self.operation, key.read()?.state)?);
            }
            // What else a new key takes, its own operation says.
            _ => return Ok(()),
        }
        match (self.key(), self.rule) {
            (Some(key), _) => {
                let body = key.read()?;
                let access = self.body_allows(vault, &body, Wanted::Newest, now)?;
                let rule = self.rule.map(|rule| &**rule);
                let most = access.body.max_uses(access.version, rule);
                match most.is_some_and(|most| body.uses_taken() >= most) {
                    true => Err(Refusal::KeyExhausted.into()),
                    false => Ok(()),
                }
            }
            (None, Some(rule)) if rule.source == Source::Generate => self.gate_allows(vault, now),
            (None, _) => Err(self.missing(vault, now)),
        }
    }

    /// What the key's own policy says without the key.
    fn rule_allows(&self, now: Now) -> Result<(), Refusal> {
        let operation = self.operation;
        let Some(rule) = self.rule else {
            return Ok(());
        };
        match self.part {
            Part::Does => {
                type_allows(operation, rule.key_type)?;
                if !rule.operations.contains(operation) {
                    return Err(Refusal::KeyForbids { operation });
                }
            }
            Part::IsWrapped { by } => {
                let mut named = rule.wrappable_by.iter();
                if !named.any(|key| key.as_name() == by) {
                    return Err(Refusal::NotWrappable);
                }
            }
            Part::IsMade => return Err(MADE_IS_NOT_USED),
        }
        if operation == Operation::Release {
            self.is_named_by(&rule.release_to)?;
        }
        is_valid(rule.not_before, rule.not_after, now)
    }

    /// Why there is no key, or what it takes to have one.
    fn missing(&self, vault: &Vault, now: Now) -> Stop {
        match self.rule {
            Some(rule) if matches!(rule.source, Source::Kbs { .. }) => {
                match self.gate_allows(vault, now) {
                    Ok(()) => self.want_key().into(),
                    Err(stop) => stop,
                }
            }
            _ => Refusal::KeyNotFound.into(),
        }
    }

    /// What the key itself says, and whether it is the one that the policy speaks of.
    fn body_allows<'k>(
        &self,
        vault: &'k Vault,
        body: &'k Body,
        wanted: Wanted<'_>,
        now: Now,
    ) -> Result<Access<'k>, Stop> {
        let operation = self.operation;
        // A key that is destroyed or disabled stays so, whatever its rule says now.
        state_allows(operation, body.state)?;
        if self.is_stale(body)? {
            self.gate_allows(vault, now)?;
            return Err(self.want_key().into());
        }
        if matches!(self.part, Part::Does) {
            type_allows(operation, body.key_type)?;
        }
        let version = body.version(wanted)?;
        state_allows(operation, version.state)?;
        let is_believed = |rule: &Arc<KeyRule>| version.voucher.counts(self.policy, rule);
        if !self.rule.is_none_or(is_believed) {
            self.gate_allows(vault, now)?;
            return Err(self.want_again(body, version, wanted, Refusal::NotVouchedFor));
        }
        let rule = self.rule.map(|rule| &**rule);
        let lowest = body.min_version(version, rule);
        if version.number < lowest {
            return Err(Refusal::BelowMinVersion { lowest }.into());
        }
        match self.part {
            Part::Does if body.own_operations(version).contains(operation) => {}
            Part::Does => return Err(Refusal::KeyForbids { operation }.into()),
            Part::IsWrapped { by } if body.wrappable_by(version, rule).contains(&by) => {}
            Part::IsWrapped { .. } => return Err(Refusal::NotWrappable.into()),
            Part::IsMade => return Err(MADE_IS_NOT_USED.into()),
        }
        if operation == Operation::Release {
            // Without a key rule nobody is named: what was only generated or imported stays.
            if self.rule.is_none() {
                return Err(Refusal::NotReleasedToPeer.into());
            }
            for layer in body.layers(version) {
                if let Some(release_to) = &layer.release_to {
                    self.is_named_by(release_to)?;
                }
            }
        }
        for layer in body.layers(version) {
            is_valid(layer.not_before, layer.not_after, now)?;
        }
        self.gate_allows(vault, now)?;
        for gate in body.layers(version).flat_map(|layer| &layer.gates) {
            self.own_gate_allows(vault, gate, now)?;
        }
        let lapsed = Lease::of(body, version, rule).has_run_out(version, now);
        match version.material() {
            Some(material) if !lapsed => Ok(Access {
                body,
                version,
                material,
                cache: &vault.keys.expanded,
            }),
            _ if body.origin != Origin::Provisioned => Err(Refusal::KeyExpired.into()),
            _ => Err(self.want_again(body, version, wanted, Refusal::KeyExpired)),
        }
    }

    /// What it takes to have this version again. A service has the newest: a round would bring that
    /// and never an older one.
    fn want_again(
        &self,
        body: &Body,
        version: &Version,
        wanted: Wanted<'_>,
        otherwise: Refusal,
    ) -> Stop {
        if wanted.is_given() && version.number < body.newest_version() {
            return otherwise.into();
        }
        self.want_key().into()
    }

    /// Whether the key rule now speaks of another resource than the one that is there.
    fn is_stale(&self, body: &Body) -> Result<bool, Refusal> {
        match (self.rule, body.origin) {
            (None, _) if body.born_under_rule => Err(Refusal::RuleGone),
            (None, _) => Ok(false),
            (Some(rule), Origin::Provisioned) => match &rule.source {
                Source::Kbs { path, .. } => {
                    Ok(rule.key_type != body.key_type || !body.is_resource(path))
                }
                Source::Generate | Source::Local => Err(Refusal::RuleContradicts),
            },
            (Some(rule), origin) => {
                let is_from_there = match rule.source {
                    Source::Kbs { .. } => false,
                    // What was imported may be known elsewhere, too.
                    Source::Generate => origin != Origin::Imported,
                    Source::Local => true,
                };
                if rule.key_type != body.key_type || !is_from_there {
                    return Err(Refusal::RuleContradicts);
                }
                Ok(false)
            }
        }
    }

    fn gate_allows(&self, vault: &Vault, now: Now) -> Result<(), Stop> {
        let Some(name) = self.rule.and_then(|rule| rule.gate.as_ref()) else {
            return Ok(());
        };
        match self.gate {
            Some(gate) if vault.gates.approved(gate, now) => Ok(()),
            _ => Err(Want::Gate { name: name.clone() }.into()),
        }
    }

    /// A gate that travels with the key. One that the policy does not know any more opens never.
    fn own_gate_allows(&self, vault: &Vault, name: &str, now: Now) -> Result<(), Stop> {
        match self.policy.gate_rule(name) {
            Some(gate) if vault.gates.approved(gate, now) => Ok(()),
            Some(_) => Err(Want::Gate { name: name.into() }.into()),
            None => Err(Refusal::GateGone.into()),
        }
    }

    fn is_named_by(&self, release_to: &[ReleaseTo]) -> Result<(), Refusal> {
        let named = release_to.iter().any(|to| match self.recipient {
            Recipient::Peer(peer) => to.is_peer(peer),
            Recipient::Volume(volume) => to.is_volume(volume),
        });
        named.then_some(()).ok_or(Refusal::NotReleasedToPeer)
    }

    fn want_key(&self) -> Want {
        Want::Key {
            name: self.name.to_owned(),
        }
    }
}

/// What an operation makes is not there to be used.
const MADE_IS_NOT_USED: Refusal = Refusal::Internal {
    what: "a key that is to be made was used",
};

fn authority(session: &Session, operation: Operation) -> Result<Authority, Refusal> {
    permissions::row(operation, session.socket())
        .map(|(authority, _)| authority)
        .ok_or(Refusal::WrongSocket { operation })
}

fn not_granted(authority: Authority, operation: Operation) -> Refusal {
    match authority {
        Authority::Administrator => Refusal::NotAdmin,
        _ => Refusal::NoRule { operation },
    }
}

/// Both ends count. An unknown wall clock is inside no window.
fn is_valid(not_before: Option<u64>, not_after: Option<u64>, now: Now) -> Result<(), Refusal> {
    let is_stated = not_before.is_some() || not_after.is_some();
    if is_stated && now.wall_secs == 0 || not_after.is_some_and(|last| last < now.wall_secs) {
        return Err(Refusal::KeyExpired);
    }
    if not_before.is_some_and(|first| now.wall_secs < first) {
        return Err(Refusal::NotYetValid);
    }
    Ok(())
}
