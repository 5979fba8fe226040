//! ECDSA with SHA-256 and ECDH on P-256 (FIPS 186-5, SP 800-56A).

use super::CryptoError;
use crate::secret::SecretBuf;
use std::fmt;

/// An ECDSA signature as `r || s`, 32 bytes each, big-endian.
pub type FixedSignature = [u8; 64];

/// An ECDSA signature as a DER `SEQUENCE` of two `INTEGER`s, at most 72 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DerSignature {
    bytes: [u8; 72],
    len: usize,
}

impl DerSignature {
    /// The DER bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// A private key, expanded and kept.
pub struct EcP256 {}

impl EcP256 {
    /// A fresh key, drawn by AWS-LC.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn generate() -> Result<Self, CryptoError> {
        Err(CryptoError::NotInstalled)
    }

    /// The key with this scalar (32 bytes, big-endian, above zero and below the order).
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`], [`CryptoError::ArenaFull`].
    pub fn from_scalar(_scalar: &[u8]) -> Result<Self, CryptoError> {
        Err(CryptoError::NotInstalled)
    }

    /// Writes the scalar to `out`, which should lie in an arena.
    pub fn scalar_into(&self, _out: &mut [u8; 32]) {}

    /// The public key as an uncompressed point, `04 || x || y`.
    #[must_use]
    pub fn public_point(&self) -> [u8; 65] {
        [0; 65]
    }

    /// Signs the SHA-256 digest of `message`.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn sign(&self, _message: &[u8]) -> Result<FixedSignature, CryptoError> {
        Err(CryptoError::NotInstalled)
    }

    /// The x coordinate shared with the holder of `peer_point`: raw, to be fed to a KDF.
    ///
    /// # Errors
    /// [`CryptoError::InvalidPoint`], [`CryptoError::ArenaFull`].
    pub fn ecdh(&self, _peer_point: &[u8; 65]) -> Result<SecretBuf, CryptoError> {
        Err(CryptoError::NotInstalled)
    }
}

impl fmt::Debug for EcP256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EcP256(redacted)")
    }
}

/// Whether `signature` over the concatenation of `message_parts` is of the key `point`.
#[must_use]
pub fn verify_p256_sha256(
    _point: &[u8; 65],
    _message_parts: &[&[u8]],
    _signature: &FixedSignature,
) -> bool {
    false
}

/// The DER form of `signature`.
#[must_use]
pub fn fixed_to_der(_signature: &FixedSignature) -> DerSignature {
    DerSignature {
        bytes: [0; 72],
        len: 0,
    }
}

/// The fixed form of a DER signature; nothing if `der` is not exactly that.
#[must_use]
pub fn der_to_fixed(_der: &[u8]) -> Option<FixedSignature> {
    None
}
