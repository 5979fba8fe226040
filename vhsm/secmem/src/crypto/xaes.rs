//! XAES-256-GCM (C2SP): AES-256-GCM with nonces of 24 bytes, long enough to be drawn at random
//! for ever. A key for each message is derived from the first half of its nonce.

use super::owned::succeeded;
use super::{AeadAlgorithm, AeadKey, CryptoError, NONCE_LEN, TAG_LEN};
use crate::door;
use crate::secret::SecretBuf;
use aws_lc_sys::AES_KEY;
use std::fmt;

/// Length of a nonce, in bytes.
pub const XAES_NONCE_LEN: usize = 24;
/// Length of the half that a message's key is derived from, in bytes.
const DERIVING_LEN: usize = XAES_NONCE_LEN - NONCE_LEN;
const BLOCK_LEN: usize = 16;

/// An expanded key.
pub struct Xaes256Gcm {
    /// The schedule of the key itself, and then K1, the subkey of CMAC.
    state: SecretBuf,
}

const SCHEDULE_LEN: usize = size_of::<AES_KEY>().next_multiple_of(BLOCK_LEN);

impl Xaes256Gcm {
    /// Expands `key` (32 bytes).
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`] for another length, [`CryptoError::ArenaFull`].
    pub fn new(key: &[u8]) -> Result<Self, CryptoError> {
        if key.len() != 32 {
            return Err(CryptoError::InvalidKey);
        }
        let mut state = SecretBuf::with_len(SCHEDULE_LEN + BLOCK_LEN)?;
        door::enter(|| {
            let (schedule, subkey) = state.expose_mut().split_at_mut(SCHEDULE_LEN);
            let schedule = schedule.as_mut_ptr().cast::<AES_KEY>();
            // SAFETY: the schedule has its size and the arena's alignment of 16, and is valid for
            // any bytes; 256 bits are read of the 32 bytes; a block of zeroes is encrypted in
            // place, and `subkey` is a block.
            let set = unsafe {
                let set = aws_lc_sys::AES_set_encrypt_key(key.as_ptr(), 256, schedule);
                aws_lc_sys::AES_encrypt(subkey.as_ptr(), subkey.as_mut_ptr(), schedule);
                set
            };
            double(subkey);
            // Zero is success here.
            succeeded(set + 1, CryptoError::Refused)
        })?;
        Ok(Self { state })
    }

    /// Writes ciphertext and then the tag to the start of `out`; gives the length written, which
    /// is `plaintext.len() + TAG_LEN`. The additional data is the concatenation of `aad`.
    ///
    /// # Errors
    /// [`CryptoError::OutputTooShort`], [`CryptoError::BadLength`], [`CryptoError::ArenaFull`].
    pub fn seal(
        &self,
        nonce: &[u8; XAES_NONCE_LEN],
        aad: &[&[u8]],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, CryptoError> {
        if out.len().saturating_sub(TAG_LEN) < plaintext.len() {
            return Err(CryptoError::OutputTooShort);
        }
        let (key, nonce) = self.for_message(nonce)?;
        key.seal(&nonce, aad, plaintext, out)
    }

    /// Checks `ciphertext_and_tag` and writes the plaintext to the start of `out`; gives the
    /// length written. All of `out` is zeroed on failure.
    ///
    /// # Errors
    /// [`CryptoError::NotAuthentic`], [`CryptoError::OutputTooShort`], [`CryptoError::ArenaFull`].
    pub fn open(
        &self,
        nonce: &[u8; XAES_NONCE_LEN],
        aad: &[&[u8]],
        ciphertext_and_tag: &[u8],
        out: &mut [u8],
    ) -> Result<usize, CryptoError> {
        match self.for_message(nonce) {
            Ok((key, nonce)) => key.open(&nonce, aad, ciphertext_and_tag, out),
            Err(error) => {
                out.fill(0);
                Err(error)
            }
        }
    }

    /// The key of one message and the nonce to use it with.
    fn for_message(
        &self,
        nonce: &[u8; XAES_NONCE_LEN],
    ) -> Result<(AeadKey, [u8; NONCE_LEN]), CryptoError> {
        let mut key = SecretBuf::with_len(2 * BLOCK_LEN)?;
        let (deriving, rest) = nonce.split_at(DERIVING_LEN);
        door::enter(|| {
            let (schedule, subkey) = self.state.expose().split_at(SCHEDULE_LEN);
            let schedule = schedule.as_ptr().cast::<AES_KEY>();
            for (counter, half) in (1..).zip(key.expose_mut().chunks_exact_mut(BLOCK_LEN)) {
                let (label, context) = half.split_at_mut(BLOCK_LEN - DERIVING_LEN);
                label.copy_from_slice(&[0, counter, b'X', 0]);
                context.copy_from_slice(deriving);
                xor(half, subkey);
                // SAFETY: the schedule is what `new` expanded; a block is encrypted in place.
                unsafe { aws_lc_sys::AES_encrypt(half.as_ptr(), half.as_mut_ptr(), schedule) };
            }
            let key = AeadKey::new(AeadAlgorithm::Aes256Gcm, key.expose())?;
            let mut nonce = [0; NONCE_LEN];
            nonce.copy_from_slice(rest);
            Ok((key, nonce))
        })
    }
}

impl fmt::Debug for Xaes256Gcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Xaes256Gcm(redacted)")
    }
}

/// Doubles a block in the field of CMAC (NIST SP 800-38B 6.1), in time that does not depend on it.
fn double(block: &mut [u8]) {
    let mut carry = 0;
    for byte in block.iter_mut().rev() {
        let next = *byte >> 7;
        *byte = *byte << 1 | carry;
        carry = next;
    }
    if let Some(last) = block.last_mut() {
        *last ^= 0x87 & carry.wrapping_neg();
    }
}

fn xor(block: &mut [u8], other: &[u8]) {
    for (byte, other) in block.iter_mut().zip(other) {
        *byte ^= other;
    }
}
