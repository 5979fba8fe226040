//! The keys that tokens are signed with: P-256 or ML-DSA-65, by AWS-LC, which TLS has linked anyhow.
//! Every GET verifies a token and every attest signs one. Where it cannot, there is no token.

mod file;

pub(crate) use file::{PrivateKeyDer, SigningAlgorithm};

use crate::key_file::KeyFileError;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, ML_DSA_65,
    ML_DSA_65_SIGNING, PqdsaKeyPair, UnparsedPublicKey,
};
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use nitride_kbs::token::{TokenAlgorithm, TokenHeader};
use rustls::server::ParsedCertificate;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;
use thiserror::Error;

/// The end of the name of a key's certificates, which lie beside it.
const CERTIFICATES: &str = "crt";
/// More certificates than any chain needs.
const MAX_CERTIFICATES: usize = 8;

/// A key pair that signs tokens.
pub(crate) struct TokenKey {
    pair: Pair,
    kid: String,
    /// DER in padded base64, the leaf first; none if there are none.
    certificates: Vec<String>,
}

enum Pair {
    P256(EcdsaKeyPair),
    // Boxed, since it is the larger by far.
    MlDsa65(Box<PqdsaKeyPair>),
}

/// The key did not sign.
#[derive(Debug, Error)]
#[error("sign the attestation result")]
pub(crate) struct Unsigned;

impl TokenKey {
    /// Reads a private key in PKCS#8 PEM, and the certificates in PEM beside it, under its name with
    /// `.crt`, if there are any.
    pub(crate) fn read(path: &Path) -> Result<Self, KeyFileError> {
        let not_a_key = || KeyFileError::NotAKey {
            path: path.to_owned(),
            expected: "a P-256 or ML-DSA-65 private key in PKCS#8 PEM",
        };
        let der = PrivateKeyDer::read(path)?.ok_or_else(not_a_key)?;
        let mut key = Self::from_pkcs8(der.bytes()).ok_or_else(not_a_key)?;
        let beside = path.with_extension(CERTIFICATES);
        if beside.exists() {
            let refused = || KeyFileError::OtherCertificate {
                path: beside.clone(),
                key: path.to_owned(),
            };
            key.certificates = key.certified_by(&beside).ok_or_else(refused)?;
        }
        Ok(key)
    }

    pub(crate) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let p256 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der);
        let pair = match p256 {
            Ok(pair) => Pair::P256(pair),
            Err(_) => Pair::MlDsa65(Box::new(
                PqdsaKeyPair::from_pkcs8(&ML_DSA_65_SIGNING, der).ok()?,
            )),
        };
        // The form that is hashed (RFC 7638, 3.1).
        let kid = Base64UrlUnpadded::encode_string(&Sha256::digest(least_jwk(&pair).as_bytes()));
        Some(Self {
            pair,
            kid,
            certificates: Vec::new(),
        })
    }

    /// The chain in the PEM file, if its leaf is of this very key.
    fn certified_by(&self, path: &Path) -> Option<Vec<String>> {
        let chain: Vec<_> = CertificateDer::pem_file_iter(path)
            .ok()?
            .take(MAX_CERTIFICATES + 1)
            .collect::<Result<_, _>>()
            .ok()?;
        if chain.len() > MAX_CERTIFICATES {
            return None;
        }
        let leaf = ParsedCertificate::try_from(chain.first()?).ok()?;
        let is_ours = leaf.subject_public_key_info().as_ref() == self.spki()?;
        let encoded = || chain.iter().map(|der| Base64::encode_string(der));
        is_ours.then(|| encoded().collect())
    }

    /// The public key as `SubjectPublicKeyInfo` in DER.
    pub(crate) fn spki(&self) -> Option<Vec<u8>> {
        let der: Result<PublicKeyX509Der<'_>, _> = match &self.pair {
            Pair::P256(pair) => pair.public_key().as_der(),
            Pair::MlDsa65(pair) => pair.public_key().as_der(),
        };
        Some(der.ok()?.as_ref().to_vec())
    }

    pub(crate) fn algorithm(&self) -> TokenAlgorithm {
        match self.pair {
            Pair::P256(_) => TokenAlgorithm::Es256,
            Pair::MlDsa65(_) => TokenAlgorithm::MlDsa65,
        }
    }

    /// The JWK's thumbprint (RFC 7638), in base64url.
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// What stands in the header of every token that it signs.
    pub(crate) fn header(&self) -> TokenHeader<'_> {
        TokenHeader {
            algorithm: self.algorithm(),
            kid: Some(&self.kid),
            certificates: &self.certificates,
        }
    }

    /// Signs as its algorithm does. AWS-LC hashes key and message into the nonce's generator of
    /// ECDSA, so that a bad one cannot leak the key.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unsigned> {
        match &self.pair {
            Pair::P256(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| Unsigned),
            Pair::MlDsa65(pair) => {
                let mut signature = vec![0; TokenAlgorithm::MlDsa65.signature_len()];
                match pair.sign(message, &mut signature) {
                    Ok(len) if len == signature.len() => Ok(signature),
                    _ => Err(Unsigned),
                }
            }
        }
    }

    /// Whether this key has signed the message.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match &self.pair {
            Pair::P256(pair) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key())
                .verify(message, signature),
            Pair::MlDsa65(pair) => {
                UnparsedPublicKey::new(&ML_DSA_65, pair.public_key()).verify(message, signature)
            }
        };
        verified.is_ok()
    }

    /// The public key as a JWK.
    pub(crate) fn jwk(&self) -> Value {
        // A text of our own reads; and if it did not, there would be no key rather than another.
        let mut jwk: Value = serde_json::from_str(&least_jwk(&self.pair)).unwrap_or_default();
        if let Some(jwk) = jwk.as_object_mut() {
            for (name, value) in [
                ("alg", self.algorithm().as_str()),
                ("kid", &self.kid),
                ("use", "sig"),
            ] {
                jwk.insert(name.to_owned(), Value::from(value));
            }
        }
        jwk
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// The members that make the key, sorted and without blanks (RFC 7638, 3.2; RFC 9964): what is hashed
/// to its thumbprint.
fn least_jwk(pair: &Pair) -> String {
    let encode = Base64UrlUnpadded::encode_string;
    match pair {
        Pair::P256(pair) => {
            // An uncompressed point: 4, x, y.
            let point = pair.public_key().as_ref().split_first();
            let (x, y) = point.map_or((&[][..], &[][..]), |(_, both)| {
                both.split_at(both.len() / 2)
            });
            let (x, y) = (encode(x), encode(y));
            format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
        }
        Pair::MlDsa65(pair) => {
            let public = encode(pair.public_key().as_ref());
            format!(r#"{{"alg":"ML-DSA-65","kty":"AKP","pub":"{public}"}}"#)
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::entropy::KernelEntropy;
    use SigningAlgorithm::{Es256, MlDsa65};
    use p256::ecdsa::signature::{Signer, Verifier};
    use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
    use p256::pkcs8::{DecodePrivateKey, DecodePublicKey};
    use serde_json::json;
    use std::collections::BTreeSet;

    pub(crate) fn key(algorithm: SigningAlgorithm) -> TokenKey {
        let drawn = PrivateKeyDer::draw(algorithm, &mut KernelEntropy).unwrap();
        TokenKey::from_pkcs8(drawn.bytes()).unwrap()
    }

    #[test]
    fn another_library_takes_what_it_signs_and_it_takes_what_another_signs() {
        let drawn = PrivateKeyDer::draw(Es256, &mut KernelEntropy).unwrap();
        let ours = TokenKey::from_pkcs8(drawn.bytes()).unwrap();
        let theirs = SigningKey::from_pkcs8_der(drawn.bytes()).unwrap();
        let public = VerifyingKey::from_public_key_der(&ours.spki().unwrap()).unwrap();
        assert_eq!(&public, theirs.verifying_key());
        let signature = Signature::from_slice(&ours.sign(b"m").unwrap()).unwrap();
        public.verify(b"m", &signature).unwrap();
        let signature: Signature = theirs.sign(b"m");
        assert!(ours.has_signed(b"m", &signature.to_bytes()));
    }

    #[test]
    fn another_message_or_key_or_signature_is_refused() {
        for algorithm in [Es256, MlDsa65] {
            let (ours, theirs) = (key(algorithm), key(algorithm));
            let mut signature = ours.sign(b"m").unwrap();
            assert_eq!(signature.len(), ours.algorithm().signature_len());
            assert!(ours.has_signed(b"m", &signature));
            assert!(!ours.has_signed(b"n", &signature));
            assert!(!theirs.has_signed(b"m", &signature));
            for at in [0, signature.len() / 2, signature.len() - 1] {
                signature[at] ^= 1;
                assert!(!ours.has_signed(b"m", &signature), "{algorithm:?} {at}");
                signature[at] ^= 1;
            }
            assert!(!ours.has_signed(b"m", &vec![0; signature.len()]));
            assert!(!ours.has_signed(b"m", b""));
            assert!(!ours.has_signed(b"m", &signature[1..]));
        }
    }

    #[test]
    fn a_signature_of_one_kind_is_none_of_the_other() {
        let (p256, ml_dsa) = (key(Es256), key(MlDsa65));
        assert!(!p256.has_signed(b"m", &ml_dsa.sign(b"m").unwrap()));
        assert!(!ml_dsa.has_signed(b"m", &p256.sign(b"m").unwrap()));
    }

    #[test]
    fn the_key_id_is_the_thumbprint_of_the_jwk() {
        // Python: base64url(sha256('{"crv":"P-256","kty":"EC","x":"…","y":"…"}')), members sorted.
        let scalar = p256::SecretKey::from_slice(&[7; 32]).unwrap();
        let der = p256::pkcs8::EncodePrivateKey::to_pkcs8_der(&scalar).unwrap();
        let key = TokenKey::from_pkcs8(der.as_bytes()).unwrap();
        assert_eq!(key.kid(), "gWjt7nmB1udyFpLYVp0SxJnI8lJEvl7q8AFYZRqnGV8");
        let jwk = key.jwk();
        assert_eq!(jwk["kid"], key.kid());
        assert_eq!((&jwk["alg"], &jwk["use"]), (&json!("ES256"), &json!("sig")));
    }

    #[test]
    fn a_jwk_of_ml_dsa_is_an_algorithm_key_pair_without_its_private_half() {
        let key = key(MlDsa65);
        let jwk = key.jwk();
        let jwk = jwk.as_object().unwrap();
        let names: BTreeSet<&str> = jwk.keys().map(String::as_str).collect();
        assert_eq!(names, ["alg", "kid", "kty", "pub", "use"].into());
        assert_eq!(
            (&jwk["kty"], &jwk["alg"]),
            (&json!("AKP"), &json!("ML-DSA-65"))
        );
        let public = Base64UrlUnpadded::decode_vec(jwk["pub"].as_str().unwrap()).unwrap();
        assert_eq!(public.len(), 1952);
    }
}
