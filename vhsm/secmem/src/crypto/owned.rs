//! AWS-LC's objects, freed when dropped. All of them lie in the heap arena.

use super::CryptoError;
use aws_lc_sys::{
    BIGNUM, EC_KEY, EC_POINT, ECDSA_SIG, EVP_AEAD_CTX, EVP_MD_CTX, EVP_PKEY, EVP_PKEY_CTX,
    HMAC_CTX, RSA,
};
use std::ptr::NonNull;

/// An object that AWS-LC allocated and we alone own.
pub(super) struct Owned<T: Free>(NonNull<T>);

/// How AWS-LC frees a type.
///
/// # Safety
/// `free` must free what the library's constructors of the type give, from any thread.
pub(super) unsafe trait Free {
    /// Frees the object.
    ///
    /// # Safety
    /// `object` must be a live object of which nobody else knows.
    unsafe fn free(object: *mut Self);
}

impl<T: Free> Owned<T> {
    /// Takes what a constructor gave; null becomes an error.
    ///
    /// # Safety
    /// A pointer other than null must be a live object that nobody else frees.
    pub(super) unsafe fn new(object: *mut T) -> Result<Self, CryptoError> {
        NonNull::new(object).map(Self).ok_or(CryptoError::Refused)
    }

    /// The object, for calls that only read it; such calls may run on several threads at once.
    pub(super) fn as_ptr(&self) -> *const T {
        self.0.as_ptr()
    }

    /// The object, for calls that change it.
    pub(super) fn as_mut_ptr(&mut self) -> *mut T {
        self.0.as_ptr()
    }

    /// The object, to be owned by another.
    pub(super) fn into_raw(self) -> *mut T {
        let object = self.0.as_ptr();
        std::mem::forget(self);
        object
    }
}

impl<T: Free> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: `new` was promised a live object that is ours alone, and we are its last user.
        // No secret is read on the way: the arena zeroes the memory, so the door is not needed.
        unsafe { T::free(self.0.as_ptr()) };
    }
}

// SAFETY: none of these objects has thread affinity; AWS-LC documents that const pointers to them
// may be used from several threads, and `as_mut_ptr` needs an exclusive borrow.
unsafe impl<T: Free> Send for Owned<T> {}
// SAFETY: as above.
unsafe impl<T: Free> Sync for Owned<T> {}

macro_rules! free_with {
    ($($object:ty: $free:ident),* $(,)?) => {$(
        // SAFETY: the library's own function for the type.
        unsafe impl Free for $object {
            unsafe fn free(object: *mut Self) {
                // SAFETY: the caller's promise is what the function asks for.
                unsafe { aws_lc_sys::$free(object) };
            }
        }
    )*};
}

free_with! {
    BIGNUM: BN_free,
    EC_KEY: EC_KEY_free,
    EC_POINT: EC_POINT_free,
    ECDSA_SIG: ECDSA_SIG_free,
    EVP_AEAD_CTX: EVP_AEAD_CTX_free,
    EVP_MD_CTX: EVP_MD_CTX_free,
    EVP_PKEY: EVP_PKEY_free,
    EVP_PKEY_CTX: EVP_PKEY_CTX_free,
    HMAC_CTX: HMAC_CTX_free,
    RSA: RSA_free,
}

/// What a verification says. That a signature is wrong is an answer; that it could not be looked
/// at is none.
pub(super) fn judged(verified: Result<(), CryptoError>) -> Result<bool, CryptoError> {
    match verified {
        Ok(()) => Ok(true),
        Err(error @ (CryptoError::ArenaFull | CryptoError::NotInstalled)) => Err(error),
        Err(_) => Ok(false),
    }
}

/// Turns AWS-LC's "1 is success" into a result.
pub(super) fn succeeded(
    result: std::ffi::c_int,
    otherwise: CryptoError,
) -> Result<(), CryptoError> {
    if result == 1 { Ok(()) } else { Err(otherwise) }
}
