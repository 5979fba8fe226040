//! ML-KEM-768 (FIPS 203).

use super::copy::copy_secret;
use super::owned::{Owned, succeeded};
use super::raw_key::{raw_private, raw_public};
use super::{CryptoError, KeyAlgorithm, fill_random, parse_pkcs8};
use crate::door;
use crate::secret::SecretBuf;
use aws_lc_sys::{CBS, EVP_PKEY, EVP_PKEY_CTX};
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;

/// Length of a ciphertext, in bytes.
pub const ML_KEM_768_CIPHERTEXT_LEN: usize = 1088;
const SEED_LEN: usize = 64;
const PUBLIC_LEN: usize = 1184;
const EXPANDED_LEN: usize = 2400;
const SHARED_LEN: usize = 32;

/// What stands before the seed in the PKCS#8 file that has nothing else (RFC 9935 6), which is how
/// the library takes a seed.
const FILE_HEAD: [u8; 22] = [
    0x30, 0x54, 0x02, 0x01, 0x00, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04,
    0x04, 0x02, 0x04, 0x42, 0x80, 0x40,
];

/// A private key, expanded and kept.
pub struct MlKem768 {
    key: Owned<EVP_PKEY>,
    /// [`FILE_HEAD`] and the seed.
    file: SecretBuf,
    public: Box<[u8]>,
}

impl MlKem768 {
    /// A fresh key: a seed drawn by AWS-LC.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn generate() -> Result<Self, CryptoError> {
        Self::with_seed_by(fill_random)
    }

    /// The key with this seed (64 bytes, `d || z`).
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`] for another length, [`CryptoError::ArenaFull`].
    pub fn from_seed(seed: &[u8]) -> Result<Self, CryptoError> {
        if seed.len() != SEED_LEN {
            return Err(CryptoError::InvalidKey);
        }
        Self::with_seed_by(|out| copy_secret(seed, out))
    }

    /// The key in a PKCS#8 file, which should lie in an arena and have the seed. An expanded or
    /// public key in it must be the seed's.
    ///
    /// # Errors
    /// [`CryptoError::BadEncoding`], [`CryptoError::WrongAlgorithm`], [`CryptoError::NoSeed`],
    /// [`CryptoError::InvalidKey`], [`CryptoError::ArenaFull`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, CryptoError> {
        let info = parse_pkcs8(der)?.expect_algorithm(KeyAlgorithm::MlKem768)?;
        let key = Self::from_seed(info.secret)?;
        info.check_public(&key.public)?;
        if info.expanded.is_some() {
            info.check_expanded(key.expanded()?.expose())?;
        }
        Ok(key)
    }

    fn with_seed_by(fill: impl FnOnce(&mut [u8])) -> Result<Self, CryptoError> {
        let mut file = SecretBuf::with_len(FILE_HEAD.len() + SEED_LEN)?;
        let (head, seed) = file.expose_mut().split_at_mut(FILE_HEAD.len());
        head.copy_from_slice(&FILE_HEAD);
        fill(seed);
        let mut public = vec![0; PUBLIC_LEN].into_boxed_slice();
        let key = door::enter_deep(|| {
            let mut bytes = MaybeUninit::<CBS>::uninit();
            // SAFETY: `bytes` is made valid before it is read, and reads the file for its length;
            // the library gives an object that we alone own.
            let key = unsafe {
                aws_lc_sys::CBS_init(bytes.as_mut_ptr(), file.expose().as_ptr(), file.len());
                Owned::new(aws_lc_sys::EVP_parse_private_key(bytes.as_mut_ptr()))?
            };
            raw_public(&key, &mut public)?;
            Ok(key)
        })?;
        Ok(Self { key, file, public })
    }

    /// The private key as FIPS 203 writes it.
    fn expanded(&self) -> Result<SecretBuf, CryptoError> {
        raw_private(&self.key, EXPANDED_LEN)
    }

    /// Writes the seed to `out`, which should lie in an arena.
    pub fn seed_into(&self, out: &mut [u8; SEED_LEN]) {
        let (_, seed) = self.file.expose().split_at(FILE_HEAD.len());
        copy_secret(seed, out);
    }

    /// The public key: 1184 bytes.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// A fresh secret of 32 bytes, and the ciphertext that only this key's holder turns into it.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn encapsulate(&self) -> Result<(Vec<u8>, SecretBuf), CryptoError> {
        encapsulate(|| Ok(&self.key))
    }

    /// The secret in `ciphertext`. One that was changed gives another secret, which nobody knows.
    ///
    /// # Errors
    /// [`CryptoError::BadLength`], [`CryptoError::ArenaFull`].
    pub fn decapsulate(&self, ciphertext: &[u8]) -> Result<SecretBuf, CryptoError> {
        if ciphertext.len() != ML_KEM_768_CIPHERTEXT_LEN {
            return Err(CryptoError::BadLength);
        }
        let mut shared = SecretBuf::with_len(SHARED_LEN)?;
        door::enter_deep(|| {
            let mut context = context_of(&self.key)?;
            let mut len = shared.len();
            // SAFETY: the context is ours; at most `len` bytes are written, which the buffer has;
            // the ciphertext goes with its length.
            let done = unsafe {
                aws_lc_sys::EVP_PKEY_decapsulate(
                    context.as_mut_ptr(),
                    shared.expose_mut().as_mut_ptr(),
                    &raw mut len,
                    ciphertext.as_ptr(),
                    ciphertext.len(),
                )
            };
            succeeded(done, CryptoError::Refused)
        })?;
        Ok(shared)
    }
}

impl fmt::Debug for MlKem768 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MlKem768(redacted)")
    }
}

/// As [`MlKem768::encapsulate`], for the holder of the key `public` (1184 bytes).
///
/// # Errors
/// [`CryptoError::InvalidPublicKey`], [`CryptoError::ArenaFull`].
pub fn encapsulate_ml_kem_768(public: &[u8]) -> Result<(Vec<u8>, SecretBuf), CryptoError> {
    if public.len() != PUBLIC_LEN {
        return Err(CryptoError::InvalidPublicKey);
    }
    encapsulate(|| {
        // SAFETY: the key goes with its length; the library gives an object that we alone own.
        unsafe {
            Owned::new(aws_lc_sys::EVP_PKEY_kem_new_raw_public_key(
                aws_lc_sys::NID_MLKEM768,
                public.as_ptr(),
                public.len(),
            ))
        }
    })
}

fn encapsulate<K: std::borrow::Borrow<Owned<EVP_PKEY>>>(
    key: impl FnOnce() -> Result<K, CryptoError>,
) -> Result<(Vec<u8>, SecretBuf), CryptoError> {
    let mut ciphertext = vec![0; ML_KEM_768_CIPHERTEXT_LEN];
    let mut shared = SecretBuf::with_len(SHARED_LEN)?;
    door::enter_deep(|| {
        let key = key()?;
        let mut context = context_of(key.borrow())?;
        let (mut len, mut shared_len) = (ciphertext.len(), shared.len());
        // SAFETY: the context is ours; at most as many bytes are written as both buffers have. A
        // key whose numbers are out of range is refused.
        let done = unsafe {
            aws_lc_sys::EVP_PKEY_encapsulate(
                context.as_mut_ptr(),
                ciphertext.as_mut_ptr(),
                &raw mut len,
                shared.expose_mut().as_mut_ptr(),
                &raw mut shared_len,
            )
        };
        succeeded(done, CryptoError::InvalidPublicKey)
    })?;
    Ok((ciphertext, shared))
}

/// A context for one call with `key`, of which it takes a reference.
fn context_of(key: &Owned<EVP_PKEY>) -> Result<Owned<EVP_PKEY_CTX>, CryptoError> {
    // SAFETY: the key is live; its count of references is atomic, and nothing else of it changes.
    unsafe {
        Owned::new(aws_lc_sys::EVP_PKEY_CTX_new(
            key.as_ptr().cast_mut(),
            ptr::null_mut(),
        ))
    }
}
