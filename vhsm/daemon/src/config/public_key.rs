//! Public keys out of PEM files. Public data: nothing here is secret.

use super::{ConfigError, Document};
use base64ct::{Base64, Encoding};
use nitride_secmem::crypto::parse_p256_spki;
use nitride_vault::backup::RecipientKey;
use nitride_vault::policy::IssuerKey;
use std::path::Path;

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
const REMEDY: &str =
    "give a PEM file with one P-256 public key, as `openssl pkey -pubout` writes it";

/// The point of the one P-256 public key in the PEM file at `path`.
pub(crate) fn read(path: &Path) -> Result<[u8; 65], ConfigError> {
    let document = Document::read(path)?;
    let fault = |reason| ConfigError::of_file(path, reason, REMEDY);
    let der = der_of(document.text()).ok_or_else(|| fault("is not one PEM public key"))?;
    parse_p256_spki(&der).ok_or_else(|| fault("is not a public key on the curve P-256"))
}

/// The one P-256 or X25519 public key in the PEM file at `path`.
pub(super) fn read_recipient(path: &Path) -> Result<RecipientKey, ConfigError> {
    const REMEDY: &str = "give a PEM file with one P-256 or X25519 public key, as `openssl pkey \
                          -pubout` and `vhsm public-key` write it";
    let document = Document::read(path)?;
    let fault = |reason| ConfigError::of_file(path, reason, REMEDY);
    let der = der_of(document.text()).ok_or_else(|| fault("is not one PEM public key"))?;
    RecipientKey::from_spki(&der)
        .ok_or_else(|| fault("is not a public key on the curve P-256 or X25519"))
}

/// The one P-256 or ML-DSA-65 public key in the PEM file at `path`.
pub(super) fn read_issuer(path: &Path) -> Result<IssuerKey, ConfigError> {
    const REMEDY: &str = "give a PEM file with one P-256 or ML-DSA-65 public key, as `nitride-provisiond \
                          token-key` and `openssl pkey -pubout` write it";
    let document = Document::read(path)?;
    let fault = |reason| ConfigError::of_file(path, reason, REMEDY);
    let der = der_of(document.text()).ok_or_else(|| fault("is not one PEM public key"))?;
    IssuerKey::from_spki(&der)
        .ok_or_else(|| fault("is not a public key on the curve P-256 or of ML-DSA-65"))
}

/// What stands between the two lines of RFC 7468; text before the first is a comment.
fn der_of(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once(BEGIN)?;
    let (body, after) = rest.split_once(END)?;
    let one_line: String = body.split_ascii_whitespace().collect();
    let alone = after.trim().is_empty();
    alone.then(|| Base64::decode_vec(&one_line).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_of_one_key_is_decoded() {
        let pem = format!("{BEGIN}\nAQID\nBAUG\n{END}\n");
        assert_eq!(der_of(&pem).unwrap(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(der_of(&format!("comment\n{pem}")).unwrap().len(), 6);
    }

    #[test]
    fn anything_else_is_not_a_key() {
        for pem in [
            String::new(),
            "AQID".to_owned(),
            format!("{BEGIN}\nAQID\n"),
            format!("{BEGIN}\nAQI?\n{END}\n"),
            format!("{BEGIN}\nAQID\n{END}\n{BEGIN}\nAQID\n{END}\n"),
            "-----BEGIN PRIVATE KEY-----\nAQID\n-----END PRIVATE KEY-----\n".to_owned(),
        ] {
            assert_eq!(der_of(&pem), None, "{pem}");
        }
    }
}
