//! RSA (RFC 8017): PSS and PKCS#1 v1.5 signatures, OAEP. Private operations are blinded and their
//! results checked by AWS-LC.

mod calls;

use self::calls::{Marshalled, as_evp, encrypt, oaep_context, rsa_of, sign, verify};
use super::der::{Head, INTEGER, OCTET_STRING, SEQUENCE};
use super::hash::Digest;
use super::owned::{Owned, succeeded};
use super::{CryptoError, HashAlgorithm, Input, KeyAlgorithm, parse_pkcs8, parse_spki, spki};
use crate::door;
use crate::secret::SecretBuf;
use aws_lc_sys::{CBS, EVP_PKEY, RSA};
use std::ffi::c_int;
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;

/// The smallest public exponent of a private key (NIST SP 800-56B 6.2).
const MIN_EXPONENT: u64 = 65_537;

/// How long the modulus is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaSize {
    /// 2048 bits.
    Bits2048,
    /// 3072 bits.
    Bits3072,
    /// 4096 bits.
    Bits4096,
}

impl RsaSize {
    /// Every size.
    pub const ALL: [Self; 3] = [Self::Bits2048, Self::Bits3072, Self::Bits4096];

    /// Length of the modulus, of a signature and of a ciphertext, in bytes.
    #[must_use]
    pub const fn modulus_len(self) -> usize {
        match self {
            Self::Bits2048 => 256,
            Self::Bits3072 => 384,
            Self::Bits4096 => 512,
        }
    }

    /// Length of the modulus, in bits.
    const fn bits(self) -> u16 {
        match self {
            Self::Bits2048 => 2048,
            Self::Bits3072 => 3072,
            Self::Bits4096 => 4096,
        }
    }
}

/// How a digest is padded before it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaPadding {
    /// PSS, with MGF1 of the same hash and a salt as long as the digest.
    Pss,
    /// PKCS#1 v1.5.
    Pkcs1,
}

/// How a message is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RsaScheme {
    /// The padding.
    pub padding: RsaPadding,
    /// The hash, in PSS both of the message and of the mask.
    pub hash: HashAlgorithm,
}

/// A private key, expanded and kept.
pub struct Rsa {
    size: RsaSize,
    key: Owned<EVP_PKEY>,
    spki: Box<[u8]>,
}

impl Rsa {
    /// A fresh key with the exponent 65537, drawn by AWS-LC: takes from a tenth of a second to
    /// several.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn generate(size: RsaSize) -> Result<Self, CryptoError> {
        door::enter_slow(|| {
            // SAFETY: the constructors give objects that we alone own, and the key is filled in;
            // no callback.
            let key = unsafe {
                let mut exponent = Owned::new(aws_lc_sys::BN_new())?;
                succeeded(
                    aws_lc_sys::BN_set_word(exponent.as_mut_ptr(), MIN_EXPONENT),
                    CryptoError::Refused,
                )?;
                let mut key = Owned::new(aws_lc_sys::RSA_new())?;
                succeeded(
                    aws_lc_sys::RSA_generate_key_ex(
                        key.as_mut_ptr(),
                        c_int::from(size.bits()),
                        exponent.as_ptr(),
                        ptr::null_mut(),
                    ),
                    CryptoError::Refused,
                )?;
                key
            };
            Self::with_key(size, key)
        })
    }

    /// The key of this size in a PKCS#8 file, which should lie in an arena. Its exponent is 65537
    /// or more, its factors are both half as long as the modulus (FIPS 186-5 A.1.1), and its
    /// numbers fit each other; whether the factors are primes is not asked.
    ///
    /// # Errors
    /// [`CryptoError::BadEncoding`], [`CryptoError::WrongAlgorithm`] for another type or size,
    /// [`CryptoError::InvalidKey`], [`CryptoError::ArenaFull`].
    pub fn from_pkcs8(size: RsaSize, der: &[u8]) -> Result<Self, CryptoError> {
        let info = parse_pkcs8(der)?.expect_algorithm(KeyAlgorithm::Rsa)?;
        let key = door::enter_drawing(|| {
            let mut bytes = MaybeUninit::<CBS>::uninit();
            // SAFETY: `bytes` is made valid before it is read, and reads the slice for its
            // length; the library gives an object that we alone own.
            let key = unsafe {
                aws_lc_sys::CBS_init(bytes.as_mut_ptr(), info.secret.as_ptr(), info.secret.len());
                Owned::new(aws_lc_sys::RSA_parse_private_key(bytes.as_mut_ptr()))
                    .map_err(|_| CryptoError::InvalidKey)?
            };
            // SAFETY: the key is live, and has a modulus by construction.
            let bits = unsafe { aws_lc_sys::RSA_bits(key.as_ptr()) };
            if bits != u32::from(size.bits()) {
                return Err(CryptoError::WrongAlgorithm);
            }
            check_numbers(&key, bits)?;
            Self::with_key(size, key)
        })?;
        let public = parse_spki(&key.spki).ok_or(CryptoError::Refused)?;
        info.check_public(public.key)?;
        Ok(key)
    }

    /// To be called behind the door.
    fn with_key(size: RsaSize, key: Owned<RSA>) -> Result<Self, CryptoError> {
        // SAFETY: the key is live and only read; what is written is public.
        let public = unsafe { Marshalled::new(key.as_ptr(), aws_lc_sys::RSA_public_key_to_bytes)? };
        let spki = spki(KeyAlgorithm::Rsa, public.as_bytes()).ok_or(CryptoError::Refused)?;
        let key = as_evp(key)?;
        let spki = spki.into_boxed_slice();
        Ok(Self { size, key, spki })
    }

    /// How long the modulus is.
    #[must_use]
    pub fn size(&self) -> RsaSize {
        self.size
    }

    /// The key as a PKCS#8 file: all numbers, those of the remainder theorem included.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn pkcs8(&self) -> Result<SecretBuf, CryptoError> {
        door::enter(|| {
            // SAFETY: the key is live and only read; what is written lies in the arena.
            let key = unsafe {
                Marshalled::new(rsa_of(&self.key), aws_lc_sys::RSA_private_key_to_bytes)?
            };
            let key = key.as_bytes();
            let identifier = KeyAlgorithm::Rsa.identifier();
            let head = |tag, len| Head::new(tag, len).ok_or(CryptoError::Refused);
            let algorithm = head(SEQUENCE, identifier.len())?;
            let octets = head(OCTET_STRING, key.len())?;
            let parts = [
                &[INTEGER, 1, 0],
                algorithm.as_bytes(),
                identifier,
                octets.as_bytes(),
                key,
            ];
            let len = parts.iter().map(|part| part.len()).sum();
            let outer = head(SEQUENCE, len)?;
            let mut der = SecretBuf::with_len(outer.as_bytes().len() + len)?;
            let mut rest = der.expose_mut();
            for part in std::iter::once(&outer.as_bytes()).chain(&parts) {
                let (place, after) = rest.split_at_mut(part.len());
                place.copy_from_slice(part);
                rest = after;
            }
            Ok(der)
        })
    }

    /// The public key as a DER `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Signs; the signature is as long as the modulus.
    ///
    /// # Errors
    /// [`CryptoError::BadLength`] for a digest that is not as long as the hash's,
    /// [`CryptoError::ArenaFull`].
    pub fn sign(&self, scheme: RsaScheme, input: Input<'_>) -> Result<Vec<u8>, CryptoError> {
        let mut signature = vec![0; self.size.modulus_len()];
        door::enter_deep(|| {
            let digest = Digest::of(scheme.hash, input)?;
            sign(rsa_of(&self.key), scheme, digest.as_bytes(), &mut signature)
        })?;
        Ok(signature)
    }

    /// Whether `signature` is of this key.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn verify(
        &self,
        scheme: RsaScheme,
        input: Input<'_>,
        signature: &[u8],
    ) -> Result<bool, CryptoError> {
        verify(&self.key, scheme, input, signature)
    }

    /// As [`RsaPublic::encrypt_oaep`].
    ///
    /// # Errors
    /// As there.
    pub fn encrypt_oaep(
        &self,
        hash: HashAlgorithm,
        label: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        encrypt(&self.key, self.size, hash, label, plaintext)
    }

    /// Decrypts what was encrypted with OAEP, the same hash, and the same label.
    ///
    /// # Errors
    /// [`CryptoError::NotAuthentic`] whatever is wrong with the ciphertext,
    /// [`CryptoError::BadLength`] for too long a label, [`CryptoError::ArenaFull`].
    pub fn decrypt_oaep(
        &self,
        hash: HashAlgorithm,
        label: &[u8],
        ciphertext: &[u8],
    ) -> Result<SecretBuf, CryptoError> {
        let mut plaintext = SecretBuf::with_len(self.size.modulus_len())?;
        let len = door::enter_deep(|| {
            let mut context =
                oaep_context(&self.key, aws_lc_sys::EVP_PKEY_decrypt_init, hash, label)?;
            let mut len = plaintext.len();
            // SAFETY: the context is ours; at most `len` bytes are written, which the buffer has;
            // the ciphertext goes with its length.
            let done = unsafe {
                aws_lc_sys::EVP_PKEY_decrypt(
                    context.as_mut_ptr(),
                    plaintext.expose_mut().as_mut_ptr(),
                    &raw mut len,
                    ciphertext.as_ptr(),
                    ciphertext.len(),
                )
            };
            succeeded(done, CryptoError::NotAuthentic)?;
            Ok(len)
        })?;
        plaintext.truncate(len);
        Ok(plaintext)
    }
}

impl fmt::Debug for Rsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rsa({:?}, redacted)", self.size)
    }
}

/// Whether a key that the library took for one, of `bits` bits, has an exponent and factors that
/// we take.
fn check_numbers(key: &Owned<RSA>, bits: u32) -> Result<(), CryptoError> {
    // SAFETY: the key is live, and its numbers, where it has them, live as long; only their
    // lengths are read, and what is public. An exponent that does not fit a word is the largest.
    unsafe {
        let key = key.as_ptr();
        let exponent = aws_lc_sys::RSA_get0_e(key);
        let factors = [aws_lc_sys::RSA_get0_p(key), aws_lc_sys::RSA_get0_q(key)];
        // The library takes a file whose numbers are all zero but the modulus and the private
        // exponent, as some programs write it, and gives a key that has none of the others.
        let is_whole = !exponent.is_null() && !factors.iter().any(|factor| factor.is_null());
        let is_good = is_whole
            && aws_lc_sys::BN_get_word(exponent) >= MIN_EXPONENT
            && factors.map(|factor| aws_lc_sys::BN_num_bits(factor)) == [bits / 2; 2];
        if is_good {
            Ok(())
        } else {
            Err(CryptoError::InvalidKey)
        }
    }
}

/// A public key of one of the sizes, expanded and kept.
pub struct RsaPublic {
    size: RsaSize,
    key: Owned<EVP_PKEY>,
}

impl RsaPublic {
    /// The key in a DER `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// [`CryptoError::InvalidPublicKey`], for another size as well; [`CryptoError::ArenaFull`].
    pub fn from_spki(der: &[u8]) -> Result<Self, CryptoError> {
        let public = parse_spki(der)
            .filter(|public| public.algorithm == KeyAlgorithm::Rsa)
            .ok_or(CryptoError::InvalidPublicKey)?
            .key;
        door::enter(|| {
            // SAFETY: the bytes go with their length; the library gives an object that we alone
            // own, which is only read then.
            let (key, bits) = unsafe {
                let key = aws_lc_sys::RSA_public_key_from_bytes(public.as_ptr(), public.len());
                let key = Owned::new(key).map_err(|_| CryptoError::InvalidPublicKey)?;
                let bits = aws_lc_sys::RSA_bits(key.as_ptr());
                (key, bits)
            };
            let size = RsaSize::ALL
                .into_iter()
                .find(|size| u32::from(size.bits()) == bits)
                .ok_or(CryptoError::InvalidPublicKey)?;
            let key = as_evp(key)?;
            Ok(Self { size, key })
        })
    }

    /// How long the modulus is.
    #[must_use]
    pub fn size(&self) -> RsaSize {
        self.size
    }

    /// Whether `signature` is of this key.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn verify(
        &self,
        scheme: RsaScheme,
        input: Input<'_>,
        signature: &[u8],
    ) -> Result<bool, CryptoError> {
        verify(&self.key, scheme, input, signature)
    }

    /// Encrypts with OAEP: the hash is both the label's and the mask's. The ciphertext is as long
    /// as the modulus.
    ///
    /// # Errors
    /// [`CryptoError::BadLength`] for more bytes than the modulus less two digests and two, and
    /// for too long a label; [`CryptoError::ArenaFull`].
    pub fn encrypt_oaep(
        &self,
        hash: HashAlgorithm,
        label: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        encrypt(&self.key, self.size, hash, label, plaintext)
    }
}

impl fmt::Debug for RsaPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RsaPublic({:?})", self.size)
    }
}
