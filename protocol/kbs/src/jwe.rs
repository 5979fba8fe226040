//! A resource encrypted to the TEE key: JWE in flattened JSON (RFC 7516, 7.2.2), ECDH-ES+A256KW
//! and A256GCM. Forms alone; the arithmetic is the server's on one side, the vault's on the other.

use crate::base64url;
use crate::limits::{MAX_JWE_HEADER_LEN, MAX_JWE_LEN};
use crate::strict_json::{self, JsonError};
use crate::tee_key::TeePublicKey;
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// The one key agreement.
pub const ALGORITHM: &str = "ECDH-ES+A256KW";
/// The one content encryption.
pub const ENCRYPTION: &str = "A256GCM";

/// A JWE whose every part has its form; nothing is authenticated yet.
pub struct Jwe {
    protected: String,
    header: Header,
    encrypted_key: [u8; 40],
    iv: [u8; 12],
    ciphertext: Vec<u8>,
    tag: [u8; 16],
}

/// What the protected header says besides the two algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The sender's ephemeral public key, `04 || x || y`; not checked to be on the curve.
    pub epk: [u8; 65],
}

/// Why bytes are no JWE of this protocol.
#[derive(Debug, Error)]
pub enum JweError {
    /// The JSON around it, or the protected header's own.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Another algorithm than [`ALGORITHM`] with [`ENCRYPTION`].
    #[error("jwe is not ECDH-ES+A256KW with A256GCM")]
    UnknownAlgorithm,
    /// The ephemeral key is no P-256 key in 32-byte coordinates.
    #[error("ephemeral key of the jwe is not a P-256 key")]
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

/// In the order in which other implementations serialise the header again for the AAD. A member
/// more is refused: `apu` and `apv` would enter the key derivation, `zip` and `crit` change what
/// the rest means.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProtectedHeader {
    alg: String,
    enc: String,
    epk: EphemeralKey,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EphemeralKey {
    crv: String,
    kty: String,
    x: String,
    y: String,
}

impl Jwe {
    /// Reads at most [`MAX_JWE_LEN`] bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, JweError> {
        let flat: Flattened = strict_json::read(bytes, MAX_JWE_LEN, "jwe")?;
        let header = read_header(&flat.protected)?;
        let bad = |part| move || JweError::BadPart { part };
        Ok(Self {
            header,
            encrypted_key: base64url::decode_array(&flat.encrypted_key)
                .ok_or_else(bad("encrypted_key"))?,
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

    /// The content encryption key, wrapped with AES-256 (RFC 3394).
    pub fn encrypted_key(&self) -> &[u8; 40] {
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
            .field("epk", &self.header.epk)
            .field("ciphertext_len", &self.ciphertext.len())
            .finish_non_exhaustive()
    }
}

fn read_header(protected: &str) -> Result<Header, JweError> {
    let text = Some(protected)
        .filter(|text| text.len() <= MAX_JWE_HEADER_LEN)
        .and_then(base64url::decode)
        .ok_or(JweError::BadPart { part: "protected" })?;
    let header: ProtectedHeader =
        strict_json::read(&text, MAX_JWE_HEADER_LEN, "protected header of the jwe")?;
    if header.alg != ALGORITHM || header.enc != ENCRYPTION {
        return Err(JweError::UnknownAlgorithm);
    }
    let epk = &header.epk;
    let (Some(x), Some(y), "P-256", "EC") = (
        base64url::decode_array(&epk.x),
        base64url::decode_array(&epk.y),
        epk.crv.as_str(),
        epk.kty.as_str(),
    ) else {
        return Err(JweError::BadEphemeralKey);
    };
    Ok(Header {
        epk: TeePublicKey::EcP256 { x, y }.to_point(),
    })
}

/// The other info of the key derivation (RFC 7518, 4.6.2): algorithm, no party info, 256 bits.
///
/// The key encryption key is `SHA-256(00000001 || Z || other info)`, with Z the raw x-coordinate.
pub fn concat_kdf_other_info() -> Vec<u8> {
    let mut info = Vec::with_capacity(4 + ALGORITHM.len() + 12);
    info.extend([0, 0, 0, 14]);
    info.extend(ALGORITHM.bytes());
    info.extend([0; 4]);
    info.extend([0; 4]);
    info.extend(256u32.to_be_bytes());
    info
}

/// The protected header for a sender's ephemeral key, encoded: also the additional data.
pub fn protected_header(epk: &[u8; 65]) -> String {
    let (x, y) = epk.split_at(33);
    let header = ProtectedHeader {
        alg: ALGORITHM.into(),
        enc: ENCRYPTION.into(),
        epk: EphemeralKey {
            crv: "P-256".into(),
            kty: "EC".into(),
            x: base64url::encode(x.get(1..).unwrap_or_default()),
            y: base64url::encode(y),
        },
    };
    base64url::encode(
        serde_json::to_string(&header)
            .unwrap_or_default()
            .as_bytes(),
    )
}

/// The JWE's JSON from its parts; `protected` comes from [`protected_header`].
pub fn to_json(
    protected: &str,
    encrypted_key: &[u8; 40],
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
