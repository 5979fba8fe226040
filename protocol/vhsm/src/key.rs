//! What a key is: its type, its state, its origin.

use crate::{Operation, OperationSet};
use nitride_cbor::{DecodeError, Reader};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// What a key is made of. On the wire it is its text, so that types can be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyType {
    /// AES-128 in Galois/counter mode; nonces are the vault's counter.
    Aes128Gcm,
    /// AES-256 in Galois/counter mode; nonces are the vault's counter.
    Aes256Gcm,
    /// AES-256-GCM-SIV (RFC 8452), which survives a repeated nonce.
    Aes256GcmSiv,
    /// ChaCha20-Poly1305 (RFC 8439); nonces are the vault's counter.
    ChaCha20Poly1305,
    /// AES-256 key wrap with padding (RFC 5649), for keys alone.
    Aes256Kwp,
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
    /// An elliptic-curve key on P-256, for ECDSA and ECDH.
    EcP256,
    /// An elliptic-curve key on P-384, for ECDSA and ECDH.
    EcP384,
    /// An elliptic-curve key on P-521, for ECDSA and ECDH.
    EcP521,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// X25519 (RFC 7748).
    X25519,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
    /// ML-DSA-65 (FIPS 204).
    MlDsa65,
    /// ML-KEM-768 (FIPS 203).
    MlKem768,
    /// Opaque bytes, such as a passphrase; the only type that can be released.
    Secret,
}

/// A text that names no key type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("unknown key type")]
pub struct UnknownKeyType;

/// What can be done with every key, whatever its type.
const LIFECYCLE: OperationSet = OperationSet::of(&[
    Operation::Generate,
    Operation::Import,
    Operation::Describe,
    Operation::List,
    Operation::Enable,
    Operation::Disable,
    Operation::Destroy,
    Operation::Rotate,
    Operation::SetPolicy,
]);

const SEALING: OperationSet =
    LIFECYCLE.union(OperationSet::of(&[Operation::Encrypt, Operation::Decrypt]));
/// The chunked format wants keys of 256 bits.
const SEALING_BULK: OperationSet = SEALING.union(OperationSet::of(&[
    Operation::EncryptBuffer,
    Operation::DecryptBuffer,
]));
const WRAPPING: OperationSet =
    LIFECYCLE.union(OperationSet::of(&[Operation::Wrap, Operation::Unwrap]));
const AUTHENTICATING: OperationSet = LIFECYCLE.union(OperationSet::of(&[
    Operation::Mac,
    Operation::VerifyMac,
    Operation::Derive,
]));
const SIGNING: OperationSet = LIFECYCLE.union(OperationSet::of(&[
    Operation::PublicKey,
    Operation::Sign,
    Operation::Verify,
]));
const AGREEING: OperationSet =
    LIFECYCLE.union(OperationSet::of(&[Operation::PublicKey, Operation::Agree]));
const ENCAPSULATING: OperationSet = LIFECYCLE.union(OperationSet::of(&[
    Operation::PublicKey,
    Operation::Encapsulate,
    Operation::Decapsulate,
]));
const RELEASABLE: OperationSet =
    LIFECYCLE.union(OperationSet::of(&[Operation::Release, Operation::Derive]));

impl KeyType {
    /// Every type.
    pub const ALL: [Self; 19] = [
        Self::Aes128Gcm,
        Self::Aes256Gcm,
        Self::Aes256GcmSiv,
        Self::ChaCha20Poly1305,
        Self::Aes256Kwp,
        Self::HmacSha256,
        Self::HmacSha384,
        Self::HmacSha512,
        Self::EcP256,
        Self::EcP384,
        Self::EcP521,
        Self::Ed25519,
        Self::X25519,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::MlDsa65,
        Self::MlKem768,
        Self::Secret,
    ];

    /// The type's word on the wire, in configuration and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aes128Gcm => "aes-128-gcm",
            Self::Aes256Gcm => "aes-256-gcm",
            Self::Aes256GcmSiv => "aes-256-gcm-siv",
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
            Self::Aes256Kwp => "aes-256-kwp",
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
            Self::EcP256 => "ec-p256",
            Self::EcP384 => "ec-p384",
            Self::EcP521 => "ec-p521",
            Self::Ed25519 => "ed25519",
            Self::X25519 => "x25519",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
            Self::MlDsa65 => "ml-dsa-65",
            Self::MlKem768 => "ml-kem-768",
            Self::Secret => "secret",
        }
    }

    /// What a key of this type can do at all; policies narrow it.
    pub const fn operations(self) -> OperationSet {
        match self {
            Self::Aes128Gcm => SEALING,
            Self::Aes256Gcm | Self::Aes256GcmSiv | Self::ChaCha20Poly1305 => SEALING_BULK,
            Self::Aes256Kwp => WRAPPING,
            Self::HmacSha256 | Self::HmacSha384 | Self::HmacSha512 => AUTHENTICATING,
            Self::EcP256 | Self::EcP384 | Self::EcP521 => SIGNING.union(AGREEING),
            Self::Ed25519 | Self::MlDsa65 => SIGNING,
            Self::X25519 => AGREEING,
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => SIGNING.union(SEALING),
            Self::MlKem768 => ENCAPSULATING,
            Self::Secret => RELEASABLE,
        }
    }

    /// Reads a type; an unknown one is out of range.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        reader.text()?.parse().map_err(|_| DecodeError::OutOfRange {
            at,
            field: "key-type",
        })
    }
}

impl FromStr for KeyType {
    type Err = UnknownKeyType;

    fn from_str(text: &str) -> Result<Self, UnknownKeyType> {
        Self::ALL
            .into_iter()
            .find(|key_type| key_type.as_str() == text)
            .ok_or(UnknownKeyType)
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether a key or one of its versions can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// Its material is still to arrive.
    Pending,
    /// It can be used.
    Enabled,
    /// It cannot be used until it is enabled again.
    Disabled,
    /// Its material is gone for good.
    Destroyed,
}

impl KeyState {
    /// Every state, at the index of its number on the wire.
    pub const ALL: [Self; 4] = [
        Self::Pending,
        Self::Enabled,
        Self::Disabled,
        Self::Destroyed,
    ];

    /// The state's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Destroyed => "destroyed",
        }
    }

    /// The state's number on the wire.
    pub const fn to_wire(self) -> u64 {
        match self {
            Self::Pending => 0,
            Self::Enabled => 1,
            Self::Disabled => 2,
            Self::Destroyed => 3,
        }
    }

    /// Reads a state; an unknown number is out of range.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        let number = reader.u64()?;
        Self::ALL
            .into_iter()
            .find(|state| state.to_wire() == number)
            .ok_or(DecodeError::OutOfRange { at, field: "state" })
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a key's material came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Drawn by this vault.
    Generated,
    /// Given by an administrator.
    Imported,
    /// Derived from another key of this vault.
    Derived,
    /// Fetched from a provisioning service in a round.
    Provisioned,
}

impl Origin {
    /// Every origin, at the index of its number on the wire.
    pub const ALL: [Self; 4] = [
        Self::Generated,
        Self::Imported,
        Self::Derived,
        Self::Provisioned,
    ];

    /// The origin's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generated => "generated",
            Self::Imported => "imported",
            Self::Derived => "derived",
            Self::Provisioned => "provisioned",
        }
    }

    /// The origin's number on the wire.
    pub const fn to_wire(self) -> u64 {
        match self {
            Self::Generated => 0,
            Self::Imported => 1,
            Self::Derived => 2,
            Self::Provisioned => 3,
        }
    }

    /// Reads an origin; an unknown number is out of range.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        let number = reader.u64()?;
        Self::ALL
            .into_iter()
            .find(|origin| origin.to_wire() == number)
            .ok_or(DecodeError::OutOfRange {
                at,
                field: "origin",
            })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
