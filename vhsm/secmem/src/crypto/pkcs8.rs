//! Private keys in PKCS#8 (RFC 5208, RFC 5958), strictly: DER in its one form, no attributes,
//! nothing encrypted, nothing after.
//!
//! Nothing is copied: what is parsed points into what was given, which should lie in an arena.

use super::der::{INTEGER, OCTET_STRING, Reader, SEQUENCE, whole_bytes};
use super::{CryptoError, KeyAlgorithm, constant_time_eq};
use crate::door;
use std::fmt;

/// Longest PKCS#8 file that is looked at, in bytes: both forms of an ML-DSA-65 key, and the
/// public one, are 6 KiB.
pub const MAX_PKCS8_LEN: usize = 8 * 1024;

/// `[0]` and `[1]` around another value.
const OUTER_0: u8 = 0xa0;
const OUTER_1: u8 = 0xa1;
/// `[0]` and `[1]` in place of the tag that the value would have.
const IN_PLACE_0: u8 = 0x80;
const IN_PLACE_1: u8 = 0x81;

/// What a PKCS#8 file holds. Whether it is a key is for its type to say.
#[derive(Clone, Copy)]
pub struct PrivateKeyInfo<'a> {
    /// Of which kind the key is.
    pub algorithm: KeyAlgorithm,
    /// The scalar (EC), the 32 bytes (Ed25519, X25519), the seed (ML-DSA, ML-KEM), or an
    /// `RSAPrivateKey` in DER (RSA).
    pub secret: &'a [u8],
    /// The public key, if it is there: as in an SPKI's `BIT STRING`.
    pub public: Option<&'a [u8]>,
    /// What the seed expands to, if that is there too.
    pub expanded: Option<&'a [u8]>,
}

impl fmt::Debug for PrivateKeyInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKeyInfo({:?}, redacted)", self.algorithm)
    }
}

/// Reads a PKCS#8 file. An ML-DSA or ML-KEM key must have its seed.
///
/// # Errors
/// [`CryptoError::BadEncoding`], [`CryptoError::WrongAlgorithm`] for a kind of key that is not
/// known here, [`CryptoError::NoSeed`].
pub fn parse_pkcs8(der: &[u8]) -> Result<PrivateKeyInfo<'_>, CryptoError> {
    if der.len() > MAX_PKCS8_LEN {
        return Err(CryptoError::BadEncoding);
    }
    // Its bytes pass the stack one by one.
    door::through(|| parse(der))
}

fn parse(der: &[u8]) -> Result<PrivateKeyInfo<'_>, CryptoError> {
    let outer = outer(der).ok_or(CryptoError::BadEncoding)?;
    let algorithm =
        KeyAlgorithm::of_identifier(outer.identifier).ok_or(CryptoError::WrongAlgorithm)?;
    let inner = match algorithm {
        KeyAlgorithm::Ec(_) => ec(algorithm, outer.key),
        KeyAlgorithm::Ed25519 | KeyAlgorithm::X25519 => {
            KeyAlgorithm::inner_octets(outer.key).map(Inner::only)
        }
        KeyAlgorithm::Rsa => Reader::only(outer.key, SEQUENCE).map(|_| Inner::only(outer.key)),
        KeyAlgorithm::MlDsa65 | KeyAlgorithm::MlKem768 => match seeded(algorithm, outer.key) {
            Some(None) => return Err(CryptoError::NoSeed),
            Some(inner) => inner,
            None => None,
        },
    }
    .ok_or(CryptoError::BadEncoding)?;
    let public = match (inner.public, outer.public) {
        (Some(one), Some(other)) if one != other => return Err(CryptoError::InvalidKey),
        (one, other) => one.or(other),
    };
    Ok(PrivateKeyInfo {
        algorithm,
        secret: inner.secret,
        public,
        expanded: inner.expanded,
    })
}

impl PrivateKeyInfo<'_> {
    /// Itself, if it is of this kind.
    pub(super) fn expect_algorithm(self, algorithm: KeyAlgorithm) -> Result<Self, CryptoError> {
        if self.algorithm == algorithm {
            Ok(self)
        } else {
            Err(CryptoError::WrongAlgorithm)
        }
    }

    /// Whether the public key in the file, if there is one, is the one of its private key.
    pub(super) fn check_public(&self, public: &[u8]) -> Result<(), CryptoError> {
        match self.public {
            Some(given) if given != public => Err(CryptoError::InvalidKey),
            _ => Ok(()),
        }
    }

    /// Whether the expanded key in the file, if there is one, is what the seed expands to.
    pub(super) fn check_expanded(&self, expanded: &[u8]) -> Result<(), CryptoError> {
        match self.expanded {
            Some(given) if !constant_time_eq(given, expanded) => Err(CryptoError::InvalidKey),
            _ => Ok(()),
        }
    }
}

/// `OneAsymmetricKey` with version 0, or version 1 and a public key.
struct Outer<'a> {
    identifier: &'a [u8],
    key: &'a [u8],
    public: Option<&'a [u8]>,
}

fn outer(der: &[u8]) -> Option<Outer<'_>> {
    let mut reader = Reader::only(der, SEQUENCE)?;
    let has_public = match reader.take(INTEGER)? {
        [0] => false,
        [1] => true,
        _ => return None,
    };
    let identifier = reader.take(SEQUENCE)?;
    let key = reader.take(OCTET_STRING)?;
    let public = if has_public {
        Some(whole_bytes(reader.take(IN_PLACE_1)?)?)
    } else {
        None
    };
    reader.end()?;
    Some(Outer {
        identifier,
        key,
        public,
    })
}

/// What the inner `OCTET STRING` holds.
struct Inner<'a> {
    secret: &'a [u8],
    public: Option<&'a [u8]>,
    expanded: Option<&'a [u8]>,
}

impl<'a> Inner<'a> {
    fn only(secret: &'a [u8]) -> Self {
        Self {
            secret,
            public: None,
            expanded: None,
        }
    }
}

/// `ECPrivateKey` (RFC 5915): if it names a curve, then the same.
fn ec(algorithm: KeyAlgorithm, der: &[u8]) -> Option<Inner<'_>> {
    let mut reader = Reader::only(der, SEQUENCE)?;
    if reader.take(INTEGER)? != [1] {
        return None;
    }
    let secret = reader.take(OCTET_STRING)?;
    if let Some(curve) = reader.take(OUTER_0)
        && algorithm.curve_identifier() != Some(curve)
    {
        return None;
    }
    let public = match reader.take(OUTER_1) {
        Some(contents) => {
            let mut bits = Reader::new(contents);
            let public = bits.take_bits()?;
            bits.end()?;
            Some(public)
        }
        None => None,
    };
    reader.end()?;
    Some(Inner {
        secret,
        public,
        expanded: None,
    })
}

/// The seed alone, or the seed and what it expands to (RFC 9881 6, RFC 9935 6). A key that came
/// without its seed is the inner nothing.
fn seeded(algorithm: KeyAlgorithm, der: &[u8]) -> Option<Option<Inner<'_>>> {
    let is_seed = |seed: &&[u8]| Some(seed.len()) == algorithm.seed_len();
    let is_expanded = |key: &&[u8]| Some(key.len()) == algorithm.expanded_len();
    let mut reader = Reader::new(der);
    let inner = if let Some(seed) = reader.take(IN_PLACE_0) {
        Some(Inner::only(Some(seed).filter(is_seed)?))
    } else if let Some(expanded) = reader.take(OCTET_STRING) {
        Some(expanded).filter(is_expanded)?;
        None
    } else {
        let mut both = Reader::new(reader.take(SEQUENCE)?);
        let secret = both.take(OCTET_STRING).filter(is_seed)?;
        let expanded = both.take(OCTET_STRING).filter(is_expanded)?;
        both.end()?;
        Some(Inner {
            secret,
            public: None,
            expanded: Some(expanded),
        })
    };
    reader.end()?;
    Some(inner)
}
