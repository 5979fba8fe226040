//! Signatures. The only file that names the library which verifies them.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA384, UnparsedPublicKey, VerificationAlgorithm,
};
use thiserror::Error;

/// An algorithm that some platform signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// RSASSA-PSS with SHA-384, MGF1 with SHA-384 and a salt of exactly 48 bytes.
    RsaPssSha384,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaPkcs1Sha384,
    /// ECDSA over P-384 with SHA-384, in DER.
    EcdsaP384,
    /// ECDSA over P-256 with SHA-256, in DER.
    EcdsaP256,
    /// ECDSA over P-384 with SHA-384, r and s as 48 bytes each, big-endian.
    EcdsaP384Fixed,
    /// ECDSA over P-256 with SHA-256, r and s as 32 bytes each, big-endian.
    EcdsaP256Fixed,
}

/// Why a signature is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignatureFault {
    /// The certificate or list names an algorithm that nothing here signs with.
    #[error("the signature algorithm is not one that is known here")]
    AlgorithmNotKnown,
    /// The algorithm outside is not the one inside what is signed.
    #[error("the signature algorithm differs from the one that is signed")]
    AlgorithmsDiffer,
    /// It is another than the one that is required.
    #[error("the signature is of another algorithm than {0:?}")]
    OtherAlgorithm(SignatureAlgorithm),
    /// It is of another name than its issuer's.
    #[error("the issuer that it names is not the subject of the one above it")]
    OtherIssuer,
    /// It does not verify.
    #[error("the signature is not valid under this key")]
    Invalid,
}

/// A public key: its `SubjectPublicKeyInfo` in DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey<'a>(pub(super) &'a [u8]);

impl<'a> PublicKey<'a> {
    /// A key in the form of `SubjectPublicKeyInfo`, in DER.
    #[must_use]
    pub fn of_spki(der: &'a [u8]) -> Self {
        Self(der)
    }

    /// The key in DER.
    #[must_use]
    pub fn as_spki(&self) -> &'a [u8] {
        self.0
    }

    /// Verifies one signature. RSA keys have 2048 to 8192 bits, ECDSA keys the algorithm's curve.
    ///
    /// # Errors
    ///
    /// [`SignatureFault::Invalid`].
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureFault> {
        UnparsedPublicKey::new(algorithm.implementation(), self.0)
            .verify(message, signature)
            .map_err(|_| SignatureFault::Invalid)
    }
}

impl SignatureAlgorithm {
    fn implementation(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::RsaPssSha384 => &RSA_PSS_2048_8192_SHA384,
            Self::RsaPkcs1Sha256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::RsaPkcs1Sha384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::EcdsaP384 => &ECDSA_P384_SHA384_ASN1,
            Self::EcdsaP256 => &ECDSA_P256_SHA256_ASN1,
            Self::EcdsaP384Fixed => &ECDSA_P384_SHA384_FIXED,
            Self::EcdsaP256Fixed => &ECDSA_P256_SHA256_FIXED,
        }
    }

    /// The algorithm that an `AlgorithmIdentifier` in DER names. The parameters are compared as
    /// they are written: each algorithm has one spelling, PSS two, since its trailer field may be
    /// left out or stated (RFC 4055, 3.1).
    pub(super) fn of_der(algorithm: &[u8]) -> Result<Self, SignatureFault> {
        let known = KNOWN.iter().find(|(der, _)| *der == algorithm);
        known.map_or(Err(SignatureFault::AlgorithmNotKnown), |(_, known)| {
            Ok(*known)
        })
    }
}

const KNOWN: &[(&[u8], SignatureAlgorithm)] = &[
    (PSS, SignatureAlgorithm::RsaPssSha384),
    (PSS_WITH_TRAILER, SignatureAlgorithm::RsaPssSha384),
    (ECDSA_WITH_SHA384, SignatureAlgorithm::EcdsaP384),
    (ECDSA_WITH_SHA256, SignatureAlgorithm::EcdsaP256),
    (SHA256_WITH_RSA, SignatureAlgorithm::RsaPkcs1Sha256),
    (SHA384_WITH_RSA, SignatureAlgorithm::RsaPkcs1Sha384),
];

/// id-RSASSA-PSS { [0] sha384 NULL, [1] mgf1 { sha384 NULL }, [2] 48 }.
const PSS: &[u8] = b"\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\
    \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
    \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
    \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
    \xa2\x03\x02\x01\x30";
/// The same with [3] 1.
const PSS_WITH_TRAILER: &[u8] = b"\x30\x46\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x39\
    \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
    \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
    \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
    \xa2\x03\x02\x01\x30\xa3\x03\x02\x01\x01";
const ECDSA_WITH_SHA384: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";
const ECDSA_WITH_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
const SHA256_WITH_RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";
const SHA384_WITH_RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00";
