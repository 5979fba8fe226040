//! Ed25519 (RFC 8032).

use super::copy::copy_secret;
use super::owned::{judged, succeeded};
use super::{CryptoError, KeyAlgorithm, parse_pkcs8};
use crate::door;
use crate::secret::SecretBuf;
use std::fmt;

/// A private key, expanded and kept.
pub struct Ed25519 {
    /// Seed and public key, as AWS-LC wants them: 64 bytes.
    private: SecretBuf,
    public: [u8; 32],
}

impl Ed25519 {
    /// A fresh key, drawn by AWS-LC.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn generate() -> Result<Self, CryptoError> {
        let mut seed = SecretBuf::with_len(32)?;
        super::fill_random(seed.expose_mut());
        Self::from_seed(seed.expose())
    }

    /// The key with this seed (32 bytes).
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`] for another length, [`CryptoError::ArenaFull`].
    pub fn from_seed(seed: &[u8]) -> Result<Self, CryptoError> {
        if seed.len() != 32 {
            return Err(CryptoError::InvalidKey);
        }
        let mut private = SecretBuf::with_len(64)?;
        let mut public = [0; 32];
        door::enter(|| {
            // SAFETY: the function writes 32 and 64 bytes and reads 32, which are the lengths of
            // the three buffers; they are three, so they do not overlap.
            unsafe {
                aws_lc_sys::ED25519_keypair_from_seed(
                    public.as_mut_ptr(),
                    private.expose_mut().as_mut_ptr(),
                    seed.as_ptr(),
                );
            }
            Ok(())
        })?;
        Ok(Self { private, public })
    }

    /// The key in a PKCS#8 file, which should lie in an arena. A public key in it must be the
    /// seed's.
    ///
    /// # Errors
    /// [`CryptoError::BadEncoding`], [`CryptoError::WrongAlgorithm`],
    /// [`CryptoError::InvalidKey`], [`CryptoError::ArenaFull`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, CryptoError> {
        let info = parse_pkcs8(der)?.expect_algorithm(KeyAlgorithm::Ed25519)?;
        let key = Self::from_seed(info.secret)?;
        info.check_public(&key.public)?;
        Ok(key)
    }

    /// Writes the seed to `out`, which should lie in an arena.
    pub fn seed_into(&self, out: &mut [u8; 32]) {
        let (seed, _) = self.private.expose().split_at(32);
        copy_secret(seed, out);
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.public
    }

    /// Signs `message`.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], CryptoError> {
        door::enter(|| {
            let mut signature = [0; 64];
            // SAFETY: the function writes 64 bytes and reads 64 of the private key, which are the
            // lengths of both buffers; the message goes with its own.
            let result = unsafe {
                aws_lc_sys::ED25519_sign(
                    signature.as_mut_ptr(),
                    message.as_ptr(),
                    message.len(),
                    self.private.expose().as_ptr(),
                )
            };
            succeeded(result, CryptoError::Refused)?;
            Ok(signature)
        })
    }
}

impl fmt::Debug for Ed25519 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ed25519(redacted)")
    }
}

/// Whether `signature` over `message` is of the key `public`.
///
/// # Errors
/// [`CryptoError::ArenaFull`].
pub fn verify_ed25519(
    public: &[u8; 32],
    message: &[u8],
    signature: &[u8; 64],
) -> Result<bool, CryptoError> {
    judged(door::enter(|| {
        // SAFETY: the function reads 64 and 32 bytes, which are the lengths of both arrays; the
        // message goes with its own.
        let result = unsafe {
            aws_lc_sys::ED25519_verify(
                message.as_ptr(),
                message.len(),
                signature.as_ptr(),
                public.as_ptr(),
            )
        };
        succeeded(result, CryptoError::NotAuthentic)
    }))
}
