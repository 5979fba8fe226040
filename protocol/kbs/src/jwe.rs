//! A resource encrypted to the TEE key: JWE in flattened JSON (RFC 7516, 7.2.2) with A256GCM, its
//! content key brought in the way of the TEE key's form. Forms alone; the arithmetic is the server's
//! on one side, the vault's on the other.

mod derivation;
mod header;

pub use derivation::{concat_kdf_other_info, hybrid_other_info, ml_kem_fixed_info};
pub use header::{HYBRID_CIPHERTEXT_LEN, Header, ML_KEM_768_CIPHERTEXT_LEN, protected_header};

use crate::base64url;
use crate::limits::MAX_JWE_LEN;
use crate::strict_json::{self, JsonError};
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// The key agreement of both curves.
pub const ALGORITHM: &str = "ECDH-ES+A256KW";
/// The one content encryption.
pub const ENCRYPTION: &str = "A256GCM";
/// Bytes of a content key that AES wrapped (RFC 3394).
pub const WRAPPED_KEY_LEN: usize = 40;
/// Bytes of a content key that RSA encrypted, least and most.
const RSA_LENS: std::ops::RangeInclusive<usize> = 256..=512;

/// A JWE whose every part has its form; nothing is authenticated yet.
pub struct Jwe {
    protected: String,
    header: Header,
    encrypted_key: Vec<u8>,
    iv: [u8; 12],
    ciphertext: Vec<u8>,
    tag: [u8; 16],
}

/// Why bytes are no JWE of this protocol.
#[derive(Debug, Error)]
pub enum JweError {
    /// The JSON around it, or the protected header's own.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// An algorithm that is none of a TEE key's form, or another content encryption than
    /// [`ENCRYPTION`].
    #[error("jwe is of no algorithm of a tee key with A256GCM")]
    UnknownAlgorithm,
    /// The ephemeral key is no key of P-256 or P-521 in coordinates of the curve's length, or there
    /// is one where the algorithm has none.
    #[error("ephemeral key of the jwe is not a key of P-256 or P-521")]
    BadEphemeralKey,
    /// A part is not base64url without padding, or has another length than it must.
    #[error("{part} of the jwe is not base64url of its length")]
    BadPart {
        /// The member's name.
        part: &'static str,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flattened {
    protected: String,
    encrypted_key: String,
    iv: String,
    ciphertext: String,
    tag: String,
}

impl Jwe {
    /// Reads at most [`MAX_JWE_LEN`] bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, JweError> {
        let flat: Flattened = strict_json::read(bytes, MAX_JWE_LEN, "jwe")?;
        let header = Header::read(&flat.protected)?;
        let bad = |part| move || JweError::BadPart { part };
        let fits = |key: &Vec<u8>| match header {
            Header::Rsa => RSA_LENS.contains(&key.len()),
            _ => key.len() == WRAPPED_KEY_LEN,
        };
        Ok(Self {
            encrypted_key: base64url::decode(&flat.encrypted_key)
                .filter(fits)
                .ok_or_else(bad("encrypted_key"))?,
            header,
            iv: base64url::decode_array(&flat.iv).ok_or_else(bad("iv"))?,
            ciphertext: base64url::decode(&flat.ciphertext).ok_or_else(bad("ciphertext"))?,
            tag: base64url::decode_array(&flat.tag).ok_or_else(bad("tag"))?,
            protected: flat.protected,
        })
    }

    /// What the header says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The additional data of the content encryption: the protected header verbatim, as received.
    pub fn aad(&self) -> &[u8] {
        self.protected.as_bytes()
    }

    /// The content encryption key: [`WRAPPED_KEY_LEN`] bytes that AES wrapped (RFC 3394), or as many
    /// as the modulus has where RSA encrypted it.
    pub fn encrypted_key(&self) -> &[u8] {
        &self.encrypted_key
    }

    /// The nonce of the content encryption.
    pub fn iv(&self) -> &[u8; 12] {
        &self.iv
    }

    /// The content, encrypted; as long as the plaintext.
    pub fn ciphertext(&self) -> &[u8] {
        &self.ciphertext
    }

    /// The authentication tag.
    pub fn tag(&self) -> &[u8; 16] {
        &self.tag
    }
}

impl fmt::Debug for Jwe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Jwe")
            .field("form", &self.header.form())
            .field("ciphertext_len", &self.ciphertext.len())
            .finish_non_exhaustive()
    }
}

/// The JWE's JSON from its parts; `protected` comes from [`protected_header`].
pub fn to_json(
    protected: &str,
    encrypted_key: &[u8],
    iv: &[u8; 12],
    ciphertext: &[u8],
    tag: &[u8; 16],
) -> String {
    serde_json::to_string(&Flattened {
        protected: protected.to_owned(),
        encrypted_key: base64url::encode(encrypted_key),
        iv: base64url::encode(iv),
        ciphertext: base64url::encode(ciphertext),
        tag: base64url::encode(tag),
    })
    .unwrap_or_default()
}

#[cfg(test)]
mod tests;
