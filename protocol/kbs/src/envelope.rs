//! A resource as its owner stored it: COSE_Sign1 (RFC 9052, 4.2) around a payload that names
//! itself. The CDDL is `cddl/envelope.cddl`.
//!
//! JWE says nothing about who sent it or which resource it is. The envelope does: the owner signs
//! the path, the type, the version and the policy together with the material, and a service keeps
//! it unmodified.
//!
//! ```text
//! bytes ──parse──> UnverifiedEnvelope ──verified_by(check)──> Envelope ──> fields, borrowed
//! ```
//!
//! The input is a secret in the clear. Both types borrow it; nothing of the payload's material is
//! copied. Exactly one encoding is accepted (deterministic CBOR, fixed headers), but for the
//! signature itself: an ECDSA signature has a second form `(r, n - s)`, so an envelope's bytes
//! are not to be used as its identity.

mod decode;
mod encode;
mod release_to;

pub use decode::{EnvelopeError, UnverifiedEnvelope, looks_like_envelope};
pub use encode::{assemble, to_be_signed};
pub use release_to::{ReleaseTo, ReleaseToError};

use std::fmt;

/// The version of the payload that is read and written.
pub const ENVELOPE_VERSION: u64 = 1;

/// An envelope whose signature the caller's check accepted.
#[derive(Debug)]
pub struct Envelope<'a> {
    fields: EnvelopeFields<'a>,
}

impl<'a> Envelope<'a> {
    /// What the signer says.
    pub fn fields(&self) -> &EnvelopeFields<'a> {
        &self.fields
    }
}

/// What an envelope's payload holds; to write one, and borrowed from one that was read.
#[derive(Clone)]
pub struct EnvelopeFields<'a> {
    /// `repo/type/tag`, without scheme.
    pub path: &'a str,
    /// The type of the key, such as `ec-p256`: 1 to 32 bytes.
    pub key_type: &'a str,
    /// Counts up from 1 whenever the owner stores new material.
    pub version: u32,
    /// Whose it is, where a service has several owners: 1 to 255 bytes.
    pub tenant: Option<&'a str>,
    /// When it was signed, in seconds since 1970 by the owner's clock. No clock of the guest can
    /// check it: the host owns that one.
    pub created_secs: u64,
    /// What may be done with it.
    pub policy: EnvelopePolicy<'a>,
    /// The material, raw: AES and HMAC key bytes, a P-256 scalar, an Ed25519 seed, secret bytes.
    pub material: &'a [u8],
}

/// The policy that travels with a key; who holds the key may narrow it and not widen it. Each list
/// has at most 64 entries, each named once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopePolicy<'a> {
    /// The operations that are allowed; what is not listed is not.
    pub operations: Vec<&'a str>,
    /// The keys that may wrap it.
    pub wrappable_by: Vec<&'a str>,
    /// To whom it may be released, in the text of [`ReleaseTo`].
    pub release_to: Vec<&'a str>,
    /// How long it may be held after it came, in seconds; `None`: without end.
    pub lease_secs: Option<u64>,
    /// When it ends, in seconds since 1970; `None`: never.
    pub not_after_secs: Option<u64>,
    /// The volumes that it is for, in the text of [`crate::disk::DiskExpectation`]: it is released to
    /// no other volume. `None`: to whichever has the name.
    pub disk: Option<Vec<&'a str>>,
}

impl fmt::Debug for EnvelopeFields<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EnvelopeFields")
            .field("path", &self.path)
            .field("key_type", &self.key_type)
            .field("version", &self.version)
            .field("tenant", &self.tenant)
            .field("created_secs", &self.created_secs)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
