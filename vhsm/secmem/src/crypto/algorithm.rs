//! What kind of key a file says it holds.

use super::Curve;
use super::der::{OCTET_STRING, Reader};

/// A kind of asymmetric key, as the `AlgorithmIdentifier` of SPKI and PKCS#8 names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// `id-ecPublicKey` with a named curve (RFC 5480).
    Ec(Curve),
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// X25519 (RFC 8410).
    X25519,
    /// `rsaEncryption` (RFC 8017), of any size.
    Rsa,
    /// ML-DSA-65 (RFC 9881).
    MlDsa65,
    /// ML-KEM-768 (RFC 9935).
    MlKem768,
}

impl KeyAlgorithm {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Ec(Curve::P256),
        Self::Ec(Curve::P384),
        Self::Ec(Curve::P521),
        Self::Ed25519,
        Self::X25519,
        Self::Rsa,
        Self::MlDsa65,
        Self::MlKem768,
    ];

    /// The contents of its `AlgorithmIdentifier`: object identifiers, and what goes with them.
    pub(super) const fn identifier(self) -> &'static [u8] {
        match self {
            // ecPublicKey, prime256v1
            Self::Ec(Curve::P256) => &[
                0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                0xce, 0x3d, 0x03, 0x01, 0x07,
            ],
            // ecPublicKey, secp384r1
            Self::Ec(Curve::P384) => &[
                0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04,
                0x00, 0x22,
            ],
            // ecPublicKey, secp521r1
            Self::Ec(Curve::P521) => &[
                0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04,
                0x00, 0x23,
            ],
            Self::Ed25519 => &[0x06, 0x03, 0x2b, 0x65, 0x70],
            Self::X25519 => &[0x06, 0x03, 0x2b, 0x65, 0x6e],
            // rsaEncryption, NULL
            Self::Rsa => &[
                0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
            ],
            Self::MlDsa65 => &[
                0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x12,
            ],
            Self::MlKem768 => &[
                0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x04, 0x02,
            ],
        }
    }

    /// Of an EC key, its curve's object identifier alone: what follows `ecPublicKey`.
    pub(super) fn curve_identifier(self) -> Option<&'static [u8]> {
        match self {
            Self::Ec(_) => self.identifier().get(9..),
            _ => None,
        }
    }

    /// The kind that an `AlgorithmIdentifier` with these contents names.
    pub(super) fn of_identifier(contents: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.identifier() == contents)
    }

    /// Length of a public key in its `BIT STRING`, in bytes; none for RSA, where it varies.
    pub(super) const fn public_len(self) -> Option<usize> {
        match self {
            Self::Ec(curve) => Some(curve.point_len()),
            Self::Ed25519 | Self::X25519 => Some(32),
            Self::Rsa => None,
            Self::MlDsa65 => Some(1952),
            Self::MlKem768 => Some(1184),
        }
    }

    /// Whether these are the bytes of a public key, as far as their form tells.
    pub(super) fn fits_public(self, key: &[u8]) -> bool {
        match self {
            Self::Ec(curve) => key.len() == curve.point_len() && key.first() == Some(&4),
            Self::Rsa => is_rsa_public(key).is_some(),
            _ => self.public_len() == Some(key.len()),
        }
    }

    /// Length of the seed that stands for the whole key, where there is one (ML-DSA, ML-KEM).
    pub(super) const fn seed_len(self) -> Option<usize> {
        match self {
            Self::MlDsa65 => Some(32),
            Self::MlKem768 => Some(64),
            _ => None,
        }
    }

    /// Length of the private key that a seed expands to.
    pub(super) const fn expanded_len(self) -> Option<usize> {
        match self {
            Self::MlDsa65 => Some(4032),
            Self::MlKem768 => Some(2400),
            _ => None,
        }
    }

    /// The private key of RFC 8410: an `OCTET STRING` of 32 bytes within another.
    pub(super) fn inner_octets(contents: &[u8]) -> Option<&[u8]> {
        let mut reader = Reader::new(contents);
        let key = reader.take(OCTET_STRING)?;
        reader.end()?;
        (key.len() == 32).then_some(key)
    }
}

/// `RSAPublicKey`: a sequence of two integers (RFC 8017 A.1.1).
fn is_rsa_public(der: &[u8]) -> Option<()> {
    let mut numbers = Reader::only(der, super::der::SEQUENCE)?;
    numbers.take_positive()?;
    numbers.take_positive()?;
    numbers.end()
}
