//! AES key wrap (RFC 3394).

use super::CryptoError;
use super::owned::succeeded;
use crate::door;
use crate::secret::SecretBuf;
use aws_lc_sys::AES_KEY;
use std::ptr;

/// Longest wrapped key, in bytes: far more than any key, far less than a length that overflows.
const MAX_WRAPPED_LEN: usize = 64 * 1024;

/// Unwraps `wrapped` (a multiple of 8 bytes, from 24 bytes to 64 KiB) under `kek` (32 bytes) with
/// the default integrity value.
///
/// # Errors
/// [`CryptoError::NotAuthentic`], [`CryptoError::InvalidKey`], [`CryptoError::BadLength`],
/// [`CryptoError::ArenaFull`].
pub fn aes256_key_unwrap(kek: &[u8], wrapped: &[u8]) -> Result<SecretBuf, CryptoError> {
    if kek.len() != 32 {
        return Err(CryptoError::InvalidKey);
    }
    if !(24..=MAX_WRAPPED_LEN).contains(&wrapped.len()) || !wrapped.len().is_multiple_of(8) {
        return Err(CryptoError::BadLength);
    }
    let mut schedule = SecretBuf::with_len(size_of::<AES_KEY>())?;
    let mut key = SecretBuf::with_len(wrapped.len() - 8)?;
    door::enter(|| {
        let schedule = schedule.expose_mut().as_mut_ptr().cast::<AES_KEY>();
        // SAFETY: the schedule has the size that it was allocated with and the arena's alignment
        // of 16, and is valid for any bytes; 256 bits are read of the 32 bytes. Zero is success.
        let set = unsafe { aws_lc_sys::AES_set_decrypt_key(kek.as_ptr(), 256, schedule) };
        succeeded(set + 1, CryptoError::Refused)?;
        // SAFETY: `wrapped` is read for its length, and 8 bytes fewer are written, as the buffer
        // has; null stands for the default integrity value.
        let unwrapped = unsafe {
            aws_lc_sys::AES_unwrap_key(
                schedule,
                ptr::null(),
                key.expose_mut().as_mut_ptr(),
                wrapped.as_ptr(),
                wrapped.len(),
            )
        };
        if usize::try_from(unwrapped) == Ok(key.len()) {
            Ok(())
        } else {
            Err(CryptoError::NotAuthentic)
        }
    })?;
    Ok(key)
}
