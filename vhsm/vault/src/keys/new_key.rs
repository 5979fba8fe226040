use super::key::Body;
use super::record::{Family, KeyFields, NewVersion, VersionFields};
use super::terms::uses_asked;
use super::{Noted, OwnPolicy, Voucher};
use crate::policy::{KeyRule, Source};
use crate::{Draw, Now, Refusal};
use nitride_protocol::{KeyName, KeyNameBuf, KeyState, KeyType, Operation, OperationSet, Origin};
use nitride_secmem::SecretBuf;

/// A key that somebody asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewKey<'n> {
    pub(crate) name: KeyName<'n>,
    pub(crate) key_type: KeyType,
    /// What it may be used for; `None` is all that its type can.
    pub(crate) operations: Option<OperationSet>,
    /// The keys that may wrap it; `None` leaves that to its rule.
    pub(crate) wrappable_by: Option<&'n [KeyName<'n>]>,
    pub(crate) rule: Option<&'n KeyRule>,
    /// Where it is noted that the seal has to know of it.
    pub(crate) noted: &'n Noted,
    pub(crate) uid: u32,
    pub(crate) now: Now,
}

/// What there is to be written once its name is known to be free.
pub(super) struct Making<'m> {
    pub(super) origin: Origin,
    pub(super) id: [u8; 16],
    pub(super) terms: OwnPolicy,
    /// As it is stored.
    pub(super) material: &'m SecretBuf,
}

impl NewKey<'_> {
    /// What travels with the key from now on, if it may be made by `operation` at all.
    pub(super) fn terms(&self, operation: Operation) -> Result<OwnPolicy, Refusal> {
        let operations = uses_asked(self.key_type, self.operations)?;
        let wrappable_by = self
            .wrappable_by
            .map(|keys| keys.iter().map(|key| (*key).to_owned()).collect());
        let terms = OwnPolicy {
            wrappable_by,
            ..OwnPolicy::of(operations)
        };
        self.check(&terms, operation)?;
        Ok(terms)
    }

    /// Whether the key's rule lets it be made by `operation` under `terms`.
    pub(super) fn check(&self, terms: &OwnPolicy, operation: Operation) -> Result<(), Refusal> {
        let key_type = self.key_type;
        let mut allowed = terms.operations;
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
            allowed = allowed.intersection(rule.operations);
        }
        // A key for nothing is a mistake, and would stand in the way of a right one.
        if allowed.is_empty() {
            return Err(Refusal::KeyForbids { operation });
        }
        Ok(())
    }

    /// Writes the version, and then the key that makes it one.
    pub(super) fn write(
        &self,
        making: Making<'_>,
        draw: &mut dyn Draw,
    ) -> Result<(KeyNameBuf, Body), Refusal> {
        let family = Family::draw(draw);
        let version = NewVersion {
            number: 1,
            state: KeyState::Enabled,
            fields: VersionFields {
                own: None,
                voucher: Voucher::Vault,
                was_unsealed: false,
                was_in_clear: false,
                told_lease_secs: None,
            },
            key_type: self.key_type,
            material: making.material,
            since_boot_ms: self.now.boot_ms,
        };
        let version = version.write(family, None, draw)?;
        let fields = KeyFields {
            name: self.name.to_owned(),
            key_type: self.key_type,
            origin: making.origin,
            origin_uri: None,
            id: making.id,
            family,
            created_secs: self.now.wall_secs,
            maker: self.rule.is_none().then_some(self.uid),
            born_under_rule: self.rule.is_some(),
            terms: making.terms,
            former: Vec::new(),
        };
        fields.write(vec![version], draw)
    }
}
