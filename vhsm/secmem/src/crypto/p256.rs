//! P-256 with SHA-256, in the fixed lengths that the protocols of a round have.

use super::ec::verify_by;
use super::hash::Digest;
use super::{CryptoError, Curve, Ec, HashAlgorithm, Input};
use crate::secret::SecretBuf;
use std::fmt;

/// An ECDSA signature as `r || s`, 32 bytes each, big-endian.
pub type FixedSignature = [u8; 64];

/// An [`Ec`] on P-256.
pub struct EcP256(Ec);

impl EcP256 {
    /// A fresh key, drawn by AWS-LC.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn generate() -> Result<Self, CryptoError> {
        Ec::generate(Curve::P256).map(Self)
    }

    /// The key with this scalar (32 bytes, big-endian, above zero and below the order).
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`], [`CryptoError::ArenaFull`].
    pub fn from_scalar(scalar: &[u8]) -> Result<Self, CryptoError> {
        Ec::from_scalar(Curve::P256, scalar).map(Self)
    }

    /// Writes the scalar to `out`, which should lie in an arena.
    pub fn scalar_into(&self, out: &mut [u8; 32]) {
        let written = self.0.scalar_into(out);
        debug_assert_eq!(written, Ok(()), "a scalar of P-256 has 32 bytes");
    }

    /// The public key as an uncompressed point, `04 || x || y`.
    #[must_use]
    pub fn public_point(&self) -> [u8; 65] {
        array(self.0.public_point().as_bytes())
    }

    /// Signs the SHA-256 digest of `message`.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn sign(&self, message: &[u8]) -> Result<FixedSignature, CryptoError> {
        let signature = self
            .0
            .sign(HashAlgorithm::Sha256, Input::Message(message))?;
        Ok(array(signature.as_bytes()))
    }

    /// The x coordinate shared with the holder of `peer_point`: raw, to be fed to a KDF.
    ///
    /// # Errors
    /// [`CryptoError::InvalidPoint`], [`CryptoError::ArenaFull`].
    pub fn ecdh(&self, peer_point: &[u8; 65]) -> Result<SecretBuf, CryptoError> {
        self.0.ecdh(peer_point)
    }
}

impl fmt::Debug for EcP256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EcP256(redacted)")
    }
}

/// Whether `signature` over the concatenation of `message_parts` is of the key `point`. Where that
/// cannot be told, since the arena is full, it is not.
#[must_use]
pub fn verify_p256_sha256(
    point: &[u8; 65],
    message_parts: &[&[u8]],
    signature: &FixedSignature,
) -> bool {
    verify_by(Curve::P256, point, signature, || {
        Ok(Digest::of_parts(HashAlgorithm::Sha256, message_parts))
    })
    .unwrap_or(false)
}

/// `bytes` as an array; they have its length on this curve.
fn array<const LEN: usize>(bytes: &[u8]) -> [u8; LEN] {
    debug_assert_eq!(bytes.len(), LEN);
    bytes.try_into().unwrap_or([0; LEN])
}
