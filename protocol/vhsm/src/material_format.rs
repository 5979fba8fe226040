//! In which form imported material is given.

use nitride_cbor::{DecodeError, Reader};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// In which form `import` is given a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MaterialFormat {
    /// The bytes of a symmetric key or a secret, an EC scalar as long as the curve's order, an
    /// Ed25519, X25519 or ML-DSA seed of 32 bytes, or an ML-KEM seed of 64. RSA has no raw form.
    Raw,
    /// PrivateKeyInfo in DER (RFC 5208, 5958), for keys with a public half.
    Pkcs8,
}

/// A text that names no material format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("unknown material format")]
pub struct UnknownMaterialFormat;

impl MaterialFormat {
    /// Every form.
    pub const ALL: [Self; 2] = [Self::Raw, Self::Pkcs8];

    /// The form's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Pkcs8 => "pkcs8",
        }
    }

    /// Reads a form; an unknown one is out of range.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        reader.text()?.parse().map_err(|_| DecodeError::OutOfRange {
            at,
            field: "format",
        })
    }
}

impl FromStr for MaterialFormat {
    type Err = UnknownMaterialFormat;

    fn from_str(text: &str) -> Result<Self, UnknownMaterialFormat> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or(UnknownMaterialFormat)
    }
}

impl fmt::Display for MaterialFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
