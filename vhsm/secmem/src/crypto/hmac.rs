//! HMAC-SHA-256 (RFC 2104, FIPS 198-1).

use super::owned::{Owned, succeeded};
use super::{CryptoError, constant_time_eq};
use crate::door;
use aws_lc_sys::HMAC_CTX;
use std::fmt;
use std::ptr;

/// A keyed context, copied inside the arena for each call.
pub struct HmacSha256 {
    keyed: Owned<HMAC_CTX>,
}

impl HmacSha256 {
    /// Keys a context with `key`, of any length but zero.
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`] for an empty key, [`CryptoError::ArenaFull`].
    pub fn new(key: &[u8]) -> Result<Self, CryptoError> {
        if key.is_empty() {
            return Err(CryptoError::InvalidKey);
        }
        let keyed = door::enter(|| {
            // SAFETY: the constructor takes nothing and gives an object that we alone own.
            let mut keyed = unsafe { Owned::new(aws_lc_sys::HMAC_CTX_new())? };
            // SAFETY: the context is ours; the key is read for its length; no engine.
            let result = unsafe {
                aws_lc_sys::HMAC_Init_ex(
                    keyed.as_mut_ptr(),
                    key.as_ptr().cast(),
                    key.len(),
                    aws_lc_sys::EVP_sha256(),
                    ptr::null_mut(),
                )
            };
            succeeded(result, CryptoError::InvalidKey)?;
            Ok(keyed)
        })?;
        Ok(Self { keyed })
    }

    /// The tag over `data`.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn tag(&self, data: &[u8]) -> Result<[u8; 32], CryptoError> {
        door::enter(|| self.compute(data))
    }

    /// Whether `tag` is the whole tag over `data`, compared in constant time.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn verify(&self, data: &[u8], tag: &[u8]) -> Result<bool, CryptoError> {
        // The right tag for somebody's data is worth hiding: it does not leave the door.
        door::enter(|| Ok(constant_time_eq(&self.compute(data)?, tag)))
    }

    /// The tag, by a copy of the keyed context; to be called behind the door.
    fn compute(&self, data: &[u8]) -> Result<[u8; 32], CryptoError> {
        let mut tag = [0; 32];
        // SAFETY: the constructor takes nothing and gives an object that we alone own.
        let mut copy = unsafe { Owned::new(aws_lc_sys::HMAC_CTX_new())? };
        // SAFETY: the copy is ours and the keyed context is only read, so other threads may read
        // it too; the data is read for its length; a SHA-256 tag has 32 bytes, as the array has,
        // and its length is not asked for.
        unsafe {
            succeeded(
                aws_lc_sys::HMAC_CTX_copy_ex(copy.as_mut_ptr(), self.keyed.as_ptr()),
                CryptoError::Refused,
            )?;
            succeeded(
                aws_lc_sys::HMAC_Update(copy.as_mut_ptr(), data.as_ptr(), data.len()),
                CryptoError::Refused,
            )?;
            succeeded(
                aws_lc_sys::HMAC_Final(copy.as_mut_ptr(), tag.as_mut_ptr(), ptr::null_mut()),
                CryptoError::Refused,
            )?;
        }
        Ok(tag)
    }
}

impl fmt::Debug for HmacSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacSha256(redacted)")
    }
}
