//! Keys that are made out of another one: `derive`, `agree`, `encapsulate`, `decapsulate`.
//!
//! Nothing of the secret they share comes out, and what comes of it is a symmetric key under a
//! policy that is no wider than its parent's. Whoever knows the other side of an agreement knows
//! the child, too: it is a shared key, and nothing that guards another one.

use super::{Call, with_parent, with_parent_then};
use crate::access::Access;
use crate::keys::{Expanded, Lease, Material, OwnPolicy, curve_of};
use crate::permissions::uses_of;
use crate::policy::KeyRule;
use crate::refusal::Stop;
use crate::{Now, Outcome, Refusal, Session, Vault};
use nitride_protocol::application::{Agree, Child, Decapsulate, Derive, Encapsulate, Encapsulated};
use nitride_protocol::{KeyType, Message, Operation, OperationSet, Reader};
use nitride_secmem::SecretBuf;
use nitride_secmem::crypto::{CryptoError, HashAlgorithm, KeyAlgorithm, hkdf, parse_spki, sha256};
use std::cell::OnceCell;

/// What a child comes of.
struct Shared<'s> {
    /// How it came to be shared.
    verb: &'static [u8],
    secret: &'s [u8],
    salt: &'s [u8],
    /// What else tells this secret from others.
    context: &'s [&'s [u8]],
}

/// A child before it has its name.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) parent_version: u32,
    pub(super) terms: OwnPolicy,
    pub(super) material: SecretBuf,
    /// Whoever makes the same key out of the same has the same identity for it, so that its
    /// ciphertexts open there.
    pub(super) id: [u8; 16],
}

pub(super) fn derive(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Derive {
        key,
        version,
        child,
        salt,
    } = Derive::decode_last(params)?;
    let on = (Operation::Derive, key, version);
    let now = call.now;
    with_parent(vault, session, on, &child, call, |access, rule| {
        let parent = access.version().number.to_be_bytes();
        let shared = Shared {
            verb: b"derive",
            secret: access.record().expose(),
            salt,
            context: &[&access.body().id, &parent, child.name.as_str().as_bytes()],
        };
        shared.make(&child, access, rule, now)
    })
}

pub(super) fn agree(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Agree {
        key,
        version,
        peer_public,
        child,
        salt,
    } = Agree::decode_last(params)?;
    let on = (Operation::Agree, key, version);
    let now = call.now;
    with_parent(vault, session, on, &child, call, |access, rule| {
        let (secret, ours, theirs) = agree_with(access, peer_public)?;
        // In the same order on both sides.
        let (first, second) = if ours <= theirs {
            (&ours, &theirs)
        } else {
            (&theirs, &ours)
        };
        let shared = Shared {
            verb: b"agree",
            secret: secret.expose(),
            salt,
            context: &[first, second],
        };
        shared.make(&child, access, rule, now)
    })
}

pub(super) fn encapsulate(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Encapsulate {
        key,
        version,
        child,
    } = Encapsulate::decode_last(params)?;
    let on = (Operation::Encapsulate, key, version);
    let now = call.now;
    let ciphertext = OnceCell::new();
    with_parent_then(
        vault,
        session,
        on,
        &child,
        call,
        |access, rule| {
            let live = access.live()?;
            let Expanded::MlKem768(key) = live.expanded() else {
                return Err(access.wrong_type(Operation::Encapsulate));
            };
            let (sealed, secret) = key.encapsulate()?;
            let made =
                Shared::encapsulated(&secret, &sha256(&[&sealed]), &child, access, rule, now);
            // Set here alone, and once.
            let _ = ciphertext.set(sealed);
            made
        },
        |key_version, version, call| {
            call.answer(&Encapsulated {
                key_version,
                ciphertext: ciphertext.get().map_or(&[], Vec::as_slice),
                version,
            })
        },
    )
}

pub(super) fn decapsulate(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Decapsulate {
        key,
        version,
        ciphertext,
        child,
    } = Decapsulate::decode_last(params)?;
    let on = (Operation::Decapsulate, key, version);
    let now = call.now;
    with_parent(vault, session, on, &child, call, |access, rule| {
        let live = access.live()?;
        let Expanded::MlKem768(key) = live.expanded() else {
            return Err(access.wrong_type(Operation::Decapsulate));
        };
        let opened = key.decapsulate(ciphertext);
        let secret = opened.map_err(|error| match error {
            CryptoError::BadLength => Refusal::NotACiphertext,
            error => error.into(),
        })?;
        Shared::encapsulated(&secret, &sha256(&[ciphertext]), &child, access, rule, now)
    })
}

/// Whether a key of this type may come of another one at all; its length, if so.
pub(super) fn derived_len(key_type: KeyType) -> Result<usize, Refusal> {
    match key_type {
        KeyType::Secret => Err(Refusal::SecretNotOurs),
        KeyType::Aes256Kwp => Err(Refusal::WrappingKeyNotOurs),
        key_type => Material::derived_len(key_type).ok_or(Refusal::NotDerived { key_type }),
    }
}

impl Shared<'_> {
    /// The child of an encapsulated secret, the same on both sides.
    fn encapsulated(
        secret: &SecretBuf,
        ciphertext_digest: &[u8; 32],
        child: &Child<'_>,
        access: &Access<'_>,
        rule: Option<&KeyRule>,
        now: Now,
    ) -> Result<Made, Refusal> {
        let shared = Shared {
            verb: b"encapsulate",
            secret: secret.expose(),
            salt: &[],
            context: &[ciphertext_digest],
        };
        shared.make(child, access, rule, now)
    }

    /// The child of what is shared. Each field that tells children apart has its length before it
    /// or is the last, so that no two of them spell one info.
    fn make(
        &self,
        child: &Child<'_>,
        access: &Access<'_>,
        rule: Option<&KeyRule>,
        now: Now,
    ) -> Result<Made, Refusal> {
        let len = derived_len(child.key_type)?;
        let mut info = b"nitride child v1\0".to_vec();
        let fields = [self.verb, child.key_type.as_str().as_bytes()];
        for field in fields.iter().chain(self.context) {
            let len = u16::try_from(field.len()).map_err(|_| Refusal::TooLarge)?;
            info.extend(len.to_be_bytes());
            info.extend_from_slice(field);
        }
        info.extend_from_slice(child.info);
        let material = hkdf(HashAlgorithm::Sha256, self.secret, self.salt, &info, len)?;
        Ok(Made {
            parent_version: access.version().number,
            terms: terms(child, access, rule, now)?,
            material,
            id: identity(&info, self.salt),
        })
    }
}

/// No wider than everything that is said of the parent, now.
fn terms(
    child: &Child<'_>,
    access: &Access<'_>,
    rule: Option<&KeyRule>,
    now: Now,
) -> Result<OwnPolicy, Refusal> {
    let (body, version) = (access.body(), access.version());
    let mut parent = access.effective(rule);
    parent.max_uses = parent
        .max_uses
        .map(|max_uses| max_uses.saturating_sub(body.uses_taken()));
    // The child's lease counts from now.
    let left_ms = Lease::of(body, version, rule).left_ms(version, now);
    parent.lease_secs = left_ms.map(|left_ms| left_ms / 1000);
    let terms = OwnPolicy::child_of(&parent, body.key_type, child.operations, child.key_type)?;
    let asked = child.operations.unwrap_or(OperationSet::EMPTY);
    let uses = asked.intersection(uses_of(child.key_type));
    if uses
        .iter()
        .any(|operation| !terms.operations.contains(operation))
    {
        return Err(Refusal::WouldWiden);
    }
    Ok(terms)
}

/// The shared secret, our public key and theirs.
fn agree_with(access: &Access<'_>, peer: &[u8]) -> Result<(SecretBuf, Vec<u8>, Vec<u8>), Refusal> {
    let live = access.live()?;
    let algorithm = match curve_of(access.body().key_type) {
        Some(curve) => KeyAlgorithm::Ec(curve),
        None => KeyAlgorithm::X25519,
    };
    // As an SPKI, or raw as it stands in one.
    let theirs = match parse_spki(peer) {
        Some(parsed) if parsed.algorithm == algorithm => parsed.key,
        Some(_) => return Err(Refusal::WrongPeerKey),
        None => peer,
    };
    let wrong_key = |error| match error {
        CryptoError::ArenaFull => Refusal::ArenaFull,
        _ => Refusal::WrongPeerKey,
    };
    let (secret, ours) = match live.expanded() {
        Expanded::Ec(key) => {
            let secret = key.ecdh(theirs).map_err(wrong_key)?;
            (secret, key.public_point().as_bytes().to_vec())
        }
        Expanded::X25519(key) => {
            let theirs = theirs.try_into().map_err(|_| Refusal::WrongPeerKey)?;
            (key.agree(theirs).map_err(wrong_key)?, key.public().to_vec())
        }
        _ => return Err(access.wrong_type(Operation::Agree)),
    };
    Ok((secret, ours, theirs.to_vec()))
}

/// From what is known in public of how it came to be.
fn identity(info: &[u8], salt: &[u8]) -> [u8; 16] {
    let digest = sha256(&[
        b"nitride key identity\0derived\0",
        &sha256(&[info]),
        &sha256(&[salt]),
    ]);
    let mut id = [0; 16];
    for (place, byte) in id.iter_mut().zip(digest) {
        *place = byte;
    }
    id
}
