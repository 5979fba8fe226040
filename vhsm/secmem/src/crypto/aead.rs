//! AES-GCM, AES-256-GCM-SIV and ChaCha20-Poly1305.

use super::CryptoError;
use super::owned::{Owned, succeeded};
use crate::door;
use crate::secret::SecretBuf;
use aws_lc_sys::EVP_AEAD_CTX;
use std::fmt;

/// Length of a nonce, in bytes.
pub const NONCE_LEN: usize = 12;
/// Length of a tag, in bytes.
pub const TAG_LEN: usize = 16;

/// Which authenticated cipher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AeadAlgorithm {
    /// AES-128-GCM (NIST SP 800-38D): a nonce must never repeat.
    Aes128Gcm,
    /// AES-256-GCM (NIST SP 800-38D): a nonce must never repeat.
    Aes256Gcm,
    /// AES-256-GCM-SIV (RFC 8452): a repeated nonce shows only that messages are equal.
    Aes256GcmSiv,
    /// ChaCha20-Poly1305 (RFC 8439): a nonce must never repeat.
    ChaCha20Poly1305,
}

impl AeadAlgorithm {
    /// Every cipher.
    pub const ALL: [Self; 4] = [
        Self::Aes128Gcm,
        Self::Aes256Gcm,
        Self::Aes256GcmSiv,
        Self::ChaCha20Poly1305,
    ];

    /// Length of a key, in bytes.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::Aes256GcmSiv | Self::ChaCha20Poly1305 => 32,
        }
    }
}

/// An expanded key.
pub struct AeadKey {
    algorithm: AeadAlgorithm,
    context: Owned<EVP_AEAD_CTX>,
}

impl AeadKey {
    /// Expands `key`, which is as long as the algorithm says.
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`] for another length, [`CryptoError::ArenaFull`].
    pub fn new(algorithm: AeadAlgorithm, key: &[u8]) -> Result<Self, CryptoError> {
        if key.len() != algorithm.key_len() {
            return Err(CryptoError::InvalidKey);
        }
        let context = door::enter(|| {
            // SAFETY: each gives a pointer to a constant of the library. The key is read for its
            // length, and its expansion lands in the context, which is allocated in the arena.
            unsafe {
                let cipher = match algorithm {
                    AeadAlgorithm::Aes128Gcm => aws_lc_sys::EVP_aead_aes_128_gcm(),
                    AeadAlgorithm::Aes256Gcm => aws_lc_sys::EVP_aead_aes_256_gcm(),
                    AeadAlgorithm::Aes256GcmSiv => aws_lc_sys::EVP_aead_aes_256_gcm_siv(),
                    AeadAlgorithm::ChaCha20Poly1305 => aws_lc_sys::EVP_aead_chacha20_poly1305(),
                };
                Owned::new(aws_lc_sys::EVP_AEAD_CTX_new(
                    cipher,
                    key.as_ptr(),
                    key.len(),
                    TAG_LEN,
                ))
            }
        })?;
        Ok(Self { algorithm, context })
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
        nonce: &[u8; NONCE_LEN],
        aad: &[&[u8]],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, CryptoError> {
        let written = plaintext
            .len()
            .checked_add(TAG_LEN)
            .ok_or(CryptoError::BadLength)?;
        let out = out.get_mut(..written).ok_or(CryptoError::OutputTooShort)?;
        with_joined(aad, |aad| {
            door::enter_slightly(|| {
                let mut len = 0;
                // SAFETY: every pointer goes with the length of its slice; `out` is an exclusive
                // borrow and so overlaps no input; the context is read only, which AWS-LC allows
                // from several threads at once.
                let result = unsafe {
                    aws_lc_sys::EVP_AEAD_CTX_seal(
                        self.context.as_ptr(),
                        out.as_mut_ptr(),
                        &raw mut len,
                        out.len(),
                        nonce.as_ptr(),
                        nonce.len(),
                        plaintext.as_ptr(),
                        plaintext.len(),
                        aad.as_ptr(),
                        aad.len(),
                    )
                };
                succeeded(result, CryptoError::BadLength)?;
                Ok(len)
            })
        })
    }

    /// Checks `ciphertext_and_tag` and writes the plaintext to the start of `out`; gives the
    /// length written. All of `out` is zeroed on failure.
    ///
    /// # Errors
    /// [`CryptoError::NotAuthentic`], [`CryptoError::OutputTooShort`], [`CryptoError::ArenaFull`].
    pub fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[&[u8]],
        ciphertext_and_tag: &[u8],
        out: &mut [u8],
    ) -> Result<usize, CryptoError> {
        let result = self.open_unchecked(nonce, aad, ciphertext_and_tag, out);
        if result.is_err() {
            out.fill(0);
        }
        result
    }

    /// [`AeadKey::open`], which leaves in `out` what the cipher left there.
    fn open_unchecked(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[&[u8]],
        ciphertext_and_tag: &[u8],
        out: &mut [u8],
    ) -> Result<usize, CryptoError> {
        let written = ciphertext_and_tag
            .len()
            .checked_sub(TAG_LEN)
            .ok_or(CryptoError::NotAuthentic)?;
        let out = out.get_mut(..written).ok_or(CryptoError::OutputTooShort)?;
        with_joined(aad, |aad| {
            door::enter_slightly(|| {
                let mut len = 0;
                // SAFETY: as in `seal`.
                let result = unsafe {
                    aws_lc_sys::EVP_AEAD_CTX_open(
                        self.context.as_ptr(),
                        out.as_mut_ptr(),
                        &raw mut len,
                        out.len(),
                        nonce.as_ptr(),
                        nonce.len(),
                        ciphertext_and_tag.as_ptr(),
                        ciphertext_and_tag.len(),
                        aad.as_ptr(),
                        aad.len(),
                    )
                };
                succeeded(result, CryptoError::NotAuthentic)?;
                Ok(len)
            })
        })
    }
}

impl fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AeadKey({:?}, redacted)", self.algorithm)
    }
}

/// Gives `work` the concatenation of `parts`: as it is if there is but one, in a small local array
/// if that holds it (it is public), else in the arena.
fn with_joined<R>(
    parts: &[&[u8]],
    work: impl FnOnce(&[u8]) -> Result<R, CryptoError>,
) -> Result<R, CryptoError> {
    let mut filled = parts.iter().filter(|part| !part.is_empty());
    let first = filled.next().copied().unwrap_or_default();
    if filled.next().is_none() {
        return work(first);
    }
    let len = parts
        .iter()
        .try_fold(0_usize, |len, part| len.checked_add(part.len()))
        .ok_or(CryptoError::BadLength)?;
    let mut local = [0; 256];
    if let Some(joined) = local.get_mut(..len) {
        join(parts, joined);
        return work(joined);
    }
    let mut joined = SecretBuf::with_len(len)?;
    join(parts, joined.expose_mut());
    work(joined.expose())
}

/// Writes `parts` one after another; `joined` has just their length.
fn join(parts: &[&[u8]], joined: &mut [u8]) {
    let mut rest = joined;
    for part in parts {
        let Some((head, tail)) = rest.split_at_mut_checked(part.len()) else {
            return;
        };
        head.copy_from_slice(part);
        rest = tail;
    }
}
