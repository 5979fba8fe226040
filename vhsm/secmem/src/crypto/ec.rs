//! ECDSA and ECDH on P-256, P-384 and P-521 (FIPS 186-5, SP 800-56A).

use super::hash::Digest;
use super::owned::{Owned, judged, succeeded};
use super::{CryptoError, HashAlgorithm, Input, KeyAlgorithm, parse_pkcs8};
use crate::door;
use crate::secret::SecretBuf;
use aws_lc_sys::{BIGNUM, EC_GROUP, EC_KEY, EC_POINT, ECDSA_SIG};
use std::fmt;
use std::ptr;

/// A curve of NIST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// P-256, `secp256r1`.
    P256,
    /// P-384, `secp384r1`.
    P384,
    /// P-521, `secp521r1`.
    P521,
}

impl Curve {
    /// Every curve.
    pub const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// Length of a scalar, of a coordinate, and of half a signature, in bytes.
    #[must_use]
    pub const fn scalar_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// Length of an uncompressed point, in bytes.
    #[must_use]
    pub const fn point_len(self) -> usize {
        1 + 2 * self.scalar_len()
    }

    /// Length of a signature in its fixed form, in bytes.
    #[must_use]
    pub const fn signature_len(self) -> usize {
        2 * self.scalar_len()
    }

    const fn nid(self) -> i32 {
        match self {
            Self::P256 => aws_lc_sys::NID_X9_62_prime256v1,
            Self::P384 => aws_lc_sys::NID_secp384r1,
            Self::P521 => aws_lc_sys::NID_secp521r1,
        }
    }
}

const MAX_POINT_LEN: usize = Curve::P521.point_len();
const MAX_SIGNATURE_LEN: usize = Curve::P521.signature_len();

/// An uncompressed point, `04 || x || y`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicPoint {
    bytes: [u8; MAX_POINT_LEN],
    len: usize,
}

impl PublicPoint {
    /// The bytes of the point.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl fmt::Debug for PublicPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicPoint({:02x?})", self.as_bytes())
    }
}

/// An ECDSA signature as `r || s`, both as long as a scalar, big-endian.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FixedSig {
    bytes: [u8; MAX_SIGNATURE_LEN],
    len: usize,
}

impl FixedSig {
    /// All zero: no signature yet.
    pub(super) fn empty(curve: Curve) -> Self {
        Self {
            bytes: [0; MAX_SIGNATURE_LEN],
            len: curve.signature_len(),
        }
    }

    /// The bytes of both numbers.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Both halves, to be written.
    pub(super) fn halves_mut(&mut self) -> (&mut [u8], &mut [u8]) {
        let (signature, _) = self.bytes.split_at_mut(self.len);
        signature.split_at_mut(self.len / 2)
    }
}

impl AsRef<[u8]> for FixedSig {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for FixedSig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FixedSig({:02x?})", self.as_bytes())
    }
}

/// A private key, expanded and kept.
pub struct Ec {
    curve: Curve,
    key: Owned<EC_KEY>,
    public_point: PublicPoint,
}

impl Ec {
    /// A fresh key, drawn by AWS-LC.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn generate(curve: Curve) -> Result<Self, CryptoError> {
        door::enter_drawing(|| {
            let mut key = empty_key(curve)?;
            // SAFETY: the key is ours and has a group.
            let generated = unsafe { aws_lc_sys::EC_KEY_generate_key(key.as_mut_ptr()) };
            succeeded(generated, CryptoError::Refused)?;
            Self::with_key(curve, key)
        })
    }

    /// The key with this scalar (as long as the curve says, big-endian, above zero and below the
    /// order).
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`], [`CryptoError::ArenaFull`].
    pub fn from_scalar(curve: Curve, scalar: &[u8]) -> Result<Self, CryptoError> {
        if scalar.len() != curve.scalar_len() {
            return Err(CryptoError::InvalidKey);
        }
        door::enter(|| {
            let mut key = empty_key(curve)?;
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
            Self::with_key(curve, key)
        })
    }

    /// The key in a PKCS#8 file of this curve, which should lie in an arena. A public key in it
    /// must be the scalar's.
    ///
    /// # Errors
    /// [`CryptoError::BadEncoding`], [`CryptoError::WrongAlgorithm`] for another type or curve,
    /// [`CryptoError::InvalidKey`], [`CryptoError::ArenaFull`].
    pub fn from_pkcs8(curve: Curve, der: &[u8]) -> Result<Self, CryptoError> {
        let info = parse_pkcs8(der)?.expect_algorithm(KeyAlgorithm::Ec(curve))?;
        let key = Self::from_scalar(curve, info.secret)?;
        info.check_public(key.public_point.as_bytes())?;
        Ok(key)
    }

    /// To be called behind the door.
    fn with_key(curve: Curve, key: Owned<EC_KEY>) -> Result<Self, CryptoError> {
        let mut public_point = PublicPoint {
            bytes: [0; MAX_POINT_LEN],
            len: curve.point_len(),
        };
        // SAFETY: group and point live as long as the key; at most the array's length is written.
        let written = unsafe {
            aws_lc_sys::EC_POINT_point2oct(
                group_of(&key),
                aws_lc_sys::EC_KEY_get0_public_key(key.as_ptr()),
                aws_lc_sys::point_conversion_form_t::POINT_CONVERSION_UNCOMPRESSED,
                public_point.bytes.as_mut_ptr(),
                public_point.bytes.len(),
                ptr::null_mut(),
            )
        };
        if written == public_point.len {
            Ok(Self {
                curve,
                key,
                public_point,
            })
        } else {
            Err(CryptoError::Refused)
        }
    }

    /// Which curve this key is on.
    #[must_use]
    pub fn curve(&self) -> Curve {
        self.curve
    }

    /// Length of the scalar, in bytes.
    #[must_use]
    pub fn scalar_len(&self) -> usize {
        self.curve.scalar_len()
    }

    /// Writes the scalar to `out`, which should lie in an arena and is as long as the scalar.
    ///
    /// # Errors
    /// [`CryptoError::OutputTooShort`] for another length.
    pub fn scalar_into(&self, out: &mut [u8]) -> Result<(), CryptoError> {
        if out.len() != self.scalar_len() {
            return Err(CryptoError::OutputTooShort);
        }
        door::through(|| {
            // SAFETY: the number lives as long as the key, which has one by construction; the
            // slice's length is written. It can fail only for a number that does not fit.
            let written = unsafe {
                aws_lc_sys::BN_bn2bin_padded(
                    out.as_mut_ptr(),
                    out.len(),
                    aws_lc_sys::EC_KEY_get0_private_key(self.key.as_ptr()),
                )
            };
            succeeded(written, CryptoError::Refused)
        })
    }

    /// The public key as an uncompressed point.
    #[must_use]
    pub fn public_point(&self) -> PublicPoint {
        self.public_point
    }

    /// Signs with ECDSA; of a digest longer than the order, its first bits are signed.
    ///
    /// # Errors
    /// [`CryptoError::BadLength`] for a digest that is not as long as the hash's,
    /// [`CryptoError::ArenaFull`].
    pub fn sign(&self, hash: HashAlgorithm, input: Input<'_>) -> Result<FixedSig, CryptoError> {
        door::enter_drawing(|| {
            let digest = Digest::of(hash, input)?;
            let digest = digest.as_bytes();
            // SAFETY: the digest goes with its length; the key is read only, which AWS-LC allows
            // from several threads at once; the signature is a new object that we own.
            let signature = unsafe {
                Owned::new(aws_lc_sys::ECDSA_do_sign(
                    digest.as_ptr(),
                    digest.len(),
                    self.key.as_ptr(),
                ))?
            };
            let mut fixed = FixedSig::empty(self.curve);
            let (r, s) = fixed.halves_mut();
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

    /// Whether `signature` (in its fixed form) is of this key.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn verify(
        &self,
        hash: HashAlgorithm,
        input: Input<'_>,
        signature: &[u8],
    ) -> Result<bool, CryptoError> {
        judged(enter_verifying(self.curve, || {
            verify_with(self.curve, &self.key, Digest::of(hash, input)?, signature)
        }))
    }

    /// The x coordinate shared with the holder of `peer_point` (uncompressed): raw, to be fed to
    /// a KDF.
    ///
    /// # Errors
    /// [`CryptoError::InvalidPoint`], [`CryptoError::ArenaFull`].
    pub fn ecdh(&self, peer_point: &[u8]) -> Result<SecretBuf, CryptoError> {
        let mut shared = SecretBuf::with_len(self.scalar_len())?;
        // On the reserve, since AWS-LC's check of the peer's point reads through a null pointer
        // when an allocation in it fails.
        door::enter_on_reserve(|| {
            let point = point_on(self.curve, group_of(&self.key), peer_point)?;
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

impl fmt::Debug for Ec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ec({:?}, redacted)", self.curve)
    }
}

/// Whether `signature` (in its fixed form) is of the key `point` (uncompressed).
///
/// # Errors
/// [`CryptoError::ArenaFull`].
pub fn verify_ecdsa(
    curve: Curve,
    hash: HashAlgorithm,
    point: &[u8],
    input: Input<'_>,
    signature: &[u8],
) -> Result<bool, CryptoError> {
    verify_by(curve, point, signature, || Digest::of(hash, input))
}

/// Whether `signature` is of the key `point` over a digest that is made behind the door.
pub(super) fn verify_by(
    curve: Curve,
    point: &[u8],
    signature: &[u8],
    digest: impl FnOnce() -> Result<Digest, CryptoError>,
) -> Result<bool, CryptoError> {
    judged(enter_verifying(curve, || {
        let digest = digest()?;
        let mut key = empty_key(curve)?;
        let point = point_on(curve, group_of(&key), point)?;
        // SAFETY: both are live and of one group; the key copies the point.
        let set = unsafe { aws_lc_sys::EC_KEY_set_public_key(key.as_mut_ptr(), point.as_ptr()) };
        succeeded(set, CryptoError::InvalidPoint)?;
        verify_with(curve, &key, digest, signature)
    }))
}

/// On the longer curves, verifying goes deeper than all else: 9.2 KiB.
fn enter_verifying(
    curve: Curve,
    work: impl FnOnce() -> Result<(), CryptoError>,
) -> Result<(), CryptoError> {
    match curve {
        Curve::P256 => door::enter(work),
        Curve::P384 | Curve::P521 => door::enter_deep(work),
    }
}

/// To be called behind the door.
fn verify_with(
    curve: Curve,
    key: &Owned<EC_KEY>,
    digest: Digest,
    signature: &[u8],
) -> Result<(), CryptoError> {
    if signature.len() != curve.signature_len() {
        return Err(CryptoError::BadLength);
    }
    let signature = parsed(signature)?;
    let digest = digest.as_bytes();
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
}

/// A key with neither scalar nor point.
fn empty_key(curve: Curve) -> Result<Owned<EC_KEY>, CryptoError> {
    // SAFETY: the constructor gives an object that we alone own.
    unsafe { Owned::new(aws_lc_sys::EC_KEY_new_by_curve_name(curve.nid())) }
}

/// The group of a key, which lives as long as the key.
fn group_of(key: &Owned<EC_KEY>) -> *const EC_GROUP {
    // SAFETY: the key is live, and only read.
    unsafe { aws_lc_sys::EC_KEY_get0_group(key.as_ptr()) }
}

/// The point that `bytes` encode, if it is one of the curve; the group must outlive it.
fn point_on(
    curve: Curve,
    group: *const EC_GROUP,
    bytes: &[u8],
) -> Result<Owned<EC_POINT>, CryptoError> {
    if bytes.len() != curve.point_len() || bytes.first() != Some(&4) {
        return Err(CryptoError::InvalidPoint);
    }
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
fn parsed(signature: &[u8]) -> Result<Owned<ECDSA_SIG>, CryptoError> {
    let (r, s) = signature.split_at(signature.len() / 2);
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
