//! HMAC with the SHA-2 family (RFC 2104, FIPS 198-1).

use super::owned::{Owned, succeeded};
use super::{CryptoError, HashAlgorithm, constant_time_eq};
use crate::door;
use aws_lc_sys::HMAC_CTX;
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;

/// The longest tag, in bytes.
const MAX_TAG_LEN: usize = 64;

/// A keyed context, copied inside the arena for each call.
pub struct Hmac {
    hash: HashAlgorithm,
    keyed: Owned<HMAC_CTX>,
}

impl Hmac {
    /// Keys a context with `key`, of any length but zero.
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`] for an empty key, [`CryptoError::ArenaFull`].
    pub fn new(hash: HashAlgorithm, key: &[u8]) -> Result<Self, CryptoError> {
        if key.is_empty() {
            return Err(CryptoError::InvalidKey);
        }
        let keyed = door::enter(|| {
            // SAFETY: the constructor takes nothing and gives an object that we alone own.
            let mut keyed = unsafe { Owned::new(aws_lc_sys::HMAC_CTX_new())? };
            // SAFETY: the context is ours; the key is read for its length; no engine.
            let result = unsafe {
                aws_lc_sys::HMAC_Init_ex(
                    keyed.as_mut_ptr(),
                    key.as_ptr().cast(),
                    key.len(),
                    hash.evp(),
                    ptr::null_mut(),
                )
            };
            succeeded(result, CryptoError::InvalidKey)?;
            Ok(keyed)
        })?;
        Ok(Self { hash, keyed })
    }

    /// Which hash this key is for.
    #[must_use]
    pub fn hash(&self) -> HashAlgorithm {
        self.hash
    }

    /// Writes the tag over `data` to the start of `out`; gives the length written, which is the
    /// hash's.
    ///
    /// # Errors
    /// [`CryptoError::OutputTooShort`], [`CryptoError::ArenaFull`].
    pub fn tag(&self, data: &[u8], out: &mut [u8]) -> Result<usize, CryptoError> {
        let len = self.hash.digest_len();
        let out = out.get_mut(..len).ok_or(CryptoError::OutputTooShort)?;
        door::enter_slightly(|| self.compute(data, out))?;
        Ok(len)
    }

    /// Whether `tag` is the whole tag over `data`, compared in constant time.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn verify(&self, data: &[u8], tag: &[u8]) -> Result<bool, CryptoError> {
        // The right tag for somebody's data is worth hiding: it does not leave the door.
        door::enter_slightly(|| {
            let mut right = [0; MAX_TAG_LEN];
            let (right, _) = right.split_at_mut(self.hash.digest_len());
            self.compute(data, right)?;
            Ok(constant_time_eq(right, tag))
        })
    }

    /// Writes the tag, by a copy of the keyed context; to be called behind the door, with as many
    /// bytes as the hash has.
    fn compute(&self, data: &[u8], out: &mut [u8]) -> Result<(), CryptoError> {
        debug_assert_eq!(out.len(), self.hash.digest_len());
        let mut memory = MaybeUninit::uninit();
        let mut copy = Copied::in_place(&mut memory);
        // SAFETY: the copy is ours and the keyed context is only read, so other threads may read
        // it too; the data is read for its length; as many bytes are written as the hash has,
        // which is what both callers give, and the length is not asked for.
        unsafe {
            succeeded(
                aws_lc_sys::HMAC_CTX_copy_ex(copy.as_mut_ptr(), self.keyed.as_ptr()),
                CryptoError::Refused,
            )?;
            succeeded(
                aws_lc_sys::HMAC_Update(copy.as_mut_ptr(), data.as_ptr(), data.len()),
                CryptoError::Refused,
            )?;
            succeeded(
                aws_lc_sys::HMAC_Final(copy.as_mut_ptr(), out.as_mut_ptr(), ptr::null_mut()),
                CryptoError::Refused,
            )
        }
    }
}

/// A context in memory of the caller's: behind the door its stack is in the arena too, and that
/// spares the allocator.
struct Copied<'m>(&'m mut MaybeUninit<HMAC_CTX>);

impl<'m> Copied<'m> {
    /// An empty one, made in place: moved about it would go twice as deep.
    fn in_place(memory: &'m mut MaybeUninit<HMAC_CTX>) -> Self {
        // SAFETY: the memory is that of a context, and what is in it before does not matter.
        unsafe { aws_lc_sys::HMAC_CTX_init(memory.as_mut_ptr()) };
        Self(memory)
    }

    fn as_mut_ptr(&mut self) -> *mut HMAC_CTX {
        self.0.as_mut_ptr()
    }
}

impl Drop for Copied<'_> {
    fn drop(&mut self) {
        // SAFETY: it was initialised when it was made, and nobody uses it after this.
        unsafe { aws_lc_sys::HMAC_CTX_cleanup(self.0.as_mut_ptr()) };
    }
}

impl fmt::Debug for Hmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hmac({:?}, redacted)", self.hash)
    }
}

/// [`Hmac`] with SHA-256, whose tag is an array.
pub struct HmacSha256(Hmac);

impl HmacSha256 {
    /// As [`Hmac::new`].
    ///
    /// # Errors
    /// As there.
    pub fn new(key: &[u8]) -> Result<Self, CryptoError> {
        Hmac::new(HashAlgorithm::Sha256, key).map(Self)
    }

    /// The tag over `data`.
    ///
    /// # Errors
    /// [`CryptoError::ArenaFull`].
    pub fn tag(&self, data: &[u8]) -> Result<[u8; 32], CryptoError> {
        let mut tag = [0; 32];
        self.0.tag(data, &mut tag)?;
        Ok(tag)
    }

    /// As [`Hmac::verify`].
    ///
    /// # Errors
    /// As there.
    pub fn verify(&self, data: &[u8], tag: &[u8]) -> Result<bool, CryptoError> {
        self.0.verify(data, tag)
    }
}

impl fmt::Debug for HmacSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacSha256(redacted)")
    }
}
