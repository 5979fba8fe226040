//! The key that vouches for what the service made: nobody else has been there. It is no owner's, so that an
//! owner's key stays offline, and no token's, so that who learns one forges no more than that.

use crate::envelope::SealError;
use crate::key_file::KeyFileError;
use crate::token_key::PrivateKeyDer;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;

/// A P-256 key pair, by AWS-LC: a signature is on the path of every request.
pub(crate) struct SigningKey {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
    kid: [u8; 32],
}

impl SigningKey {
    pub(super) fn read(path: &Path) -> Result<Self, KeyFileError> {
        let der = PrivateKeyDer::read(path)?;
        let key = der.and_then(|der| Self::from_pkcs8(der.bytes()));
        key.ok_or_else(|| KeyFileError::NotAKey {
            path: path.to_owned(),
            expected: "a P-256 private key in PKCS#8 PEM, as `owner-key generate` makes it",
        })
    }

    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).ok()?;
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().ok()?;
        let spki = spki.as_ref().to_vec();
        Some(Self {
            kid: Sha256::digest(&spki).into(),
            spki,
            pair,
        })
    }

    /// The id under which vaults know it.
    pub(super) fn kid(&self) -> &[u8; 32] {
        &self.kid
    }

    /// The public key as `SubjectPublicKeyInfo` in DER.
    pub(crate) fn spki(&self) -> &[u8] {
        &self.spki
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<[u8; 64], SealError> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        let signature = signature.map_err(|_| SealError::Unsigned)?;
        signature
            .as_ref()
            .try_into()
            .map_err(|_| SealError::Unsigned)
    }

    #[cfg(test)]
    pub(super) fn drawn() -> Self {
        use crate::entropy::KernelEntropy;
        use crate::token_key::SigningAlgorithm;
        let der = PrivateKeyDer::draw(SigningAlgorithm::Es256, &mut KernelEntropy).unwrap();
        Self::from_pkcs8(der.bytes()).unwrap()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}
