//! AES key wrap (RFC 3394).

use super::CryptoError;
use crate::secret::SecretBuf;

/// Unwraps `wrapped` (a multiple of 8 bytes, at least 24) under `kek` (32 bytes) with the default
/// integrity value.
///
/// # Errors
/// [`CryptoError::NotAuthentic`], [`CryptoError::InvalidKey`], [`CryptoError::BadLength`],
/// [`CryptoError::ArenaFull`].
pub fn aes256_key_unwrap(_kek: &[u8], _wrapped: &[u8]) -> Result<SecretBuf, CryptoError> {
    Err(CryptoError::NotInstalled)
}
