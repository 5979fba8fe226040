//! AWS-LC, with every secret state in the heap arena.
//!
//! Keys are expanded once and kept; using one from several threads at once is allowed.

mod aead;
mod curve25519;
mod digest;
mod hmac;
mod owned;
mod p256;
mod random;
mod signature;
mod spki;
#[cfg(test)]
mod tests;
mod wrap;

pub use aead::{AeadAlgorithm, AeadKey, NONCE_LEN, TAG_LEN};
pub use curve25519::{Ed25519, verify_ed25519};
pub use digest::{concat_kdf_sha256, constant_time_eq, sha256, sha384};
pub use hmac::HmacSha256;
pub use p256::{EcP256, FixedSignature, verify_p256_sha256};
pub use random::fill_random;
pub use signature::{DerSignature, der_to_fixed, fixed_to_der};
pub use spki::{ed25519_spki, p256_spki, parse_p256_spki};
pub use wrap::aes256_key_unwrap;

use crate::secret::ArenaFull;

/// Why a cryptographic call gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CryptoError {
    /// The heap arena has no room for the library's state.
    #[error("locked arena has no room left for the cryptographic call")]
    ArenaFull,
    /// [`crate::install`] has not run, so keys would land in plain memory.
    #[error("cannot use keys before the arenas are installed")]
    NotInstalled,
    /// The key material is of the wrong length or out of range.
    #[error("key material is of the wrong length or out of range")]
    InvalidKey,
    /// A peer's public point is no point of the curve.
    #[error("public point is not on the curve")]
    InvalidPoint,
    /// An input is longer than the algorithm takes, or of a length it never has.
    #[error("input has a length that the algorithm does not take")]
    BadLength,
    /// The output buffer is too short for the result.
    #[error("output buffer is too short for the result")]
    OutputTooShort,
    /// Tag or integrity value does not fit: wrong key, or the data was changed.
    #[error("ciphertext does not authenticate under this key")]
    NotAuthentic,
    /// The library refused for a reason it should not have here.
    #[error("cryptographic library refused the call")]
    Refused,
}

impl From<ArenaFull> for CryptoError {
    fn from(_: ArenaFull) -> Self {
        Self::ArenaFull
    }
}
