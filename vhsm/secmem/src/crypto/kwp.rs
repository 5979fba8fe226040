//! AES-256 key wrap with padding (RFC 5649, NIST SP 800-38F).

use super::CryptoError;
use super::owned::succeeded;
use crate::door;
use crate::secret::SecretBuf;
use aws_lc_sys::AES_KEY;
use std::fmt;

/// Longest key that is wrapped, in bytes: far more than any has, far less than what overflows.
const MAX_KEY_LEN: usize = 64 * 1024;
/// What a wrapped key has beyond the key, padded to a multiple of as many bytes.
const BLOCK_LEN: usize = 8;

/// A wrapping key, expanded both ways.
pub struct Kwp {
    wrapping: SecretBuf,
    unwrapping: SecretBuf,
}

impl Kwp {
    /// Expands `kek` (32 bytes).
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`] for another length, [`CryptoError::ArenaFull`].
    pub fn new(kek: &[u8]) -> Result<Self, CryptoError> {
        if kek.len() != 32 {
            return Err(CryptoError::InvalidKey);
        }
        let mut key = Self {
            wrapping: SecretBuf::with_len(size_of::<AES_KEY>())?,
            unwrapping: SecretBuf::with_len(size_of::<AES_KEY>())?,
        };
        door::enter(|| {
            let wrapping = key.wrapping.expose_mut().as_mut_ptr().cast::<AES_KEY>();
            let unwrapping = key.unwrapping.expose_mut().as_mut_ptr().cast::<AES_KEY>();
            // SAFETY: both schedules have the size that they were allocated with and the arena's
            // alignment of 16, and are valid for any bytes; 256 bits are read of the 32 bytes.
            let set = unsafe {
                (
                    aws_lc_sys::AES_set_encrypt_key(kek.as_ptr(), 256, wrapping),
                    aws_lc_sys::AES_set_decrypt_key(kek.as_ptr(), 256, unwrapping),
                )
            };
            // Zero is success here.
            match set {
                (0, 0) => Ok(()),
                _ => Err(CryptoError::Refused),
            }
        })?;
        Ok(key)
    }

    /// Length of a key of `key_len` bytes when it is wrapped.
    #[must_use]
    pub const fn wrapped_len(key_len: usize) -> usize {
        key_len.div_ceil(BLOCK_LEN) * BLOCK_LEN + BLOCK_LEN
    }

    /// Wraps `key` (1 byte to 64 KiB) to the start of `out`; gives the length written, which is
    /// [`Kwp::wrapped_len`].
    ///
    /// # Errors
    /// [`CryptoError::BadLength`], [`CryptoError::OutputTooShort`], [`CryptoError::ArenaFull`].
    pub fn wrap(&self, key: &[u8], out: &mut [u8]) -> Result<usize, CryptoError> {
        if !(1..=MAX_KEY_LEN).contains(&key.len()) {
            return Err(CryptoError::BadLength);
        }
        let out = out
            .get_mut(..Self::wrapped_len(key.len()))
            .ok_or(CryptoError::OutputTooShort)?;
        // AES-KW wraps in place: the library copies the key to its output and works there.
        let mut wrapped = SecretBuf::with_len(out.len())?;
        door::enter(|| {
            let mut written = 0;
            let place = wrapped.expose_mut();
            // SAFETY: the schedule is what `new` expanded; the key goes with its length, and at
            // most the length of `place` is written there.
            let is_wrapped = unsafe {
                aws_lc_sys::AES_wrap_key_padded(
                    self.wrapping.expose().as_ptr().cast(),
                    place.as_mut_ptr(),
                    &raw mut written,
                    place.len(),
                    key.as_ptr(),
                    key.len(),
                )
            };
            succeeded(is_wrapped, CryptoError::Refused)?;
            out.copy_from_slice(place);
            Ok(written)
        })
    }

    /// Unwraps what [`Kwp::wrap`] wrote, or anybody else with this key.
    ///
    /// # Errors
    /// [`CryptoError::NotAuthentic`], [`CryptoError::BadLength`] for a length that a wrapped key
    /// never has, [`CryptoError::ArenaFull`].
    pub fn unwrap(&self, wrapped: &[u8]) -> Result<SecretBuf, CryptoError> {
        let lens = 2 * BLOCK_LEN..=Self::wrapped_len(MAX_KEY_LEN);
        if !lens.contains(&wrapped.len()) || !wrapped.len().is_multiple_of(BLOCK_LEN) {
            return Err(CryptoError::BadLength);
        }
        let mut key = SecretBuf::with_len(wrapped.len() - BLOCK_LEN)?;
        let written = door::enter(|| {
            let mut written = 0;
            let out = key.expose_mut();
            // SAFETY: as in `wrap`.
            let unwrapped = unsafe {
                aws_lc_sys::AES_unwrap_key_padded(
                    self.unwrapping.expose().as_ptr().cast(),
                    out.as_mut_ptr(),
                    &raw mut written,
                    out.len(),
                    wrapped.as_ptr(),
                    wrapped.len(),
                )
            };
            succeeded(unwrapped, CryptoError::NotAuthentic)?;
            Ok(written)
        })?;
        key.truncate(written);
        Ok(key)
    }
}

impl fmt::Debug for Kwp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kwp(redacted)")
    }
}
