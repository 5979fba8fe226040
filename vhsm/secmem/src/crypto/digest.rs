//! Digests, the concatenation KDF, comparison in constant time.

use super::CryptoError;
use crate::secret::SecretBuf;

/// SHA-256 of the concatenation of `parts`, which are public.
#[must_use]
pub fn sha256(_parts: &[&[u8]]) -> [u8; 32] {
    [0; 32]
}

/// SHA-384 of the concatenation of `parts`, which are public.
#[must_use]
pub fn sha384(_parts: &[&[u8]]) -> [u8; 48] {
    [0; 48]
}

/// 32 bytes by the concatenation KDF with SHA-256 (NIST SP 800-56A 5.8.1, one round).
///
/// # Errors
/// [`CryptoError::ArenaFull`].
pub fn concat_kdf_sha256(_z: &SecretBuf, _other_info: &[u8]) -> Result<SecretBuf, CryptoError> {
    Err(CryptoError::NotInstalled)
}

/// Whether `a` and `b` are equal, in time that depends on their lengths alone.
#[must_use]
pub fn constant_time_eq(_a: &[u8], _b: &[u8]) -> bool {
    false
}
