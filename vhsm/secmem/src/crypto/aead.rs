//! AES-256-GCM and AES-256-GCM-SIV.

use super::CryptoError;
use std::fmt;

/// Length of a nonce, in bytes.
pub const NONCE_LEN: usize = 12;
/// Length of a tag, in bytes.
pub const TAG_LEN: usize = 16;

/// Which authenticated cipher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AeadAlgorithm {
    /// AES-256-GCM (NIST SP 800-38D): a nonce must never repeat.
    Aes256Gcm,
    /// AES-256-GCM-SIV (RFC 8452): a repeated nonce shows only that messages are equal.
    Aes256GcmSiv,
}

/// An expanded key.
pub struct AeadKey {
    algorithm: AeadAlgorithm,
}

impl AeadKey {
    /// Expands `key` (32 bytes).
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`] for another length, [`CryptoError::ArenaFull`].
    pub fn new(_algorithm: AeadAlgorithm, _key: &[u8]) -> Result<Self, CryptoError> {
        Err(CryptoError::NotInstalled)
    }

    /// Which cipher this key is for.
    #[must_use]
    pub fn algorithm(&self) -> AeadAlgorithm {
        self.algorithm
    }

    /// Writes ciphertext and then the tag to the start of `out`; gives the length written, which
    /// is `plaintext.len() + TAG_LEN`. The additional data is the concatenation of `aad`.
    ///
    /// # Errors
    /// [`CryptoError::OutputTooShort`], [`CryptoError::BadLength`], [`CryptoError::ArenaFull`].
    pub fn seal(
        &self,
        _nonce: &[u8; NONCE_LEN],
        _aad: &[&[u8]],
        _plaintext: &[u8],
        _out: &mut [u8],
    ) -> Result<usize, CryptoError> {
        Err(CryptoError::NotInstalled)
    }

    /// Checks `ciphertext_and_tag` and writes the plaintext to the start of `out`; gives the
    /// length written. All of `out` is zeroed on failure.
    ///
    /// # Errors
    /// [`CryptoError::NotAuthentic`], [`CryptoError::OutputTooShort`], [`CryptoError::ArenaFull`].
    pub fn open(
        &self,
        _nonce: &[u8; NONCE_LEN],
        _aad: &[&[u8]],
        _ciphertext_and_tag: &[u8],
        _out: &mut [u8],
    ) -> Result<usize, CryptoError> {
        Err(CryptoError::NotInstalled)
    }
}

impl fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AeadKey({:?}, redacted)", self.algorithm)
    }
}
