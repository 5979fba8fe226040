//! Certificates and revocation lists out of files, DER or PEM, told apart by what they are and not
//! by what they are called. Nothing is verified here.

use crate::files::Files;
use crate::obstacle::{Obstacle, told};
use nitride_verify::Budget;
use nitride_verify::x509::{Certificate, Crl};
use rustls_pki_types::pem::{PemObject, SectionKind};
use std::path::Path;

/// AMD's revocation lists are a few kilobytes.
const MAX_PKI_LEN: u64 = 1 << 20;

/// What a file holds.
#[derive(Debug)]
pub enum Item {
    /// A certificate in DER, and its subject's common name.
    Certificate {
        /// The common name.
        name: String,
        /// The certificate.
        der: Vec<u8>,
    },
    /// A revocation list in DER.
    Crl(Vec<u8>),
}

/// Everything in a file; an empty one is none.
///
/// # Errors
///
/// [`Obstacle`] for what cannot be read, or is none of these.
pub fn read(path: &Path, files: &mut Files) -> Result<Vec<Item>, Obstacle> {
    let bytes = files.read(path, MAX_PKI_LEN)?;
    let fault = |reason: String| {
        Obstacle::at(
            path,
            reason,
            "give certificates and revocation lists in DER or PEM",
        )
    };
    items(&bytes).map_err(fault)
}

/// Everything in these bytes, or in words why they are none.
pub(crate) fn items(bytes: &[u8]) -> Result<Vec<Item>, String> {
    if !bytes.trim_ascii_start().starts_with(b"-----BEGIN ") {
        return item(bytes).map(|item| vec![item]);
    }
    let mut found = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        match section.map_err(|error| format!("is not PEM: {error:?}"))? {
            (SectionKind::Certificate | SectionKind::Crl, der) => found.push(item(&der)?),
            (kind, _) => return Err(format!("holds {kind:?}")),
        }
    }
    if found.is_empty() {
        return Err("holds nothing".to_owned());
    }
    Ok(found)
}

/// The operator's own files: each has a budget of its own.
pub(crate) fn item(der: &[u8]) -> Result<Item, String> {
    let budget = || Budget::for_one_round();
    if Crl::parse(der, &mut budget()).is_ok() {
        return Ok(Item::Crl(der.to_vec()));
    }
    let certificate = Certificate::parse(der, &mut budget()).map_err(|fault| {
        format!(
            "is neither a certificate nor a revocation list: {}",
            told(&fault)
        )
    })?;
    let name = certificate.common_name();
    Ok(Item::Certificate {
        name: name.ok_or("is a certificate without a common name")?,
        der: der.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_certificate_nor_list_is_named() {
        for (bad, word) in [
            (&b""[..], "neither a certificate nor"),
            (b"\x30\x03\x02\x01", "neither a certificate nor"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA\n", "not PEM"),
            (
                b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                "holds PrivateKey",
            ),
        ] {
            let told = items(bad).unwrap_err();
            assert!(told.contains(word), "{told}");
        }
    }
}
