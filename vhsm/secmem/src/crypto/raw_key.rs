//! The raw bytes of keys that AWS-LC holds as an `EVP_PKEY`.

use super::CryptoError;
use super::owned::{Owned, succeeded};
use crate::door;
use crate::secret::SecretBuf;
use aws_lc_sys::EVP_PKEY;

/// Fills `public`, which is as long as the algorithm's public keys. Called behind the door.
pub(super) fn raw_public(key: &Owned<EVP_PKEY>, public: &mut [u8]) -> Result<(), CryptoError> {
    let mut len = public.len();
    // SAFETY: the key is live; at most `len` bytes are written, which the slice has.
    let written = unsafe {
        aws_lc_sys::EVP_PKEY_get_raw_public_key(key.as_ptr(), public.as_mut_ptr(), &raw mut len)
    };
    succeeded(written, CryptoError::Refused)
}

/// The expanded private key, of `len` bytes in this algorithm.
pub(super) fn raw_private(key: &Owned<EVP_PKEY>, len: usize) -> Result<SecretBuf, CryptoError> {
    let mut expanded = SecretBuf::with_len(len)?;
    door::enter(|| {
        let mut len = expanded.len();
        // SAFETY: the key is live; at most `len` bytes are written, which the buffer has.
        let written = unsafe {
            aws_lc_sys::EVP_PKEY_get_raw_private_key(
                key.as_ptr(),
                expanded.expose_mut().as_mut_ptr(),
                &raw mut len,
            )
        };
        succeeded(written, CryptoError::Refused)
    })?;
    Ok(expanded)
}
