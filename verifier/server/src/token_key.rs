//! The key that tokens are signed with. Every GET verifies a token and every attest signs one, so
//! that AWS-LC does both, which TLS has linked anyhow: a tenth of what RustCrypto takes.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, UnparsedPublicKey,
};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use zeroize::Zeroizing;

/// A P-256 key pair, twice.
pub(crate) struct TokenKey {
    /// Signs where AWS-LC cannot: it needs neither memory nor randomness (RFC 6979).
    plain: SigningKey,
    fast: Option<EcdsaKeyPair>,
    point: Box<[u8]>,
}

impl TokenKey {
    pub(crate) fn new(key: SigningKey) -> Self {
        let point = key.verifying_key().to_sec1_point(false);
        let point: Box<[u8]> = point.as_bytes().into();
        let scalar = Zeroizing::new(key.to_bytes());
        let fast = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            scalar.as_slice(),
            &point,
        );
        Self {
            plain: key,
            fast: fast.ok(),
            point,
        }
    }

    /// `r || s` over SHA-256 of the message. AWS-LC hashes key and message into its nonce's
    /// generator, so that a bad one cannot leak the key.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let fast = self.fast.as_ref();
        let signed = fast.and_then(|key| key.sign(&SystemRandom::new(), message).ok());
        let signature = signed.and_then(|signature| signature.as_ref().try_into().ok());
        signature.unwrap_or_else(|| {
            let signature: Signature = self.plain.sign(message);
            signature.to_bytes().into()
        })
    }

    /// Whether this key has signed the message.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point)
            .verify(message, signature)
            .is_ok()
    }

    /// The public key, uncompressed.
    #[cfg(test)]
    pub(crate) fn point(&self) -> &[u8] {
        &self.point
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::KernelEntropy;
    use crate::key_file::draw_p256;
    use p256::ecdsa::signature::Verifier;

    fn key() -> TokenKey {
        TokenKey::new(SigningKey::from(draw_p256(&mut KernelEntropy).unwrap()))
    }

    #[test]
    fn both_libraries_take_what_either_signs() {
        let key = key();
        assert!(key.fast.is_some());
        let of_aws = Signature::from_slice(&key.sign(b"m")).unwrap();
        key.plain.verifying_key().verify(b"m", &of_aws).unwrap();
        let plain: Signature = key.plain.sign(b"m");
        assert!(key.has_signed(b"m", &plain.to_bytes().into()));
    }

    #[test]
    fn it_signs_without_aws_lc() {
        let mut key = key();
        key.fast = None;
        let signature = key.sign(b"m");
        assert!(key.has_signed(b"m", &signature));
    }

    #[test]
    fn another_message_or_key_or_signature_is_refused() {
        let (ours, theirs) = (key(), key());
        let mut signature = ours.sign(b"m");
        assert!(!ours.has_signed(b"n", &signature));
        assert!(!theirs.has_signed(b"m", &signature));
        signature[63] ^= 1;
        assert!(!ours.has_signed(b"m", &signature));
        assert!(!ours.has_signed(b"m", &[0; 64]));
    }
}
