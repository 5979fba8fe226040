//! ML-DSA-65 (FIPS 204), with an empty context.

use super::copy::{copy_secret, into_arena};
use super::owned::{Owned, judged, succeeded};
use super::raw_key::{raw_private, raw_public};
use super::{CryptoError, KeyAlgorithm, fill_random, parse_pkcs8};
use crate::door;
use crate::secret::SecretBuf;
use aws_lc_sys::{EVP_MD_CTX, EVP_PKEY};
use std::fmt;
use std::ptr;

/// Length of a signature, in bytes.
pub const ML_DSA_65_SIGNATURE_LEN: usize = 3309;
const SEED_LEN: usize = 32;
const PUBLIC_LEN: usize = 1952;
const EXPANDED_LEN: usize = 4032;

/// A private key, expanded and kept.
pub struct MlDsa65 {
    key: Owned<EVP_PKEY>,
    seed: SecretBuf,
    public: Box<[u8]>,
}

impl MlDsa65 {
    /// A fresh key: a seed drawn by AWS-LC.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn generate() -> Result<Self, CryptoError> {
        let mut seed = SecretBuf::with_len(SEED_LEN)?;
        fill_random(seed.expose_mut());
        Self::with_seed(seed)
    }

    /// The key with this seed (32 bytes).
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`] for another length, [`CryptoError::ArenaFull`].
    pub fn from_seed(seed: &[u8]) -> Result<Self, CryptoError> {
        if seed.len() != SEED_LEN {
            return Err(CryptoError::InvalidKey);
        }
        Self::with_seed(into_arena(seed)?)
    }

    /// The key in a PKCS#8 file, which should lie in an arena and have the seed. An expanded or
    /// public key in it must be the seed's.
    ///
    /// # Errors
    /// [`CryptoError::BadEncoding`], [`CryptoError::WrongAlgorithm`], [`CryptoError::NoSeed`],
    /// [`CryptoError::InvalidKey`], [`CryptoError::ArenaFull`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, CryptoError> {
        let info = parse_pkcs8(der)?.expect_algorithm(KeyAlgorithm::MlDsa65)?;
        let key = Self::from_seed(info.secret)?;
        info.check_public(&key.public)?;
        if info.expanded.is_some() {
            info.check_expanded(key.expanded()?.expose())?;
        }
        Ok(key)
    }

    fn with_seed(seed: SecretBuf) -> Result<Self, CryptoError> {
        let mut public = vec![0; PUBLIC_LEN].into_boxed_slice();
        let key = door::enter_deep(|| {
            // SAFETY: the seed goes with its length, by which the library knows it for a seed; it
            // gives an object that we alone own.
            let key = unsafe {
                Owned::new(aws_lc_sys::EVP_PKEY_pqdsa_new_raw_private_key(
                    aws_lc_sys::NID_MLDSA65,
                    seed.expose().as_ptr(),
                    seed.len(),
                ))?
            };
            raw_public(&key, &mut public)?;
            Ok(key)
        })?;
        Ok(Self { key, seed, public })
    }

    /// The private key as FIPS 204 writes it.
    fn expanded(&self) -> Result<SecretBuf, CryptoError> {
        raw_private(&self.key, EXPANDED_LEN)
    }

    /// Writes the seed to `out`, which should lie in an arena.
    pub fn seed_into(&self, out: &mut [u8; SEED_LEN]) {
        copy_secret(self.seed.expose(), out);
    }

    /// The public key: 1952 bytes.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// Signs `message`, hedged with fresh random bytes. The signature has
    /// [`ML_DSA_65_SIGNATURE_LEN`] bytes.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let mut signature = vec![0; ML_DSA_65_SIGNATURE_LEN];
        door::enter_deep(|| {
            let mut context = message_context()?;
            let mut len = signature.len();
            // SAFETY: the context is ours; the key is live, and only read although the library's
            // type does not say so; no digest, no engine. At most `len` bytes are written, which
            // the vector has; the message goes with its length.
            unsafe {
                succeeded(
                    aws_lc_sys::EVP_DigestSignInit(
                        context.as_mut_ptr(),
                        ptr::null_mut(),
                        ptr::null(),
                        ptr::null_mut(),
                        self.key.as_ptr().cast_mut(),
                    ),
                    CryptoError::Refused,
                )?;
                succeeded(
                    aws_lc_sys::EVP_DigestSign(
                        context.as_mut_ptr(),
                        signature.as_mut_ptr(),
                        &raw mut len,
                        message.as_ptr(),
                        message.len(),
                    ),
                    CryptoError::Refused,
                )
            }
        })?;
        Ok(signature)
    }

    /// Whether `signature` over `message` is of this key.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<bool, CryptoError> {
        judged(door::enter_deep(|| {
            verify_with(&self.key, message, signature)
        }))
    }
}

impl fmt::Debug for MlDsa65 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MlDsa65(redacted)")
    }
}

/// Whether `signature` over `message` is of the key `public` (1952 bytes).
///
/// # Errors
/// [`CryptoError::ArenaFull`].
pub fn verify_ml_dsa_65(
    public: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<bool, CryptoError> {
    if public.len() != PUBLIC_LEN {
        return Ok(false);
    }
    judged(door::enter_deep(|| {
        // SAFETY: the key goes with its length; the library gives an object that we alone own.
        let key = unsafe {
            Owned::new(aws_lc_sys::EVP_PKEY_pqdsa_new_raw_public_key(
                aws_lc_sys::NID_MLDSA65,
                public.as_ptr(),
                public.len(),
            ))?
        };
        verify_with(&key, message, signature)
    }))
}

/// To be called behind the door, where it is deep.
fn verify_with(key: &Owned<EVP_PKEY>, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
    if signature.len() != ML_DSA_65_SIGNATURE_LEN {
        return Err(CryptoError::BadLength);
    }
    let mut context = message_context()?;
    // SAFETY: as in `sign`; signature and message go with their lengths.
    unsafe {
        succeeded(
            aws_lc_sys::EVP_DigestVerifyInit(
                context.as_mut_ptr(),
                ptr::null_mut(),
                ptr::null(),
                ptr::null_mut(),
                key.as_ptr().cast_mut(),
            ),
            CryptoError::Refused,
        )?;
        succeeded(
            aws_lc_sys::EVP_DigestVerify(
                context.as_mut_ptr(),
                signature.as_ptr(),
                signature.len(),
                message.as_ptr(),
                message.len(),
            ),
            CryptoError::NotAuthentic,
        )
    }
}

fn message_context() -> Result<Owned<EVP_MD_CTX>, CryptoError> {
    // SAFETY: the constructor takes nothing and gives an object that we alone own.
    unsafe { Owned::new(aws_lc_sys::EVP_MD_CTX_new()) }
}
