//! HMAC-SHA-256 (RFC 2104, FIPS 198-1).

use super::CryptoError;
use std::fmt;

/// A keyed context, copied inside the arena for each call.
pub struct HmacSha256 {}

impl HmacSha256 {
    /// Keys a context with `key`, of any length but zero.
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`] for an empty key, [`CryptoError::ArenaFull`].
    pub fn new(_key: &[u8]) -> Result<Self, CryptoError> {
        Err(CryptoError::NotInstalled)
    }

    /// The tag over `data`.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn tag(&self, _data: &[u8]) -> Result<[u8; 32], CryptoError> {
        Err(CryptoError::NotInstalled)
    }

    /// Whether `tag` is the whole tag over `data`, compared in constant time.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn verify(&self, _data: &[u8], _tag: &[u8]) -> Result<bool, CryptoError> {
        Err(CryptoError::NotInstalled)
    }
}

impl fmt::Debug for HmacSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacSha256(redacted)")
    }
}
