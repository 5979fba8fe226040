//! Signature schemes.

use crate::KeyType;
use nitride_cbor::{DecodeError, Reader};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// How a message is signed and how the signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignScheme {
    /// ECDSA with SHA-256; `r` and `s` as long as the curve's order (IEEE P1363). The default of
    /// `ec-p256`.
    EcdsaSha256Fixed,
    /// ECDSA with SHA-256; the DER sequence of X9.62, as in certificates.
    EcdsaSha256Der,
    /// ECDSA with SHA-384, fixed. The default of `ec-p384`.
    EcdsaSha384Fixed,
    /// ECDSA with SHA-384, DER.
    EcdsaSha384Der,
    /// ECDSA with SHA-512, fixed. The default of `ec-p521`.
    EcdsaSha512Fixed,
    /// ECDSA with SHA-512, DER.
    EcdsaSha512Der,
    /// Ed25519 (RFC 8032), 64 bytes. The default of `ed25519`.
    Ed25519,
    /// RSASSA-PSS with SHA-256, MGF1 with the same, and a salt as long as the digest (RFC 8017). The
    /// default of RSA keys.
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384, MGF1 with the same, and a salt as long as the digest (RFC 8017).
    RsaPssSha384,
    /// RSASSA-PSS with SHA-512, MGF1 with the same, and a salt as long as the digest (RFC 8017).
    RsaPssSha512,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017).
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384 (RFC 8017).
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512 (RFC 8017).
    RsaPkcs1Sha512,
    /// ML-DSA-65 (FIPS 204), hedged, with the empty context; 3,309 bytes. The default of
    /// `ml-dsa-65`.
    MlDsa65,
}

/// A text that names no signature scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("unknown signature scheme")]
pub struct UnknownSignScheme;

impl SignScheme {
    /// Every scheme.
    pub const ALL: [Self; 14] = [
        Self::EcdsaSha256Fixed,
        Self::EcdsaSha256Der,
        Self::EcdsaSha384Fixed,
        Self::EcdsaSha384Der,
        Self::EcdsaSha512Fixed,
        Self::EcdsaSha512Der,
        Self::Ed25519,
        Self::RsaPssSha256,
        Self::RsaPssSha384,
        Self::RsaPssSha512,
        Self::RsaPkcs1Sha256,
        Self::RsaPkcs1Sha384,
        Self::RsaPkcs1Sha512,
        Self::MlDsa65,
    ];

    /// The scheme's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaSha256Fixed => "ecdsa-sha256",
            Self::EcdsaSha256Der => "ecdsa-sha256-der",
            Self::EcdsaSha384Fixed => "ecdsa-sha384",
            Self::EcdsaSha384Der => "ecdsa-sha384-der",
            Self::EcdsaSha512Fixed => "ecdsa-sha512",
            Self::EcdsaSha512Der => "ecdsa-sha512-der",
            Self::Ed25519 => "ed25519",
            Self::RsaPssSha256 => "rsa-pss-sha256",
            Self::RsaPssSha384 => "rsa-pss-sha384",
            Self::RsaPssSha512 => "rsa-pss-sha512",
            Self::RsaPkcs1Sha256 => "rsa-pkcs1-sha256",
            Self::RsaPkcs1Sha384 => "rsa-pkcs1-sha384",
            Self::RsaPkcs1Sha512 => "rsa-pkcs1-sha512",
            Self::MlDsa65 => "ml-dsa-65",
        }
    }

    /// The length in bytes of the digest that is signed where the caller has hashed the message
    /// itself; `None` where only whole messages are signed.
    pub const fn digest_len(self) -> Option<usize> {
        match self {
            Self::EcdsaSha256Fixed
            | Self::EcdsaSha256Der
            | Self::RsaPssSha256
            | Self::RsaPkcs1Sha256 => Some(32),
            Self::EcdsaSha384Fixed
            | Self::EcdsaSha384Der
            | Self::RsaPssSha384
            | Self::RsaPkcs1Sha384 => Some(48),
            Self::EcdsaSha512Fixed
            | Self::EcdsaSha512Der
            | Self::RsaPssSha512
            | Self::RsaPkcs1Sha512 => Some(64),
            Self::Ed25519 | Self::MlDsa65 => None,
        }
    }

    /// The scheme of a signature of which nothing else is said; `None` for keys that do not sign.
    pub const fn default_of(key_type: KeyType) -> Option<Self> {
        match key_type {
            KeyType::EcP256 => Some(Self::EcdsaSha256Fixed),
            KeyType::EcP384 => Some(Self::EcdsaSha384Fixed),
            KeyType::EcP521 => Some(Self::EcdsaSha512Fixed),
            KeyType::Ed25519 => Some(Self::Ed25519),
            KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => Some(Self::RsaPssSha256),
            KeyType::MlDsa65 => Some(Self::MlDsa65),
            _ => None,
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
