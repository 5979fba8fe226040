//! HKDF (RFC 5869), from the arena into the arena.

use super::owned::succeeded;
use super::{CryptoError, HashAlgorithm};
use crate::door;
use crate::secret::SecretBuf;

/// `len` bytes out of `secret` (which should lie in an arena): extracted with `salt`, where none
/// is a digest of zeroes, and expanded with `info`.
///
/// # Errors
/// [`CryptoError::BadLength`] for more than 255 digests, [`CryptoError::ArenaFull`].
pub fn hkdf(
    hash: HashAlgorithm,
    secret: &[u8],
    salt: &[u8],
    info: &[u8],
    len: usize,
) -> Result<SecretBuf, CryptoError> {
    check_len(hash, len)?;
    let mut out = SecretBuf::with_len(len)?;
    door::enter(|| {
        let out = out.expose_mut();
        // SAFETY: every pointer goes with the length of its slice; `out` is ours alone.
        let derived = unsafe {
            aws_lc_sys::HKDF(
                out.as_mut_ptr(),
                out.len(),
                hash.evp(),
                secret.as_ptr(),
                secret.len(),
                salt.as_ptr(),
                salt.len(),
                info.as_ptr(),
                info.len(),
            )
        };
        succeeded(derived, CryptoError::Refused)
    })?;
    Ok(out)
}

/// `len` bytes expanded out of `key`, which is uniform already (and should lie in an arena).
///
/// # Errors
/// [`CryptoError::BadLength`] for more than 255 digests, [`CryptoError::ArenaFull`].
pub fn hkdf_expand(
    hash: HashAlgorithm,
    key: &[u8],
    info: &[u8],
    len: usize,
) -> Result<SecretBuf, CryptoError> {
    check_len(hash, len)?;
    let mut out = SecretBuf::with_len(len)?;
    door::enter(|| {
        let out = out.expose_mut();
        // SAFETY: as in `hkdf`.
        let derived = unsafe {
            aws_lc_sys::HKDF_expand(
                out.as_mut_ptr(),
                out.len(),
                hash.evp(),
                key.as_ptr(),
                key.len(),
                info.as_ptr(),
                info.len(),
            )
        };
        succeeded(derived, CryptoError::Refused)
    })?;
    Ok(out)
}

fn check_len(hash: HashAlgorithm, len: usize) -> Result<(), CryptoError> {
    if len <= 255 * hash.digest_len() {
        Ok(())
    } else {
        Err(CryptoError::BadLength)
    }
}
