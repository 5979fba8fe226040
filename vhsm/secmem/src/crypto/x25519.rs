//! X25519 (RFC 7748).

use super::copy::{copy_secret, into_arena};
use super::owned::succeeded;
use super::{CryptoError, KeyAlgorithm, fill_random, parse_pkcs8};
use crate::door;
use crate::secret::SecretBuf;
use std::fmt;

const LEN: usize = 32;

/// A private key.
pub struct X25519 {
    private: SecretBuf,
    public: [u8; LEN],
}

impl X25519 {
    /// A fresh key, drawn by AWS-LC.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn generate() -> Result<Self, CryptoError> {
        let mut private = SecretBuf::with_len(LEN)?;
        fill_random(private.expose_mut());
        Self::with_private(private)
    }

    /// The key with these 32 bytes, of which any are a key.
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`] for another length, [`CryptoError::ArenaFull`].
    pub fn from_private(private: &[u8]) -> Result<Self, CryptoError> {
        if private.len() != LEN {
            return Err(CryptoError::InvalidKey);
        }
        Self::with_private(into_arena(private)?)
    }

    /// The key in a PKCS#8 file, which should lie in an arena. A public key in it must be the
    /// private key's.
    ///
    /// # Errors
    /// [`CryptoError::BadEncoding`], [`CryptoError::WrongAlgorithm`],
    /// [`CryptoError::InvalidKey`], [`CryptoError::ArenaFull`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, CryptoError> {
        let info = parse_pkcs8(der)?.expect_algorithm(KeyAlgorithm::X25519)?;
        let key = Self::from_private(info.secret)?;
        info.check_public(&key.public)?;
        Ok(key)
    }

    fn with_private(private: SecretBuf) -> Result<Self, CryptoError> {
        let mut public = [0; LEN];
        door::enter(|| {
            // SAFETY: 32 bytes are written and 32 are read, which are the lengths of both.
            unsafe {
                aws_lc_sys::X25519_public_from_private(
                    public.as_mut_ptr(),
                    private.expose().as_ptr(),
                );
            }
            Ok(())
        })?;
        Ok(Self { private, public })
    }

    /// Writes the private key to `out`, which should lie in an arena.
    pub fn private_into(&self, out: &mut [u8; LEN]) {
        copy_secret(self.private.expose(), out);
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> [u8; LEN] {
        self.public
    }

    /// What is shared with the holder of `peer`: raw, to be fed to a KDF.
    ///
    /// # Errors
    /// [`CryptoError::InvalidPoint`] for a peer of small order, with whom everybody shares zeroes;
    /// [`CryptoError::ArenaFull`].
    pub fn agree(&self, peer: &[u8; LEN]) -> Result<SecretBuf, CryptoError> {
        let mut shared = SecretBuf::with_len(LEN)?;
        door::enter(|| {
            // SAFETY: 32 bytes are written and twice 32 are read, as all three have.
            let agreed = unsafe {
                aws_lc_sys::X25519(
                    shared.expose_mut().as_mut_ptr(),
                    self.private.expose().as_ptr(),
                    peer.as_ptr(),
                )
            };
            succeeded(agreed, CryptoError::InvalidPoint)
        })?;
        Ok(shared)
    }
}

impl fmt::Debug for X25519 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("X25519(redacted)")
    }
}
