//! Digests, the concatenation KDF, comparison in constant time.

use super::CryptoError;
use super::owned::succeeded;
use crate::door;
use crate::secret::SecretBuf;
use aws_lc_sys::{SHA256_CTX, SHA512_CTX};
use std::iter;
use std::mem::MaybeUninit;

/// SHA-256 of the concatenation of `parts`, which are public.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    door::through(|| sha256_parts(parts))
}

/// [`sha256`], to be called behind the door.
pub(super) fn sha256_parts(parts: &[&[u8]]) -> [u8; 32] {
    let mut digest = [0; 32];
    let mut context = MaybeUninit::<SHA256_CTX>::uninit();
    // SAFETY: the context is a local that Init makes valid before anything reads it; each part is
    // read for its length; Final writes 32 bytes, as the array has. None of them can fail or
    // allocates.
    unsafe {
        aws_lc_sys::SHA256_Init(context.as_mut_ptr());
        for part in parts {
            aws_lc_sys::SHA256_Update(context.as_mut_ptr(), part.as_ptr().cast(), part.len());
        }
        aws_lc_sys::SHA256_Final(digest.as_mut_ptr(), context.as_mut_ptr());
    }
    digest
}

/// SHA-256 of something public that comes piece by piece.
pub struct Sha256 {
    context: SHA256_CTX,
}

impl std::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sha256 { .. }")
    }
}

impl Sha256 {
    /// Of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        door::through(|| {
            let mut context = MaybeUninit::<SHA256_CTX>::uninit();
            // SAFETY: Init makes the whole context valid, cannot fail and allocates nothing; the
            // context holds no pointer, so it may move.
            let context = unsafe {
                aws_lc_sys::SHA256_Init(context.as_mut_ptr());
                context.assume_init()
            };
            Self { context }
        })
    }

    /// What comes next.
    pub fn update(&mut self, part: &[u8]) {
        door::through(|| {
            // SAFETY: the context is valid and ours alone; the part is read for its length.
            unsafe {
                aws_lc_sys::SHA256_Update(&raw mut self.context, part.as_ptr().cast(), part.len());
            }
        });
    }

    /// The digest of all of it.
    #[must_use]
    pub fn finish(mut self) -> [u8; 32] {
        door::through(|| {
            let mut digest = [0; 32];
            // SAFETY: the context is valid and ours alone; Final writes 32 bytes, as the array has.
            unsafe { aws_lc_sys::SHA256_Final(digest.as_mut_ptr(), &raw mut self.context) };
            digest
        })
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

/// SHA-384 of the concatenation of `parts`, which are public.
#[must_use]
pub fn sha384(parts: &[&[u8]]) -> [u8; 48] {
    door::through(|| {
        let mut digest = [0; 48];
        let mut context = MaybeUninit::<SHA512_CTX>::uninit();
        // SAFETY: as in `sha256_parts`, with 48 bytes.
        unsafe {
            aws_lc_sys::SHA384_Init(context.as_mut_ptr());
            for part in parts {
                aws_lc_sys::SHA384_Update(context.as_mut_ptr(), part.as_ptr().cast(), part.len());
            }
            aws_lc_sys::SHA384_Final(digest.as_mut_ptr(), context.as_mut_ptr());
        }
        digest
    })
}

/// 32 bytes by the concatenation KDF with SHA-256 (NIST SP 800-56A 5.8.1, one round), of what is
/// shared: the parts of `z`, one after the other.
///
/// # Errors
/// [`CryptoError::ArenaFull`].
pub fn concat_kdf_sha256(z: &[&SecretBuf], other_info: &[u8]) -> Result<SecretBuf, CryptoError> {
    let mut derived = SecretBuf::with_len(32)?;
    let mut context = SecretBuf::with_len(size_of::<SHA256_CTX>())?;
    door::enter(|| {
        let context = context.expose_mut().as_mut_ptr().cast::<SHA256_CTX>();
        let counter = 1_u32.to_be_bytes();
        // SAFETY: the context has the size that it was allocated with and the arena's alignment
        // of 16, and Init makes it valid before anything reads it; each part is read for its
        // length; Final writes 32 bytes, as the buffer has.
        unsafe {
            succeeded(aws_lc_sys::SHA256_Init(context), CryptoError::Refused)?;
            let shared = z.iter().map(|part| part.expose());
            for part in iter::once(&counter[..]).chain(shared).chain([other_info]) {
                succeeded(
                    aws_lc_sys::SHA256_Update(context, part.as_ptr().cast(), part.len()),
                    CryptoError::Refused,
                )?;
            }
            succeeded(
                aws_lc_sys::SHA256_Final(derived.expose_mut().as_mut_ptr(), context),
                CryptoError::Refused,
            )
        }
    })?;
    Ok(derived)
}

/// Whether `a` and `b` are equal, in time that depends on their lengths alone.
#[must_use]
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    // SAFETY: both are read for the same length, which is the length of either.
    a.len() == b.len() && unsafe { memsec::memeq(a.as_ptr(), b.as_ptr(), a.len()) }
}
