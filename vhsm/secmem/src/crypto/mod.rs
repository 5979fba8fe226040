//! AWS-LC, with every secret state in the heap arena.
//!
//! Keys are expanded once and kept; using one from several threads at once is allowed.

mod aead;
mod algorithm;
mod copy;
mod curve25519;
mod der;
mod digest;
mod ec;
mod hash;
mod hkdf;
mod hmac;
mod kwp;
mod mldsa;
mod mlkem;
mod owned;
mod p256;
mod pkcs8;
mod random;
mod raw_key;
mod rsa;
mod signature;
mod spki;
#[cfg(test)]
mod tests;
mod wrap;
mod x25519;
mod xaes;

pub use aead::{AeadAlgorithm, AeadKey, NONCE_LEN, TAG_LEN};
pub use algorithm::KeyAlgorithm;
pub use curve25519::{Ed25519, verify_ed25519};
pub use digest::{Sha256, concat_kdf_sha256, constant_time_eq, sha256, sha384};
pub use ec::{Curve, Ec, FixedSig, PublicPoint, verify_ecdsa};
pub use hash::{HashAlgorithm, Input};
pub use hkdf::{hkdf, hkdf_expand};
pub use hmac::{Hmac, HmacSha256};
pub use kwp::Kwp;
pub use mldsa::{ML_DSA_65_SIGNATURE_LEN, MlDsa65, verify_ml_dsa_65};
pub use mlkem::{ML_KEM_768_CIPHERTEXT_LEN, MlKem768, encapsulate_ml_kem_768};
pub use p256::{EcP256, FixedSignature, verify_p256_sha256};
pub use pkcs8::{MAX_PKCS8_LEN, PrivateKeyInfo, parse_pkcs8};
pub use random::fill_random;
pub use rsa::{Rsa, RsaPadding, RsaPublic, RsaScheme, RsaSize};
pub use signature::{DerSignature, der_to_fixed, fixed_to_der};
pub use spki::{PublicKey, ed25519_spki, p256_spki, parse_p256_spki, parse_spki, spki};
pub use wrap::aes256_key_unwrap;
pub use x25519::X25519;
pub use xaes::{XAES_NONCE_LEN, Xaes256Gcm};

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
    /// A peer's or signer's public key is malformed or none of its kind.
    #[error("public key is malformed or none of its kind")]
    InvalidPublicKey,
    /// A key file is not the strict DER of PKCS#8.
    #[error("private key is not in the DER of an unencrypted pkcs#8 file")]
    BadEncoding,
    /// A key file holds a key of another kind, curve or size.
    #[error("private key is of another algorithm, curve or size than asked for")]
    WrongAlgorithm,
    /// An ML-DSA or ML-KEM key came expanded, without the seed that stands for it.
    #[error("private key comes without its seed")]
    NoSeed,
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
