//! The public key of a round, in the form that is hashed into the evidence.

mod form;
mod jwk;
mod rsa;

pub use form::TeeKeyForm;
pub use rsa::RsaPublicKey;

use crate::limits::MAX_TEE_KEY_LEN;
use crate::strict_json::{self, JsonError};
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// Bytes of an ML-KEM-768 encapsulation key (FIPS 203, table 3).
pub const ML_KEM_768_KEY_LEN: usize = 1184;
/// Bytes of a public key of both: the encapsulation key, then the X25519 key.
pub const X25519_ML_KEM_768_KEY_LEN: usize = ML_KEM_768_KEY_LEN + 32;

/// A TEE public key, in one of the forms of [`TeeKeyForm`].
///
/// Of numbers and points only the lengths are checked here, where there is no arithmetic; that they
/// are of the curve or the ring is for whoever computes with them. A vault makes P-256 or the hybrid
/// form; the others are other implementations'.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum TeePublicKey {
    /// `{"kty":"EC","crv":"P-256","alg":"ECDH-ES+A256KW","x","y"}`; big-endian.
    EcP256 {
        /// The x-coordinate.
        x: [u8; 32],
        /// The y-coordinate.
        y: [u8; 32],
    },
    /// `{"kty":"EC","crv":"P-521","alg":"ECDH-ES+A256KW","x","y"}`: `x || y`, 66 bytes each.
    EcP521(Arc<[u8; 132]>),
    /// `{"kty":"RSA","alg":"RSA-OAEP-256","n","e"}`.
    Rsa(Arc<RsaPublicKey>),
    /// `{"kty":"AKP","alg":"ML-KEM-768+A192KW","pub"}`.
    MlKem768(Arc<[u8; ML_KEM_768_KEY_LEN]>),
    /// `{"kty":"AKP","alg":"nitride-X25519MLKEM768+A256KW","pub"}`: the ML-KEM-768 key, then the
    /// X25519 key. Of Nitride alone; docs/decisions/0035 has the construction.
    X25519MlKem768(Arc<[u8; X25519_ML_KEM_768_KEY_LEN]>),
}

/// Why something is no TEE public key.
#[derive(Debug, Error)]
pub enum TeeKeyError {
    /// The point is not in uncompressed form, whose first byte is 4 (SEC 1, 2.3.3).
    #[error("public point is not in uncompressed form")]
    NotUncompressed,
    /// Not exactly the members of a JWK that the protocol has.
    #[error(transparent)]
    Json(#[from] JsonError),
}

impl TeePublicKey {
    /// Takes an uncompressed point of P-256: `04 || x || y`.
    pub fn from_point(point: &[u8; 65]) -> Result<Self, TeeKeyError> {
        let (tag, coordinates) = point.split_at(1);
        let (x, y) = coordinates.split_at(32);
        match (tag, x.try_into(), y.try_into()) {
            ([4], Ok(x), Ok(y)) => Ok(Self::EcP256 { x, y }),
            _ => Err(TeeKeyError::NotUncompressed),
        }
    }

    /// Which form it is.
    pub fn form(&self) -> TeeKeyForm {
        match self {
            Self::EcP256 { .. } => TeeKeyForm::EcP256,
            Self::EcP521(_) => TeeKeyForm::EcP521,
            Self::Rsa(_) => TeeKeyForm::RsaOaep256,
            Self::MlKem768(_) => TeeKeyForm::MlKem768,
            Self::X25519MlKem768(_) => TeeKeyForm::X25519MlKem768,
        }
    }

    /// Reads a JWK of exactly the members that its form has, in any order.
    ///
    /// An extra member is refused: a service that drops it hashes another text than one that does
    /// not.
    pub fn parse(json: &str) -> Result<Self, TeeKeyError> {
        Ok(strict_json::read(
            json.as_bytes(),
            MAX_TEE_KEY_LEN,
            "tee public key",
        )?)
    }
}

/// The uncompressed point of two coordinates: `04 || x || y`.
pub fn p256_point(x: &[u8; 32], y: &[u8; 32]) -> [u8; 65] {
    let mut point = [4; 65];
    for (to, from) in point.iter_mut().skip(1).zip(x.iter().chain(y)) {
        *to = *from;
    }
    point
}

/// The uncompressed point of `x || y`: `04 || x || y`.
pub fn p521_point(coordinates: &[u8; 132]) -> [u8; 133] {
    let mut point = [4; 133];
    for (to, from) in point.iter_mut().skip(1).zip(coordinates) {
        *to = *from;
    }
    point
}

impl fmt::Debug for TeePublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_jwk_json())
    }
}

#[cfg(test)]
mod tests;
