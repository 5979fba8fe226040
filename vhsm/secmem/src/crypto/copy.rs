//! Copies of secrets, made behind the door: a copy passes registers, vector registers too.

use super::CryptoError;
use crate::door;
use crate::secret::SecretBuf;

/// A copy of `secret` in the arena.
pub(super) fn into_arena(secret: &[u8]) -> Result<SecretBuf, CryptoError> {
    let mut copy = SecretBuf::with_len(secret.len())?;
    copy_secret(secret, copy.expose_mut());
    Ok(copy)
}

/// Copies `secret` to `out`, which is as long and should lie in an arena.
pub(super) fn copy_secret(secret: &[u8], out: &mut [u8]) {
    door::through(|| out.copy_from_slice(secret));
}
