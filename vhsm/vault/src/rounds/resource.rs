//! From a JWE to facts about a key: opened, authenticated, held against what was asked.

use super::stage::Destination;
use super::tee_key::TeeKey;
use crate::keys::{CommitRefused, Delivered, Owner, Voucher};
use crate::policy::{ActivePolicy, Believed, KeyRule, ListedSigner, ReleaseTo, Unsigned};
use crate::{ListTaken, Now, Refusal, SignerListFault};
use nitride_kbs::disk::DiskExpectation;
use nitride_kbs::envelope::{EnvelopeError, EnvelopeFields, UnverifiedEnvelope};
use nitride_kbs::jwe::{Jwe, JweError};
use nitride_kbs::resource::ResourcePath;
use nitride_protocol::{KeyNameBuf, KeyType, Operation};
use nitride_secmem::SecretBuf;
use nitride_secmem::crypto::{
    AeadAlgorithm, AeadKey, CryptoError, aes256_key_unwrap, verify_p256_sha256,
};
use std::sync::Arc;
use thiserror::Error;

/// Why a delivered resource was refused.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum ResourceFault {
    /// It is no JWE of the protocol.
    #[error("the resource is no jwe of the protocol")]
    NotAJwe(#[source] Arc<JweError>),
    /// It does not open with this round's key: it is another round's, or was changed.
    #[error("the jwe does not open with this round's key")]
    DoesNotOpen(#[source] CryptoError),
    /// It is for another form of key than the round's.
    #[error("the jwe is for another form of key than this round's")]
    OtherKeyForm,
    /// There is nothing in it.
    #[error("the resource is empty")]
    Empty,
    /// Nobody signed it, and the key's rule does not say that this may be.
    #[error("the resource is not signed")]
    Unsigned,
    /// The envelope is malformed, or its signature not the signer's.
    #[error("the envelope is malformed or not of its signer")]
    Envelope(#[source] Arc<EnvelopeError>),
    /// The envelope names a signer that the key's rule does not.
    #[error("the envelope's signer is none of the key's")]
    UnknownSigner,
    /// Nobody is believed for the key yet: its signer has a list, and none that counts has come.
    #[error("no list of the key's signer has come that counts")]
    NoSignerList,
    /// It is to be a list of signers, and is refused.
    #[error("the list of signers is refused")]
    SignerList(#[source] SignerListFault),
    /// The envelope is of another resource: of the one who swapped them.
    #[error("the envelope is of another resource than was asked for")]
    OtherPath,
    /// The envelope's key has another type than the rule says.
    #[error("the envelope's key is not of type {expected}")]
    OtherKeyType {
        /// The type that the rule says.
        expected: KeyType,
    },
    /// The envelope is another tenant's, or names one where the rule names none.
    #[error("the envelope is of another tenant")]
    OtherTenant,
    /// The envelope ended already, by the wall clock.
    #[error("the envelope's key has ended")]
    Ended,
    /// An older version than one that this vault has held: a replay.
    #[error("the envelope's version is older than version {held}, which was held")]
    OlderVersion {
        /// The newest that was held.
        held: u32,
    },
    /// Other material under a version that this vault holds.
    #[error("the envelope has other material under a version that is held")]
    OtherMaterial,
    /// The name belongs to a key that was made here.
    #[error("a key that was made here has the name")]
    NameTaken,
    /// The key or its version was destroyed here.
    #[error("the key was destroyed here")]
    Destroyed,
    /// The key has as many versions as it may.
    #[error("the key has as many versions as it may have")]
    TooManyVersions,
    /// The key's rule changed while the round was under way.
    #[error("the key's rule changed while the round was under way")]
    PolicyChanged,
    /// The locked memory is full.
    #[error("the locked arena has no room left")]
    ArenaFull,
    /// The material is no key of its type.
    #[error("the material is no key of its type")]
    BadMaterial,
    /// Something that should not happen.
    #[error("the key cannot be kept")]
    NotKept(#[source] Refusal),
}

impl From<CommitRefused> for ResourceFault {
    fn from(refused: CommitRefused) -> Self {
        match refused {
            CommitRefused::OtherSource => Self::PolicyChanged,
            CommitRefused::OlderVersion { held } => Self::OlderVersion { held },
            CommitRefused::OtherMaterial => Self::OtherMaterial,
            CommitRefused::NotProvisioned => Self::NameTaken,
            CommitRefused::Destroyed => Self::Destroyed,
            CommitRefused::BadMaterial => Self::BadMaterial,
            CommitRefused::TooManyVersions => Self::TooManyVersions,
            CommitRefused::ArenaFull => Self::ArenaFull,
            CommitRefused::Internal(refusal) => Self::NotKept(refusal),
        }
    }
}

impl From<CryptoError> for ResourceFault {
    fn from(error: CryptoError) -> Self {
        match error {
            CryptoError::ArenaFull => Self::ArenaFull,
            error => Self::DoesNotOpen(error),
        }
    }
}

impl From<SignerListFault> for ResourceFault {
    fn from(fault: SignerListFault) -> Self {
        match fault {
            SignerListFault::ArenaFull => Self::ArenaFull,
            fault => Self::SignerList(fault),
        }
    }
}

impl From<EnvelopeError> for ResourceFault {
    fn from(error: EnvelopeError) -> Self {
        Self::Envelope(Arc::new(error))
    }
}

/// Where a resource is from.
pub(super) struct Whence<'r> {
    pub(super) path: &'r ResourcePath,
    pub(super) service: &'r str,
    /// When the key was made under which it came; where it came in the clear, when it was ordered.
    pub(super) made_boot_ms: u64,
}

/// A plaintext that opened under a round's key, or came without one, in the arena. Nobody has vouched
/// for it.
#[derive(Debug)]
pub(super) struct Opened {
    plaintext: SecretBuf,
    told: Option<Told>,
}

/// What the agent says of a secret that it has read. It is the agent's word, and weighs no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Which version of the secret the service gave, from 1: that of a key whose resource says nothing of
    /// itself.
    pub version: u32,
    /// For how long it may be kept: a lease gets shorter by it, and never longer.
    pub lease_secs: Option<u64>,
}

impl Opened {
    /// Opens a JWE with the round's key (RFC 7518, 4.6; RFC 7516, 5.2). Every intermediate value
    /// is in the arena: what is shared, both keys, plaintext.
    pub(super) fn from_jwe(key: &TeeKey, bytes: &[u8]) -> Result<Self, ResourceFault> {
        let jwe = Jwe::parse(bytes).map_err(|error| ResourceFault::NotAJwe(Arc::new(error)))?;
        if jwe.ciphertext().is_empty() {
            return Err(ResourceFault::Empty);
        }
        let wrapping = key.wrapping_key(jwe.header());
        let wrapping = wrapping.ok_or(ResourceFault::OtherKeyForm)??;
        let content = aes256_key_unwrap(wrapping.expose(), jwe.encrypted_key())?;
        let cipher = AeadKey::new(AeadAlgorithm::Aes256Gcm, content.expose())?;
        let sealed = [jwe.ciphertext(), jwe.tag()].concat();
        let mut plaintext =
            SecretBuf::with_len(jwe.ciphertext().len()).map_err(CryptoError::from)?;
        let len = cipher.open(jwe.iv(), &[jwe.aad()], &sealed, plaintext.expose_mut())?;
        plaintext.truncate(len);
        Ok(Self {
            plaintext,
            told: None,
        })
    }

    /// Takes what the agent has read: nothing says where it is from but the agent.
    pub(super) fn in_clear(material: &[u8], told: Told) -> Result<Self, ResourceFault> {
        if material.is_empty() {
            return Err(ResourceFault::Empty);
        }
        Ok(Self {
            plaintext: SecretBuf::copy_of(material).map_err(|_| ResourceFault::ArenaFull)?,
            told: Some(told),
        })
    }

    /// Takes the plaintext as the list of `signer`.
    pub(super) fn take_list(
        &self,
        signer: &ListedSigner,
        made_boot_ms: u64,
        to: &Destination<'_>,
    ) -> Result<Option<ListTaken>, SignerListFault> {
        let into = (to.current, to.keys);
        to.lists
            .take(signer, self.plaintext.expose(), made_boot_ms, into)
    }

    /// Holds the plaintext against what `rule` asks of `path`.
    ///
    /// An envelope is judged as one even where unsigned resources are accepted; only what is no
    /// envelope at all is then taken as it is. `created-secs` is not judged: whoever owns the
    /// guest's clock could make any time look right or wrong, so it is for people to read.
    pub(super) fn judge<'p>(
        &'p self,
        policy: &'p ActivePolicy,
        rule: &'p KeyRule,
        from: &Whence<'_>,
        now: Now,
    ) -> Result<Delivered<'p>, ResourceFault> {
        let plaintext = self.plaintext.expose();
        let delivered = match (UnverifiedEnvelope::parse(plaintext), rule.unsigned) {
            (Ok(envelope), _) => judge_envelope(envelope, policy, rule, from, now),
            (Err(_), Unsigned::Accept) => Ok(plain(policy, rule, from, plaintext)),
            (Err(error), Unsigned::Refuse) => {
                // A plain resource is told from a broken envelope for whoever reads the log.
                if nitride_kbs::envelope::looks_like_envelope(plaintext) {
                    Err(error.into())
                } else {
                    Err(ResourceFault::Unsigned)
                }
            }
        }?;
        Ok(match self.told {
            Some(told) => in_clear(delivered, told),
            None => delivered,
        })
    }
}

/// What the agent says of what it brought counts where nobody else says anything, and shortens a lease:
/// that of this delivery, and not what travels with the key.
fn in_clear(delivered: Delivered<'_>, told: Told) -> Delivered<'_> {
    let version = match delivered.voucher {
        Voucher::Service(_) => told.version,
        Voucher::Vault | Voucher::Owner(_) => delivered.version,
    };
    Delivered {
        in_clear: true,
        version,
        told_lease_secs: told.lease_secs,
        ..delivered
    }
}

fn judge_envelope<'p>(
    envelope: UnverifiedEnvelope<'p>,
    policy: &'p ActivePolicy,
    rule: &'p KeyRule,
    from: &Whence<'_>,
    now: Now,
) -> Result<Delivered<'p>, ResourceFault> {
    let signer = believed_key(policy, rule, envelope.kid(), now)?;
    let envelope = envelope
        .verified_by(|parts, signature| verify_p256_sha256(signer.point, parts, signature))?;
    let fields = envelope.fields();
    if fields.path != from.path.as_str() {
        return Err(ResourceFault::OtherPath);
    }
    if fields.key_type != rule.key_type.as_str() {
        let expected = rule.key_type;
        return Err(ResourceFault::OtherKeyType { expected });
    }
    if fields.tenant != rule.tenant.as_deref() {
        return Err(ResourceFault::OtherTenant);
    }
    // An unknown wall clock ends nothing here; a use under it is refused all the same.
    let ended = |end_secs| now.wall_secs != 0 && end_secs < now.wall_secs;
    if fields.policy.not_after_secs.is_some_and(ended) {
        return Err(ResourceFault::Ended);
    }
    let owner = Owner {
        point: *signer.point,
        tenant: fields.tenant.map(str::to_owned),
    };
    Ok(signed(policy, rule, from, owner, fields))
}

/// The key of this id, among those that the key's rule believes.
fn believed_key<'s>(
    policy: &'s ActivePolicy,
    rule: &KeyRule,
    kid: &[u8],
    now: Now,
) -> Result<Believed<'s>, ResourceFault> {
    let mut believed = policy.believed(rule, Some(now));
    believed
        .find(|key| key.kid == kid)
        .ok_or_else(|| match policy.lacks_list(rule, now) {
            true => ResourceFault::NoSignerList,
            false => ResourceFault::UnknownSigner,
        })
}

/// What travels with the key. An operation, a recipient, a disk or a wrapping key that this vault
/// does not know is left out, which narrows. The rule is not mixed in here: it is asked at each use, and may change.
fn signed<'p>(
    policy: &'p ActivePolicy,
    rule: &'p KeyRule,
    from: &Whence<'_>,
    owner: Owner,
    fields: &EnvelopeFields<'p>,
) -> Delivered<'p> {
    let terms = &fields.policy;
    let known = |name: &&str| name.parse::<Operation>().ok();
    let wrapping = |text: &&str| text.parse::<KeyNameBuf>().ok();
    let recipient = |text: &&str| text.parse::<ReleaseTo>().ok();
    let disk = |text: &&str| text.parse::<DiskExpectation>().ok();
    let disks = terms.disk.as_ref();
    Delivered {
        policy,
        rule,
        voucher: Voucher::Owner(Box::new(owner)),
        in_clear: false,
        version: fields.version,
        operations: terms.operations.iter().filter_map(known).collect(),
        wrappable_by: terms.wrappable_by.iter().filter_map(wrapping).collect(),
        release_to: terms.release_to.iter().filter_map(recipient).collect(),
        disks: disks.map(|disks| disks.iter().filter_map(disk).collect()),
        lease_secs: terms.lease_secs,
        told_lease_secs: None,
        not_after_secs: terms.not_after_secs,
        origin_uri: from.path.to_uri(),
        made_boot_ms: from.made_boot_ms,
        material: fields.material,
    }
}

/// A plain resource says nothing of itself: what the key's rule says stands in for it.
fn plain<'p>(
    policy: &'p ActivePolicy,
    rule: &'p KeyRule,
    from: &Whence<'_>,
    material: &'p [u8],
) -> Delivered<'p> {
    Delivered {
        policy,
        rule,
        voucher: Voucher::Service(from.service.to_owned()),
        in_clear: false,
        version: 1,
        operations: rule.operations,
        wrappable_by: rule.wrappable_by.clone(),
        release_to: rule.release_to.clone(),
        disks: None,
        lease_secs: rule.lease_secs,
        told_lease_secs: None,
        not_after_secs: rule.not_after,
        origin_uri: from.path.to_uri(),
        made_boot_ms: from.made_boot_ms,
        material,
    }
}
