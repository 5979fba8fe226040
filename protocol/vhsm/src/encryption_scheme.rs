//! Encryption schemes, which RSA alone has.

use nitride_cbor::{DecodeError, Reader};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// How an RSA key encrypts. The other types encrypt in one way each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EncryptionScheme {
    /// RSAES-OAEP with SHA-256, and MGF1 with the same (RFC 8017). The default of RSA keys.
    RsaOaepSha256,
    /// RSAES-OAEP with SHA-384.
    RsaOaepSha384,
    /// RSAES-OAEP with SHA-512.
    RsaOaepSha512,
}

/// A text that names no encryption scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("unknown encryption scheme")]
pub struct UnknownEncryptionScheme;

impl EncryptionScheme {
    /// Every scheme.
    pub const ALL: [Self; 3] = [
        Self::RsaOaepSha256,
        Self::RsaOaepSha384,
        Self::RsaOaepSha512,
    ];

    /// The scheme's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RsaOaepSha256 => "rsa-oaep-sha256",
            Self::RsaOaepSha384 => "rsa-oaep-sha384",
            Self::RsaOaepSha512 => "rsa-oaep-sha512",
        }
    }

    /// Reads a scheme; an unknown one is out of range.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        reader.text()?.parse().map_err(|_| DecodeError::OutOfRange {
            at,
            field: "scheme",
        })
    }
}

impl FromStr for EncryptionScheme {
    type Err = UnknownEncryptionScheme;

    fn from_str(text: &str) -> Result<Self, UnknownEncryptionScheme> {
        Self::ALL
            .into_iter()
            .find(|scheme| scheme.as_str() == text)
            .ok_or(UnknownEncryptionScheme)
    }
}

impl fmt::Display for EncryptionScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
