//! Certificate requests (PKCS#10, RFC 2986) that a key of the vault signs.

use crate::answer::Answer;
use crate::caller::Caller;
use crate::failure::Failure;
use nitride_client::{Client, ClientError, Curve, PublicHalf, PublicKey};
use nitride_protocol::SignScheme;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, PublicKeyData, SignatureAlgorithm, SigningKey,
};
use serde_json::json;
use std::cell::RefCell;

/// What the certificate is to say.
pub(crate) struct Wanted<'w> {
    pub(crate) subject: &'w str,
    pub(crate) san: &'w [String],
    pub(crate) der: bool,
}

/// Has the key sign a request for its newest version.
pub(crate) fn request(
    caller: &Caller<'_>,
    key: &str,
    wanted: &Wanted<'_>,
) -> Result<Answer, Failure> {
    let vhsmd = |source| Failure::Vhsmd {
        key: Some(key.to_owned()),
        source,
    };
    let csr = |error: rcgen::Error| Failure::Csr(error.to_string());
    let mut params = CertificateParams::new(wanted.san).map_err(csr)?;
    params.distinguished_name = subject(wanted.subject)?;
    let mut client = caller.connect()?;
    let public = client.public_key(key, None).map_err(vhsmd)?;
    let version = public.version;
    let signer = Remote::new(&mut client, key, public)?;
    let made = params.serialize_request(&signer);
    if let Some(source) = signer.failed.into_inner() {
        return Err(vhsmd(source));
    }
    let made = made.map_err(csr)?;
    if wanted.der {
        return Ok(Answer::public("csr", Some(version), made.der().to_vec()));
    }
    let text = made.pem().map_err(csr)?;
    let json = json!({ "version": version, "csr": text });
    Ok(Answer::Text { text, json })
}

/// A key of the vault, as rcgen wants it.
struct Remote<'c> {
    client: RefCell<&'c mut Client>,
    key: &'c str,
    public: PublicKey,
    /// What the public key is without its algorithm.
    bits: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
    scheme: SignScheme,
    failed: RefCell<Option<ClientError>>,
}

impl<'c> Remote<'c> {
    fn new(client: &'c mut Client, key: &'c str, public: PublicKey) -> Result<Self, Failure> {
        let (algorithm, scheme) = match public.half()? {
            PublicHalf::Ec {
                curve: Curve::P256, ..
            } => (&rcgen::PKCS_ECDSA_P256_SHA256, SignScheme::EcdsaSha256Der),
            PublicHalf::Ec {
                curve: Curve::P384, ..
            } => (&rcgen::PKCS_ECDSA_P384_SHA384, SignScheme::EcdsaSha384Der),
            PublicHalf::Ed25519(_) => (&rcgen::PKCS_ED25519, SignScheme::Ed25519),
            PublicHalf::Rsa { .. } => (&rcgen::PKCS_RSA_SHA256, SignScheme::RsaPkcs1Sha256),
            _ => return Err(Failure::Csr("keys of this type request none".into())),
        };
        Ok(Self {
            bits: public.bits()?.to_vec(),
            client: RefCell::new(client),
            key,
            public,
            algorithm,
            scheme,
            failed: RefCell::default(),
        })
    }
}

impl PublicKeyData for Remote<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

impl SigningKey for Remote<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let mut client = self.client.borrow_mut();
        match client.sign(self.key, Some(self.scheme), message) {
            // Rotated in between: the request would not verify.
            Ok(made) if made.version != self.public.version => Err(rcgen::Error::RemoteKeyError),
            Ok(made) => Ok(made.signature),
            Err(error) => {
                self.failed.replace(Some(error));
                Err(rcgen::Error::RemoteKeyError)
            }
        }
    }
}

/// "CN=name,O=name": the parts in their order. A comma cannot stand in a value.
fn subject(text: &str) -> Result<DistinguishedName, Failure> {
    let mut subject = DistinguishedName::new();
    for part in text.split(',') {
        let (what, value) = part
            .split_once('=')
            .ok_or(Failure::Form("the subject is not of the form CN=...,O=..."))?;
        let what = match what.trim() {
            "CN" => DnType::CommonName,
            "O" => DnType::OrganizationName,
            "OU" => DnType::OrganizationalUnitName,
            "C" => DnType::CountryName,
            "L" => DnType::LocalityName,
            "ST" => DnType::StateOrProvinceName,
            _ => {
                return Err(Failure::Form(
                    "the subject has other than CN, O, OU, C, L, ST",
                ));
            }
        };
        subject.push(what, value.trim());
    }
    Ok(subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_its_parts() {
        let made = subject("CN=web.example.org, O=Example").unwrap();
        assert!(made.get(&DnType::CommonName).is_some());
        assert!(made.get(&DnType::OrganizationName).is_some());
        assert!(subject("web.example.org").is_err());
        assert!(subject("X=1").is_err());
        assert!(subject("").is_err());
    }
}
