//! Who signs for an owner: a key in a file, in a token by PKCS#11, or in OpenBao's transit engine.
//!
//! ```text
//!  --owner-key FILE ───────────────> KeyFile ──┐
//!  --signer FILE: [pkcs11] ────────> Token ────┼─ sign(digest) ─> verified under the pinned key
//!                 [transit] ───────> Transit ──┘                        └─> envelope, list
//! ```
//!
//! A private key that is not in a file never comes here. What is signed leaves only when it verifies
//! under the public key that the owner has stated: an engine that signs with another key, or another
//! thing, is found out here and not by a guest.

mod description;
mod pkcs11;
mod transit;

pub(crate) use description::{DescriptionError, read_public};
pub(crate) use pkcs11::TokenError;
pub(crate) use transit::TransitError;

use crate::key_file::{KeyFileError, key_id, read_signing_key};
use description::{Description, Engine};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use std::path::Path;
use thiserror::Error;

/// What signs: its public half, and what makes signatures with the private one.
pub(crate) struct Signer {
    public: VerifyingKey,
    kid: [u8; 32],
    engine: Box<dyn SignDigest>,
}

/// Makes ECDSA signatures over P-256. What they are worth is for [`Signer`] to see.
trait SignDigest {
    /// Signs a SHA-256 digest.
    fn sign(&mut self, digest: &[u8; 32]) -> Result<Signature, SignerError>;
}

/// Why nothing is signed.
#[derive(Debug, Error)]
pub(crate) enum SignerError {
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    #[error(transparent)]
    Description(#[from] DescriptionError),
    #[error("sign with the token")]
    Token(#[from] TokenError),
    #[error("sign with OpenBao")]
    Transit(#[from] TransitError),
    #[error("sign with the key file")]
    File(#[source] p256::ecdsa::Error),
    #[error("encode the public key")]
    KeyId,
    /// What came back was signed with another key, or is of something else.
    #[error(
        "the signature does not verify under the public key that is stated: another key signs \
         there, or the engine is not to be trusted"
    )]
    NotOurs,
}

impl Signer {
    /// The one of the two that is named; `None` where neither is.
    pub(crate) fn of(
        key_file: Option<&Path>,
        description: Option<&Path>,
    ) -> Result<Option<Self>, SignerError> {
        match (key_file, description) {
            (Some(path), _) => Self::from_key_file(path).map(Some),
            (None, Some(path)) => Self::from_description(path).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The P-256 key in a PKCS#8 PEM file.
    fn from_key_file(path: &Path) -> Result<Self, SignerError> {
        let key = read_signing_key(path)?;
        Self::new(*key.verifying_key(), Box::new(KeyFile(key)))
    }

    /// What a TOML file describes.
    fn from_description(path: &Path) -> Result<Self, SignerError> {
        let Description { public, engine } = Description::read(path)?;
        let engine: Box<dyn SignDigest> = match engine {
            Engine::Pkcs11(settings) => Box::new(pkcs11::Token::open(settings, &public)?),
            Engine::Transit(settings) => Box::new(transit::Transit::open(settings)?),
        };
        Self::new(public, engine)
    }

    fn new(public: VerifyingKey, engine: Box<dyn SignDigest>) -> Result<Self, SignerError> {
        Ok(Self {
            kid: key_id(&public).ok_or(SignerError::KeyId)?,
            public,
            engine,
        })
    }

    /// The id under which vaults know the key.
    pub(crate) fn kid(&self) -> &[u8; 32] {
        &self.kid
    }

    /// The public half.
    pub(crate) fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// Signs `message`: `r || s`, which verifies under [`Signer::public`].
    pub(crate) fn sign(&mut self, message: &[u8]) -> Result<[u8; 64], SignerError> {
        let digest: [u8; 32] = Sha256::digest(message).into();
        let signature = self.engine.sign(&digest)?;
        let verified = self.public.verify_prehash(&digest, &signature);
        verified.map_err(|_| SignerError::NotOurs)?;
        Ok(signature.to_bytes().into())
    }
}

/// A private key in this process.
struct KeyFile(SigningKey);

impl SignDigest for KeyFile {
    fn sign(&mut self, digest: &[u8; 32]) -> Result<Signature, SignerError> {
        self.0.sign_prehash(digest).map_err(SignerError::File)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::entropy::KernelEntropy;
    use crate::key_file::draw_p256;

    /// A signer with a key of its own.
    pub(crate) fn drawn() -> Signer {
        let key = SigningKey::from(draw_p256(&mut KernelEntropy).unwrap());
        Signer::new(*key.verifying_key(), Box::new(KeyFile(key))).unwrap()
    }

    #[test]
    fn a_signature_by_another_key_than_the_stated_one_does_not_leave() {
        let mut signer = drawn();
        assert!(signer.sign(b"message").is_ok());
        signer.public = *drawn().public();
        assert!(matches!(signer.sign(b"message"), Err(SignerError::NotOurs)));
    }

    /// Signs, and something else.
    struct Sly(KeyFile);

    impl SignDigest for Sly {
        fn sign(&mut self, digest: &[u8; 32]) -> Result<Signature, SignerError> {
            let mut other = *digest;
            other[0] ^= 1;
            self.0.sign(&other)
        }
    }

    #[test]
    fn a_signature_over_something_else_does_not_leave() {
        let key = SigningKey::from(draw_p256(&mut KernelEntropy).unwrap());
        let public = *key.verifying_key();
        let mut signer = Signer::new(public, Box::new(Sly(KeyFile(key)))).unwrap();
        assert!(matches!(signer.sign(b"message"), Err(SignerError::NotOurs)));
    }
}
