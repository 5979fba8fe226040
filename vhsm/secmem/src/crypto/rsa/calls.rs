//! The library's calls, for either kind of key.

use super::{RsaPadding, RsaScheme, RsaSize};
use crate::crypto::hash::Digest;
use crate::crypto::owned::{Owned, judged, succeeded};
use crate::crypto::{CryptoError, HashAlgorithm, Input};
use crate::door;
use aws_lc_sys::{EVP_PKEY, EVP_PKEY_CTX, RSA};
use std::ffi::{c_int, c_void};
use std::ptr;

/// Longest OAEP label, in bytes: it is copied for each call.
const MAX_LABEL_LEN: usize = 64 * 1024;

/// Wraps a key for the interfaces that want it so.
pub(super) fn as_evp(key: Owned<RSA>) -> Result<Owned<EVP_PKEY>, CryptoError> {
    // SAFETY: the constructor gives an object that we alone own, and it takes a reference to the
    // key.
    unsafe {
        let mut key = key;
        let mut wrapped = Owned::new(aws_lc_sys::EVP_PKEY_new())?;
        succeeded(
            aws_lc_sys::EVP_PKEY_set1_RSA(wrapped.as_mut_ptr(), key.as_mut_ptr()),
            CryptoError::Refused,
        )?;
        Ok(wrapped)
    }
}

/// The RSA key in a wrapped one, which it lives as long as.
pub(super) fn rsa_of(key: &Owned<EVP_PKEY>) -> *const RSA {
    // SAFETY: the key is live, and only read.
    unsafe { aws_lc_sys::EVP_PKEY_get0_RSA(key.as_ptr()) }
}

/// Writes a signature, as long as the modulus, to `out`; to be called behind the door with a live
/// key.
pub(super) fn sign(
    key: *const RSA,
    scheme: RsaScheme,
    digest: &[u8],
    out: &mut [u8],
) -> Result<(), CryptoError> {
    let md = scheme.hash.evp();
    // AWS-LC documents that a key may sign on several threads at once, its type notwithstanding.
    let key = key.cast_mut();
    let signed = match scheme.padding {
        RsaPadding::Pss => {
            let mut len = 0;
            // SAFETY: the key is live, which is our caller's promise; digest and signature go
            // with their lengths.
            unsafe {
                aws_lc_sys::RSA_sign_pss_mgf1(
                    key,
                    &raw mut len,
                    out.as_mut_ptr(),
                    out.len(),
                    digest.as_ptr(),
                    digest.len(),
                    md,
                    md,
                    aws_lc_sys::RSA_PSS_SALTLEN_DIGEST,
                )
            }
        }
        RsaPadding::Pkcs1 => {
            let mut len = 0;
            // SAFETY: as above; as many bytes are written as the modulus has, and so has `out`.
            unsafe {
                aws_lc_sys::RSA_sign(
                    scheme.hash.nid(),
                    digest.as_ptr(),
                    digest.len(),
                    out.as_mut_ptr(),
                    &raw mut len,
                    key,
                )
            }
        }
    };
    succeeded(signed, CryptoError::Refused)
}

pub(super) fn verify(
    key: &Owned<EVP_PKEY>,
    scheme: RsaScheme,
    input: Input<'_>,
    signature: &[u8],
) -> Result<bool, CryptoError> {
    judged(door::enter(|| {
        let digest = Digest::of(scheme.hash, input)?;
        let digest = digest.as_bytes();
        let md = scheme.hash.evp();
        let key = rsa_of(key).cast_mut();
        // SAFETY: the key is live, and verifying on several threads at once is allowed; digest and
        // signature go with their lengths.
        let verified = unsafe {
            match scheme.padding {
                RsaPadding::Pss => aws_lc_sys::RSA_verify_pss_mgf1(
                    key,
                    digest.as_ptr(),
                    digest.len(),
                    md,
                    md,
                    aws_lc_sys::RSA_PSS_SALTLEN_DIGEST,
                    signature.as_ptr(),
                    signature.len(),
                ),
                RsaPadding::Pkcs1 => aws_lc_sys::RSA_verify(
                    scheme.hash.nid(),
                    digest.as_ptr(),
                    digest.len(),
                    signature.as_ptr(),
                    signature.len(),
                    key,
                ),
            }
        };
        succeeded(verified, CryptoError::NotAuthentic)
    }))
}

pub(super) fn encrypt(
    key: &Owned<EVP_PKEY>,
    size: RsaSize,
    hash: HashAlgorithm,
    label: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    if plaintext.len() + 2 * hash.digest_len() + 2 > size.modulus_len() {
        return Err(CryptoError::BadLength);
    }
    let mut ciphertext = vec![0; size.modulus_len()];
    door::enter_drawing(|| {
        let mut context = oaep_context(key, aws_lc_sys::EVP_PKEY_encrypt_init, hash, label)?;
        let mut len = ciphertext.len();
        // SAFETY: the context is ours; at most `len` bytes are written, which the vector has; the
        // plaintext goes with its length.
        let done = unsafe {
            aws_lc_sys::EVP_PKEY_encrypt(
                context.as_mut_ptr(),
                ciphertext.as_mut_ptr(),
                &raw mut len,
                plaintext.as_ptr(),
                plaintext.len(),
            )
        };
        succeeded(done, CryptoError::Refused)
    })?;
    Ok(ciphertext)
}

/// A context for one call with `key`, of which it takes a reference; to be called behind the door.
pub(super) fn oaep_context(
    key: &Owned<EVP_PKEY>,
    init: unsafe extern "C" fn(*mut EVP_PKEY_CTX) -> c_int,
    hash: HashAlgorithm,
    label: &[u8],
) -> Result<Owned<EVP_PKEY_CTX>, CryptoError> {
    if label.len() > MAX_LABEL_LEN {
        return Err(CryptoError::BadLength);
    }
    let refused = CryptoError::Refused;
    // SAFETY: the key is live, and but for its count of references, which is atomic, only read;
    // the context is ours; `init` is one of the library's two.
    unsafe {
        let mut owned = Owned::new(aws_lc_sys::EVP_PKEY_CTX_new(
            key.as_ptr().cast_mut(),
            ptr::null_mut(),
        ))?;
        let context = owned.as_mut_ptr();
        succeeded(init(context), refused)?;
        let padding = aws_lc_sys::RSA_PKCS1_OAEP_PADDING;
        succeeded(
            aws_lc_sys::EVP_PKEY_CTX_set_rsa_padding(context, padding),
            refused,
        )?;
        succeeded(
            aws_lc_sys::EVP_PKEY_CTX_set_rsa_oaep_md(context, hash.evp()),
            refused,
        )?;
        succeeded(
            aws_lc_sys::EVP_PKEY_CTX_set_rsa_mgf1_md(context, hash.evp()),
            refused,
        )?;
        if !label.is_empty() {
            set_label(&mut owned, label)?;
        }
        Ok(owned)
    }
}

/// Gives the context a copy of `label`.
fn set_label(context: &mut Owned<EVP_PKEY_CTX>, label: &[u8]) -> Result<(), CryptoError> {
    // SAFETY: the copy has the label's length, and belongs to the context once that has taken it;
    // until then it is ours to free.
    unsafe {
        let copy = aws_lc_sys::OPENSSL_malloc(label.len()).cast::<u8>();
        if copy.is_null() {
            return Err(CryptoError::ArenaFull);
        }
        copy.copy_from_nonoverlapping(label.as_ptr(), label.len());
        let set =
            aws_lc_sys::EVP_PKEY_CTX_set0_rsa_oaep_label(context.as_mut_ptr(), copy, label.len());
        if set != 1 {
            aws_lc_sys::OPENSSL_free(copy.cast::<c_void>());
        }
        succeeded(set, CryptoError::Refused)
    }
}

type Marshal = unsafe extern "C" fn(*mut *mut u8, *mut usize, *const RSA) -> c_int;

/// A key in DER as the library wrote it, in the arena.
pub(super) struct Marshalled {
    start: *mut u8,
    len: usize,
}

impl Marshalled {
    /// # Safety
    /// The key is live.
    pub(super) unsafe fn new(key: *const RSA, marshal: Marshal) -> Result<Self, CryptoError> {
        let (mut start, mut len) = (ptr::null_mut(), 0);
        // SAFETY: the key is live, as the caller promises; what comes out is ours to free.
        let written = unsafe { marshal(&raw mut start, &raw mut len, key) };
        succeeded(written, CryptoError::Refused)?;
        Ok(Self { start, len })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        // SAFETY: the library wrote that many bytes there, and they are ours until we drop.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl Drop for Marshalled {
    fn drop(&mut self) {
        // SAFETY: allocated by the library, and nobody else's. The arena zeroes it.
        unsafe { aws_lc_sys::OPENSSL_free(self.start.cast()) };
    }
}
