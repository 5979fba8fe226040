//! Which hash, and what is signed: a message or its digest.

use super::CryptoError;
use super::digest::sha256_parts;
use aws_lc_sys::{EVP_MD, SHA512_CTX};
use std::mem::MaybeUninit;

/// A hash of the SHA-2 family (FIPS 180-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// What a signature is over.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The message, which is hashed here.
    Message(&'a [u8]),
    /// The digest of a message, as long as the hash says.
    Digest(&'a [u8]),
}

impl HashAlgorithm {
    /// Every hash.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// Length of a digest and of an HMAC tag, in bytes.
    #[must_use]
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// AWS-LC's constant for it.
    pub(super) fn evp(self) -> *const EVP_MD {
        // SAFETY: each gives a pointer to a constant of the library.
        unsafe {
            match self {
                Self::Sha256 => aws_lc_sys::EVP_sha256(),
                Self::Sha384 => aws_lc_sys::EVP_sha384(),
                Self::Sha512 => aws_lc_sys::EVP_sha512(),
            }
        }
    }

    /// AWS-LC's number for it.
    pub(super) const fn nid(self) -> i32 {
        match self {
            Self::Sha256 => aws_lc_sys::NID_sha256,
            Self::Sha384 => aws_lc_sys::NID_sha384,
            Self::Sha512 => aws_lc_sys::NID_sha512,
        }
    }
}

/// A digest, with room for the longest.
#[derive(Clone, Copy)]
pub(super) struct Digest {
    bytes: [u8; 64],
    len: usize,
}

impl Digest {
    /// The digest that `input` is or has; to be called behind the door.
    pub(super) fn of(hash: HashAlgorithm, input: Input<'_>) -> Result<Self, CryptoError> {
        match input {
            Input::Message(message) => Ok(Self::of_parts(hash, &[message])),
            Input::Digest(given) if given.len() == hash.digest_len() => {
                let mut bytes = [0; 64];
                let (digest, _) = bytes.split_at_mut(given.len());
                digest.copy_from_slice(given);
                let len = given.len();
                Ok(Self { bytes, len })
            }
            Input::Digest(_) => Err(CryptoError::BadLength),
        }
    }

    /// The digest of the concatenation of `parts`; to be called behind the door.
    pub(super) fn of_parts(hash: HashAlgorithm, parts: &[&[u8]]) -> Self {
        let mut bytes = [0; 64];
        match hash {
            HashAlgorithm::Sha256 => {
                let (digest, _) = bytes.split_at_mut(32);
                digest.copy_from_slice(&sha256_parts(parts));
            }
            HashAlgorithm::Sha384 => long_digest(parts, &mut bytes, true),
            HashAlgorithm::Sha512 => long_digest(parts, &mut bytes, false),
        }
        let len = hash.digest_len();
        Self { bytes, len }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// SHA-512, or its first 48 bytes by the other start, which is SHA-384.
fn long_digest(parts: &[&[u8]], out: &mut [u8; 64], is_short: bool) {
    let mut context = MaybeUninit::<SHA512_CTX>::uninit();
    // SAFETY: the context is a local that Init makes valid before anything reads it; each part is
    // read for its length; Final writes 48 or 64 bytes, and the array has 64. None of them can
    // fail or allocates.
    unsafe {
        if is_short {
            aws_lc_sys::SHA384_Init(context.as_mut_ptr());
        } else {
            aws_lc_sys::SHA512_Init(context.as_mut_ptr());
        }
        for part in parts {
            aws_lc_sys::SHA512_Update(context.as_mut_ptr(), part.as_ptr().cast(), part.len());
        }
        if is_short {
            aws_lc_sys::SHA384_Final(out.as_mut_ptr(), context.as_mut_ptr());
        } else {
            aws_lc_sys::SHA512_Final(out.as_mut_ptr(), context.as_mut_ptr());
        }
    }
}
