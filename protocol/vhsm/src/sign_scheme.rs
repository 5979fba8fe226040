//! Signature schemes.

use nitride_cbor::{DecodeError, Reader};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// How a message is signed and how the signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignScheme {
    /// ECDSA with SHA-256; `r` and `s` of 32 bytes each (IEEE P1363). The default of `ec-p256`.
    EcdsaSha256Fixed,
    /// ECDSA with SHA-256; the DER sequence of X9.62, as in certificates.
    EcdsaSha256Der,
    /// Ed25519 (RFC 8032), 64 bytes. The default of `ed25519`.
    Ed25519,
}

/// A text that names no signature scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("unknown signature scheme")]
pub struct UnknownSignScheme;

impl SignScheme {
    /// Every scheme.
    pub const ALL: [Self; 3] = [Self::EcdsaSha256Fixed, Self::EcdsaSha256Der, Self::Ed25519];

    /// The scheme's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaSha256Fixed => "ecdsa-sha256",
            Self::EcdsaSha256Der => "ecdsa-sha256-der",
            Self::Ed25519 => "ed25519",
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

impl FromStr for SignScheme {
    type Err = UnknownSignScheme;

    fn from_str(text: &str) -> Result<Self, UnknownSignScheme> {
        Self::ALL
            .into_iter()
            .find(|scheme| scheme.as_str() == text)
            .ok_or(UnknownSignScheme)
    }
}

impl fmt::Display for SignScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
