//! ECDSA with SHA-256 and ECDH on P-256 (FIPS 186-5, SP 800-56A).

use super::CryptoError;
use super::digest::sha256_parts;
use super::owned::{Owned, succeeded};
use crate::door;
use crate::secret::SecretBuf;
use aws_lc_sys::{BIGNUM, EC_GROUP, EC_KEY, EC_POINT, ECDSA_SIG};
use std::fmt;
use std::ptr;

/// An ECDSA signature as `r || s`, 32 bytes each, big-endian.
pub type FixedSignature = [u8; 64];

const SCALAR_LEN: usize = 32;

/// A private key, expanded and kept.
pub struct EcP256 {
    key: Owned<EC_KEY>,
    public_point: [u8; 65],
}

impl EcP256 {
    /// A fresh key, drawn by AWS-LC.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn generate() -> Result<Self, CryptoError> {
        door::enter_drawing(|| {
            let mut key = empty_key()?;
            // SAFETY: the key is ours and has a group.
            let generated = unsafe { aws_lc_sys::EC_KEY_generate_key(key.as_mut_ptr()) };
            succeeded(generated, CryptoError::Refused)?;
            Self::with_key(key)
        })
    }

    /// The key with this scalar (32 bytes, big-endian, above zero and below the order).
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`], [`CryptoError::ArenaFull`].
    pub fn from_scalar(scalar: &[u8]) -> Result<Self, CryptoError> {
        if scalar.len() != SCALAR_LEN {
            return Err(CryptoError::InvalidKey);
        }
        door::enter(|| {
            let mut key = empty_key()?;
            let scalar = number(scalar)?;
            // SAFETY: key and number are live and ours; the key copies the scalar into the arena,
            // and refuses zero and what is not below the order.
            let set =
                unsafe { aws_lc_sys::EC_KEY_set_private_key(key.as_mut_ptr(), scalar.as_ptr()) };
            succeeded(set, CryptoError::InvalidKey)?;
            let group = group_of(&key);
            // SAFETY: the group lives as long as the key. The product of the generator and the
            // scalar goes to the new point; no second product, no context.
            let point = unsafe {
                let mut point = Owned::new(aws_lc_sys::EC_POINT_new(group))?;
                succeeded(
                    aws_lc_sys::EC_POINT_mul(
                        group,
                        point.as_mut_ptr(),
                        scalar.as_ptr(),
                        ptr::null(),
                        ptr::null(),
                        ptr::null_mut(),
                    ),
                    CryptoError::Refused,
                )?;
                point
            };
            // SAFETY: both are live and of one group; the key copies the point.
            let set =
                unsafe { aws_lc_sys::EC_KEY_set_public_key(key.as_mut_ptr(), point.as_ptr()) };
            succeeded(set, CryptoError::Refused)?;
            Self::with_key(key)
        })
    }

    /// To be called behind the door.
    fn with_key(key: Owned<EC_KEY>) -> Result<Self, CryptoError> {
        let mut public_point = [0; 65];
        // SAFETY: group and point live as long as the key; at most the array's length is written.
        let written = unsafe {
            aws_lc_sys::EC_POINT_point2oct(
                group_of(&key),
                aws_lc_sys::EC_KEY_get0_public_key(key.as_ptr()),
                aws_lc_sys::point_conversion_form_t::POINT_CONVERSION_UNCOMPRESSED,
                public_point.as_mut_ptr(),
                public_point.len(),
                ptr::null_mut(),
            )
        };
        if written == public_point.len() {
            Ok(Self { key, public_point })
        } else {
            Err(CryptoError::Refused)
        }
    }

    /// Writes the scalar to `out`, which should lie in an arena.
    pub fn scalar_into(&self, out: &mut [u8; 32]) {
        door::through(|| {
            // SAFETY: the number lives as long as the key, which has one by construction; the
            // array's length is written. It can fail only for a number that does not fit, and one
            // below the order of P-256 does.
            let written = unsafe {
                aws_lc_sys::BN_bn2bin_padded(
                    out.as_mut_ptr(),
                    out.len(),
                    aws_lc_sys::EC_KEY_get0_private_key(self.key.as_ptr()),
                )
            };
            debug_assert_eq!(written, 1, "a scalar of P-256 has 32 bytes");
        });
    }

    /// The public key as an uncompressed point, `04 || x || y`.
    #[must_use]
    pub fn public_point(&self) -> [u8; 65] {
        self.public_point
    }

    /// Signs the SHA-256 digest of `message`.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn sign(&self, message: &[u8]) -> Result<FixedSignature, CryptoError> {
        door::enter_drawing(|| {
            let digest = sha256_parts(&[message]);
            // SAFETY: the digest goes with its length; the key is read only, which AWS-LC allows
            // from several threads at once; the signature is a new object that we own.
            let signature = unsafe {
                Owned::new(aws_lc_sys::ECDSA_do_sign(
                    digest.as_ptr(),
                    digest.len(),
                    self.key.as_ptr(),
                ))?
            };
            let mut fixed = [0; 64];
            let (r, s) = fixed.split_at_mut(SCALAR_LEN);
            // SAFETY: both numbers live as long as the signature; each is written into a half of
            // the array, for the length of that half.
            unsafe {
                let signature = signature.as_ptr();
                for (number, half) in [
                    (aws_lc_sys::ECDSA_SIG_get0_r(signature), r),
                    (aws_lc_sys::ECDSA_SIG_get0_s(signature), s),
                ] {
                    succeeded(
                        aws_lc_sys::BN_bn2bin_padded(half.as_mut_ptr(), half.len(), number),
                        CryptoError::Refused,
                    )?;
                }
            }
            Ok(fixed)
        })
    }

    /// The x coordinate shared with the holder of `peer_point`: raw, to be fed to a KDF.
    ///
    /// # Errors
    /// [`CryptoError::InvalidPoint`], [`CryptoError::ArenaFull`].
    pub fn ecdh(&self, peer_point: &[u8; 65]) -> Result<SecretBuf, CryptoError> {
        let mut shared = SecretBuf::with_len(SCALAR_LEN)?;
        // On the reserve, since AWS-LC's check of the peer's point reads through a null pointer
        // when an allocation in it fails.
        door::enter_on_reserve(|| {
            let point = point_on(group_of(&self.key), peer_point)?;
            let out = shared.expose_mut();
            // SAFETY: at most `out.len()` bytes are written into the arena; point and key are
            // live and only read; no KDF is called.
            let written = unsafe {
                aws_lc_sys::ECDH_compute_key(
                    out.as_mut_ptr().cast(),
                    out.len(),
                    point.as_ptr(),
                    self.key.as_ptr(),
                    None,
                )
            };
            if usize::try_from(written) == Ok(out.len()) {
                Ok(())
            } else {
                Err(CryptoError::InvalidPoint)
            }
        })?;
        Ok(shared)
    }
}

impl fmt::Debug for EcP256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EcP256(redacted)")
    }
}

/// Whether `signature` over the concatenation of `message_parts` is of the key `point`.
#[must_use]
pub fn verify_p256_sha256(
    point: &[u8; 65],
    message_parts: &[&[u8]],
    signature: &FixedSignature,
) -> bool {
    door::enter(|| {
        let digest = sha256_parts(message_parts);
        let mut key = empty_key()?;
        let point = point_on(group_of(&key), point)?;
        // SAFETY: both are live and of one group; the key copies the point.
        let set = unsafe { aws_lc_sys::EC_KEY_set_public_key(key.as_mut_ptr(), point.as_ptr()) };
        succeeded(set, CryptoError::InvalidPoint)?;
        let signature = parsed(signature)?;
        // SAFETY: the digest goes with its length; signature and key are live.
        let verified = unsafe {
            aws_lc_sys::ECDSA_do_verify(
                digest.as_ptr(),
                digest.len(),
                signature.as_ptr(),
                key.as_ptr(),
            )
        };
        succeeded(verified, CryptoError::NotAuthentic)
    })
    .is_ok()
}

/// A key of P-256 with neither scalar nor point.
fn empty_key() -> Result<Owned<EC_KEY>, CryptoError> {
    // SAFETY: the constructor gives an object that we alone own.
    unsafe {
        Owned::new(aws_lc_sys::EC_KEY_new_by_curve_name(
            aws_lc_sys::NID_X9_62_prime256v1,
        ))
    }
}

/// The group of a key, which lives as long as the key.
fn group_of(key: &Owned<EC_KEY>) -> *const EC_GROUP {
    // SAFETY: the key is live, and only read.
    unsafe { aws_lc_sys::EC_KEY_get0_group(key.as_ptr()) }
}

/// The point that `bytes` encode, if it is one of the curve; the group must outlive it.
fn point_on(group: *const EC_GROUP, bytes: &[u8; 65]) -> Result<Owned<EC_POINT>, CryptoError> {
    // SAFETY: the group is live, as `group_of` gave it; the bytes go with their length.
    unsafe {
        let mut point = Owned::new(aws_lc_sys::EC_POINT_new(group))?;
        succeeded(
            aws_lc_sys::EC_POINT_oct2point(
                group,
                point.as_mut_ptr(),
                bytes.as_ptr(),
                bytes.len(),
                ptr::null_mut(),
            ),
            CryptoError::InvalidPoint,
        )?;
        Ok(point)
    }
}

/// The number that `bytes` are, big-endian.
fn number(bytes: &[u8]) -> Result<Owned<BIGNUM>, CryptoError> {
    // SAFETY: the bytes go with their length; null asks for a new number, in the arena.
    unsafe {
        Owned::new(aws_lc_sys::BN_bin2bn(
            bytes.as_ptr(),
            bytes.len(),
            ptr::null_mut(),
        ))
    }
}

/// AWS-LC's form of a signature.
fn parsed(signature: &FixedSignature) -> Result<Owned<ECDSA_SIG>, CryptoError> {
    let (r, s) = signature.split_at(SCALAR_LEN);
    let (r, s) = (number(r)?, number(s)?);
    // SAFETY: the constructor gives an object that we alone own; set0 takes both numbers over,
    // and cannot fail for numbers that are not null.
    unsafe {
        let mut signature = Owned::new(aws_lc_sys::ECDSA_SIG_new())?;
        succeeded(
            aws_lc_sys::ECDSA_SIG_set0(signature.as_mut_ptr(), r.into_raw(), s.into_raw()),
            CryptoError::Refused,
        )?;
        Ok(signature)
    }
}
