//! Ed25519 (RFC 8032).

use super::CryptoError;
use std::fmt;

/// A private key, expanded and kept.
pub struct Ed25519 {}

impl Ed25519 {
    /// A fresh key, drawn by AWS-LC.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn generate() -> Result<Self, CryptoError> {
        Err(CryptoError::NotInstalled)
    }

    /// The key with this seed (32 bytes).
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`] for another length, [`CryptoError::ArenaFull`].
    pub fn from_seed(_seed: &[u8]) -> Result<Self, CryptoError> {
        Err(CryptoError::NotInstalled)
    }

    /// Writes the seed to `out`, which should lie in an arena.
    pub fn seed_into(&self, _out: &mut [u8; 32]) {}

    /// The public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        [0; 32]
    }

    /// Signs `message`.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn sign(&self, _message: &[u8]) -> Result<[u8; 64], CryptoError> {
        Err(CryptoError::NotInstalled)
    }
}

impl fmt::Debug for Ed25519 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ed25519(redacted)")
    }
}

/// Whether `signature` over `message` is of the key `public`.
#[must_use]
pub fn verify_ed25519(_public: &[u8; 32], _message: &[u8], _signature: &[u8; 64]) -> bool {
    false
}
