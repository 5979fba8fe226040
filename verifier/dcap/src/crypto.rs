//! `dcap-qvl` over AWS-LC, which the verifier links anyway.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use dcap_qvl::config::{Config, CryptoProvider};
use dcap_qvl::signature::DerSigEncoder;
use dcap_qvl::x509::X509CertBackend;
use rustls_pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};

/// The library's own parsers, and our cryptography. Public for those who compare the library with
/// what is made of it here.
#[derive(Debug, Clone, Copy)]
pub struct AwsLc;

impl Config for AwsLc {
    type X509 = X509CertBackend;
    type SigEncoder = DerSigEncoder;
    type Crypto = Self;
}

impl CryptoProvider for AwsLc {
    fn sig_algo() -> &'static dyn SignatureVerificationAlgorithm {
        &EcdsaP256
    }

    fn sha256(data: &[u8]) -> [u8; 32] {
        hash(&SHA256, data)
    }

    fn sha384(data: &[u8]) -> [u8; 48] {
        hash(&SHA384, data)
    }
}

fn hash<const N: usize>(algorithm: &'static Algorithm, data: &[u8]) -> [u8; N] {
    let mut hash = [0; N];
    hash.copy_from_slice(digest(algorithm, data).as_ref());
    hash
}

/// ECDSA over P-256 with SHA-256, the one algorithm of Intel's PKI.
#[derive(Debug)]
struct EcdsaP256;

impl SignatureVerificationAlgorithm for EcdsaP256 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public_key)
            .verify(message, signature)
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}
