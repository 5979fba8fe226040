//! The access decision, in two values that nothing else can make.
//!
//! [`Grant`]: a rule lets this peer do this operation on this name. [`Access`]: the key's own
//! policy, what travels with the key, its state, its validity, its lease and its gate let it too,
//! now. What can only be refused is refused before anything is fetched or waited for.

mod judgement;

use crate::keys::{Body, ExpandedCache, Key, Live, Material, Noted, OwnPolicy, Version};
use crate::permissions::{self, Authority, state_allows};
use crate::policy::{ActivePolicy, GateRule, KeyRule, Source};
use crate::refusal::Stop;
use crate::{Draw, Now, Peer, Refusal, Session, Used, Vault};
use nitride_kbs::disk::DiskExpectation;
use nitride_protocol::{KeyName, Operation};
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
    /// Where a change is noted that the seal has to know of.
    noted: &'s Noted,
}

/// The rules' side for what is about no key.
#[derive(Debug)]
pub(crate) struct KeylessGrant(());

/// Who gets what comes out.
#[derive(Debug, Clone, Copy)]
enum Recipient<'s> {
    Peer(&'s Peer),
    /// A volume of this name, and what was said of the disk that it is on.
    Volume(&'s str, Option<&'s DiskExpectation>),
    /// A unit's credential, for which no peer asks over our protocol.
    Unit(&'s str),
}

impl Recipient<'_> {
    /// Who it is, for rates: a user in a unit, however many processes, a volume, or a unit whose
    /// credentials the service manager loads as root.
    fn spender(&self) -> (Option<u32>, Option<&str>) {
        match self {
            Self::Peer(peer) => (Some(peer.uid), peer.unit.as_deref()),
            Self::Volume(volume, _) => (None, Some(volume)),
            Self::Unit(unit) => (Some(0), Some(unit)),
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
            noted: session.noted(),
        })
    }

    /// Decides the release to a volume: no rule is asked, since no peer is; the key's own policy
    /// has to name the volume, and so has what travels with the key.
    pub(crate) fn for_volume(
        policy: &'s ActivePolicy,
        vault: &Vault,
        (volume, disk): (&'s str, Option<&'s DiskExpectation>),
        noted: &'s Noted,
    ) -> Result<Option<Self>, Refusal> {
        let rule = policy.key_of_volume(volume);
        let to = Recipient::Volume(volume, disk);
        rule.map(|rule| Self::unasked((policy, vault), rule, to, noted))
            .transpose()
    }

    /// Decides the release of the key `name` as a credential of `unit`, likewise.
    pub(crate) fn for_credential(
        policy: &'s ActivePolicy,
        vault: &Vault,
        (name, unit): (&str, &'s str),
        noted: &'s Noted,
    ) -> Result<Option<Self>, Refusal> {
        let rule = policy.key_rule(name);
        let to = Recipient::Unit(unit);
        rule.map(|rule| Self::unasked((policy, vault), rule, to, noted))
            .transpose()
    }

    /// A release that nobody asks for over our protocol.
    fn unasked(
        (policy, vault): (&'s ActivePolicy, &Vault),
        rule: &'s Arc<KeyRule>,
        recipient: Recipient<'s>,
        noted: &'s Noted,
    ) -> Result<Self, Refusal> {
        let gate = rule.gate.as_deref().and_then(|gate| policy.gate_rule(gate));
        Ok(Self {
            operation: Operation::Release,
            part: Part::Does,
            name: rule.name.as_name(),
            recipient,
            policy,
            rule: Some(rule),
            gate: gate.map(|gate| &**gate),
            key: vault.keys.find(rule.name.as_str())?.map(Cow::Owned),
            used: None,
            noted,
        })
    }

    /// The key's own policy, where one is stated.
    pub(crate) fn rule(&self) -> Option<&'s Arc<KeyRule>> {
        self.rule
    }

    /// Where a change is noted that the seal has to know of.
    pub(crate) fn noted(&self) -> &'s Noted {
        self.noted
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
                let on: (&Key, &KeyRule, _) = (key, rule, self.noted);
                vault.keys.rotate_if_due(on, now, draw);
            }
            return Ok(Cow::Borrowed(&**key));
        }
        match self.rule {
            Some(rule) if rule.source == Source::Generate => {
                self.gate_allows(vault, now)?;
                let on = (&**rule, self.noted);
                let key = vault.keys.generate_at_first_use(on, now, draw)?;
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
        let mut now = now;
        let mut body = key.read()?;
        let mut allowed = self.body_allows(vault, &body, wanted, now);
        // Not while the key is held: it may take a while. So it is asked again after that.
        if allowed.is_ok() && self.is_to_be_measured(vault) {
            drop(allowed);
            drop(body);
            now = vault.releases.measure(self.name)?;
            self.rule_allows(now)?;
            body = key.read()?;
            allowed = self.body_allows(vault, &body, wanted, now);
        }
        match allowed {
            Ok(access) => {
                let rule = self.rule.map(|rule| &**rule);
                if let Some(note) = self.used {
                    // One item of a batch speaks for all: its answer leaves with theirs.
                    let was_sealed = note.get().is_some_and(|used| used.is_sealed);
                    note.set(Some(Used {
                        key_type: access.body.key_type,
                        version: access.version.number,
                        is_sealed: was_sealed || access.body.is_sealed(rule),
                    }));
                }
                let used = (access.body, access.version);
                let whose = self.recipient.spender();
                let on = (rule, self.noted);
                vault.keys.admit(used, self.operation, on, whose, now)?;
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
                let Some(key) = self.key() else {
                    self.may_be_absent(vault)?;
                    return Err(Refusal::KeyNotFound.into());
                };
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
            (None, Some(rule)) if rule.source == Source::Generate => {
                self.may_be_absent(vault)?;
                self.gate_allows(vault, now)
            }
            (None, _) => Err(self.missing(vault, now)),
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
