//! Who vouches for a notice: HMAC-SHA256 under a shared secret, as Standard Webhooks has it, or a signature
//! that the receiver verifies with a public key and cannot make.
//!
//! ```text
//!   webhook-signature: v1,<base64 of HMAC-SHA256>       over  id "." timestamp "." body
//!                      es256,<base64 of r | s>          likewise, by SHA-256
//! ```

use crate::key_file::{Key32, KeyFileError};
use crate::token_key::TokenKey;
use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use nitride_kbs::token::TokenAlgorithm;
use sha2::Sha256;
use std::path::PathBuf;

/// Where the key of one webhook is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// 32 bytes that the receiver has, too.
    Secret(PathBuf),
    /// A private key in PEM.
    SigningKey(PathBuf),
}

/// The key itself.
#[derive(Debug)]
pub(super) enum Signer {
    Secret(Key32),
    SigningKey(TokenKey),
}

impl Signer {
    pub(super) fn read(source: &KeySource) -> Result<Self, KeyFileError> {
        Ok(match source {
            KeySource::Secret(path) => Self::Secret(Key32::read(path)?),
            KeySource::SigningKey(path) => Self::SigningKey(TokenKey::read(path)?),
        })
    }

    /// The header's value; `None` is a defect of the cipher's.
    pub(super) fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> Option<String> {
        let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        match self {
            Self::Secret(key) => {
                let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key.expose()).ok()?;
                parts.iter().for_each(|part| mac.update(part));
                let tag: [u8; 32] = mac.finalize().into_bytes().into();
                Some(format!("v1,{}", Base64::encode_string(&tag)))
            }
            Self::SigningKey(key) => {
                let signature = key.sign(&parts.concat()).ok()?;
                let scheme = match key.algorithm() {
                    TokenAlgorithm::Es256 => "es256",
                    TokenAlgorithm::MlDsa65 => "ml-dsa-65",
                };
                Some(format!("{scheme},{}", Base64::encode_string(&signature)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token_key::SigningAlgorithm;
    use crate::token_key::tests::key;

    #[test]
    fn a_shared_secret_signs_as_the_standard_says() {
        // By python3: hmac.new(bytes(range(32)), b'msg_1.1700000000.{"a":1}', "sha256").
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let bytes: Vec<u8> = (0..32).collect();
        crate::key_file::write_secret(&path, &bytes).unwrap();
        let signer = Signer::read(&KeySource::Secret(path)).unwrap();
        let signed = signer.sign("msg_1", "1700000000", b"{\"a\":1}").unwrap();
        assert_eq!(signed, "v1,AMaOha7DUT/0J0JMycRuYOBSvbx3WtwLd2khXXbaVj4=");
        for (id, timestamp, body) in [
            ("msg_2", "1700000000", "{\"a\":1}"),
            ("msg_1", "1700000001", "{\"a\":1}"),
            ("msg_1", "1700000000", "{\"a\":2}"),
        ] {
            let other = signer.sign(id, timestamp, body.as_bytes()).unwrap();
            assert_ne!(other, signed);
        }
    }

    #[test]
    fn a_signing_key_s_signature_verifies_under_its_public_half() {
        let signer = Signer::SigningKey(key(SigningAlgorithm::Es256));
        let signed = signer.sign("msg_1", "1700000000", b"{}").unwrap();
        let signature = Base64::decode_vec(signed.strip_prefix("es256,").unwrap()).unwrap();
        let Signer::SigningKey(key) = signer else {
            panic!("another signer");
        };
        assert!(key.has_signed(b"msg_1.1700000000.{}", &signature));
        assert!(!key.has_signed(b"msg_1.1700000001.{}", &signature));
    }
}
