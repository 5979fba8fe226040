//! A resource encrypted to the TEE key, in the way of the key's form, and A256GCM (RFC 7516, 7518).
//! The forms are `nitride_kbs::jwe`'s; the arithmetic on secrets is here, and every secret in it is
//! wiped.

mod kmac;
#[cfg(test)]
pub(crate) mod opening;
mod rsa;
mod transport;

pub(crate) use transport::checked_key;

use crate::entropy::{Draw, NoEntropy, draw_array, draw_secret};
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use nitride_kbs::jwe::{protected_header, to_json};
use nitride_kbs::tee_key::{TeeKeyForm, TeePublicKey};
use thiserror::Error;

/// Why a resource is not encrypted.
#[derive(Debug, Error)]
pub(crate) enum JweSealError {
    /// Its numbers are none of its form: a point off the curve, coefficients out of the ring.
    #[error("tee public key is not a key of {}", .0.as_str())]
    NotAKey(TeeKeyForm),
    /// A cipher refused its input; sizes are fixed here, so that this is a defect.
    #[error("encrypt resource")]
    Cipher,
    /// No randomness.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

/// Encrypts `resource` to `key` under a fresh content key, and whatever is fresh in the key's form;
/// the JWE's JSON.
pub(crate) fn seal(
    resource: &[u8],
    key: &TeePublicKey,
    draw: &mut dyn Draw,
) -> Result<String, JweSealError> {
    let content_key = draw_secret::<32>(draw)?;
    let iv: [u8; 12] = draw_array(draw)?;
    let (header, encrypted_key) = transport::bring(&content_key, key)?;
    let protected = protected_header(&header);
    let cipher =
        Aes256Gcm::new_from_slice(content_key.as_slice()).map_err(|_| JweSealError::Cipher)?;
    // Encrypted from buffer to buffer: no copy of the plaintext is made.
    let mut ciphertext = vec![0; resource.len()];
    let buffer = InOutBuf::new(resource, &mut ciphertext).map_err(|_| JweSealError::Cipher)?;
    let tag = cipher
        .encrypt_inout_detached(&iv.into(), protected.as_bytes(), buffer)
        .map_err(|_| JweSealError::Cipher)?;
    Ok(to_json(
        &protected,
        &encrypted_key,
        &iv,
        &ciphertext,
        &tag.into(),
    ))
}

#[cfg(test)]
mod tests;
