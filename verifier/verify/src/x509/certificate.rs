//! Certificates: the fields that checks need, and no opinion about any of them.

use super::{
    ChainMemo, PublicKey, SignatureAlgorithm, SignatureFault, Signed, name_der, unix_secs,
};
use crate::budget::{Budget, BudgetExceeded};
use aws_lc_rs::digest::{SHA256, digest};
use der::Encode;
use der::asn1::ObjectIdentifier;
use der::oid::AssociatedOid;
use thiserror::Error;
use x509_cert::Version;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectAltName};

/// No certificate of any platform comes near it.
const MAX_CERTIFICATE_LEN: usize = 16 * 1024;

/// A certificate that is well formed. Nothing about it is verified.
#[derive(Debug, Clone)]
pub struct Certificate {
    parsed: x509_cert::Certificate,
    der: Vec<u8>,
    algorithm: Vec<u8>,
    spki: Vec<u8>,
    subject: Vec<u8>,
    issuer: Vec<u8>,
    sha256: [u8; 32],
    spki_sha256: [u8; 32],
}

/// Why bytes are no certificate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertificateFault {
    /// Too long to be one.
    #[error("a certificate of {len} bytes; at most {MAX_CERTIFICATE_LEN} are read")]
    TooLong {
        /// The length.
        len: usize,
    },
    /// Not DER of the form.
    #[error("a certificate is not of its form: {0}")]
    Form(String),
    /// An extension stands twice.
    #[error("a certificate has the extension {0} twice")]
    ExtensionTwice(String),
    /// The budget is spent.
    #[error(transparent)]
    OverBudget(#[from] BudgetExceeded),
}

impl Certificate {
    /// Parses one certificate in DER, with nothing after it.
    ///
    /// # Errors
    ///
    /// [`CertificateFault`].
    pub fn parse(der: &[u8], budget: &mut Budget) -> Result<Self, CertificateFault> {
        budget.spend_certificate()?;
        if der.len() > MAX_CERTIFICATE_LEN {
            return Err(CertificateFault::TooLong { len: der.len() });
        }
        let signed = Signed::split(der).map_err(form)?;
        let parsed = x509_cert::Certificate::from_der(der).map_err(form)?;
        let tbs = parsed.tbs_certificate();
        let mut certificate = Self {
            der: der.to_vec(),
            algorithm: signed.algorithm.to_vec(),
            spki: tbs.subject_public_key_info().to_der().map_err(form)?,
            subject: name_der(tbs.subject()).map_err(form)?,
            issuer: name_der(tbs.issuer()).map_err(form)?,
            sha256: sha256(der),
            spki_sha256: [0; 32],
            parsed,
        };
        certificate.spki_sha256 = sha256(&certificate.spki);
        certificate.refuse_extensions_twice()?;
        Ok(certificate)
    }

    /// The whole certificate, as it came.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The SHA-256 of the whole certificate, by which anchors are pinned.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// The SHA-256 of the public key.
    pub(super) fn spki_sha256(&self) -> &[u8; 32] {
        &self.spki_sha256
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey<'_> {
        PublicKey(&self.spki)
    }

    /// Whether the version is 3.
    #[must_use]
    pub fn is_version_3(&self) -> bool {
        self.parsed.tbs_certificate().version() == Version::V3
    }

    /// The subject's common name; `None` without one or with two.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        let subject = self.parsed.tbs_certificate().subject();
        let name = subject.common_name().ok()??;
        Some(name.value().to_string())
    }

    /// The DNS names among its alternative names (RFC 5280, 4.2.1.6), as they stand there: one that
    /// begins with an asterisk is that name and no other.
    #[must_use]
    pub fn dns_names(&self) -> Vec<String> {
        let names = self.extension(&SubjectAltName::OID);
        let names = names.and_then(|names| SubjectAltName::from_der(names).ok());
        let names = names.into_iter().flat_map(|names| names.0);
        let dns = names.filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.to_string()),
            _ => None,
        });
        dns.collect()
    }

    /// The subject in DER.
    #[must_use]
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The issuer in DER.
    #[must_use]
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// The serial number, big-endian.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        self.parsed.tbs_certificate().serial_number().as_bytes()
    }

    /// Whether `now_secs` is within the dates, both ends included.
    #[must_use]
    pub fn is_valid_at(&self, now_secs: u64) -> bool {
        let validity = self.parsed.tbs_certificate().validity();
        (unix_secs(validity.not_before)..=unix_secs(validity.not_after)).contains(&now_secs)
    }

    /// The first and the last second of validity, since 1970.
    #[must_use]
    pub fn validity_secs(&self) -> (u64, u64) {
        let validity = self.parsed.tbs_certificate().validity();
        (
            unix_secs(validity.not_before),
            unix_secs(validity.not_after),
        )
    }

    /// The value of an extension, without the octet string around it.
    #[must_use]
    pub fn extension(&self, oid: &ObjectIdentifier) -> Option<&[u8]> {
        let found = self.extensions().iter().find(|e| e.extn_id == *oid);
        found.map(|extension| extension.extn_value.as_bytes())
    }

    /// The extensions that are marked critical.
    pub fn critical_extensions(&self) -> impl Iterator<Item = ObjectIdentifier> + '_ {
        let critical = self.extensions().iter().filter(|e| e.critical);
        critical.map(|extension| extension.extn_id)
    }

    /// Whether it says that it is a certification authority (RFC 5280, 4.2.1.9), and for how many
    /// authorities below.
    #[must_use]
    pub fn authority(&self) -> Option<PathLength> {
        let constraints = self.extension(&BasicConstraints::OID)?;
        let constraints = BasicConstraints::from_der(constraints).ok()?;
        constraints.ca.then_some(PathLength {
            limit: constraints.path_len_constraint,
        })
    }

    /// Whether its key usage is stated and lets it sign certificates.
    #[must_use]
    pub fn may_sign_certificates(&self) -> bool {
        self.key_usage().is_some_and(|usage| usage.key_cert_sign())
    }

    /// Whether its key usage is stated and lets it sign what is neither.
    #[must_use]
    pub fn may_sign(&self) -> bool {
        self.key_usage()
            .is_some_and(|usage| usage.digital_signature())
    }

    /// Whether its key usage is stated and lets it sign revocation lists.
    #[must_use]
    pub fn may_sign_crls(&self) -> bool {
        self.key_usage().is_some_and(|usage| usage.crl_sign())
    }

    /// Whether its key usage is stated and lets it sign what is no certificate.
    #[must_use]
    pub fn may_sign_data(&self) -> bool {
        self.key_usage()
            .is_some_and(|usage| usage.digital_signature())
    }

    /// Verifies that `issuer` signed it by `algorithm`, under the name that it gives as its issuer.
    /// What is verified is remembered in `memo`, so that `issuer` has to be pinned, or verified.
    ///
    /// # Errors
    ///
    /// [`SignatureFault`].
    pub fn verify_signed_by(
        &self,
        issuer: &Self,
        algorithm: SignatureAlgorithm,
        memo: Option<&ChainMemo>,
    ) -> Result<(), SignatureFault> {
        let inside = self.parsed.tbs_certificate().signature().to_der();
        if inside.as_deref() != Ok(self.algorithm.as_slice()) {
            return Err(SignatureFault::AlgorithmsDiffer);
        }
        if SignatureAlgorithm::of_der(&self.algorithm)? != algorithm {
            return Err(SignatureFault::OtherAlgorithm(algorithm));
        }
        if self.issuer != issuer.subject {
            return Err(SignatureFault::OtherIssuer);
        }
        let signature = self.parsed.signature().as_bytes();
        let signature = signature.ok_or(SignatureFault::Invalid)?;
        let key = issuer.public_key();
        let verify = || {
            let signed = Signed::split(&self.der).map_err(|_| SignatureFault::Invalid)?;
            key.verify(algorithm, signed.body, signature)
        };
        let Some(memo) = memo else { return verify() };
        memo.verify(&self.sha256, issuer.spki_sha256(), algorithm, verify)?;
        memo.remember(self);
        Ok(())
    }

    /// The algorithm that it says it is signed by.
    ///
    /// # Errors
    ///
    /// [`SignatureFault::AlgorithmNotKnown`].
    pub fn signature_algorithm(&self) -> Result<SignatureAlgorithm, SignatureFault> {
        SignatureAlgorithm::of_der(&self.algorithm)
    }

    fn key_usage(&self) -> Option<KeyUsage> {
        KeyUsage::from_der(self.extension(&KeyUsage::OID)?).ok()
    }

    fn extensions(&self) -> &[x509_cert::ext::Extension] {
        let extensions = self.parsed.tbs_certificate().extensions();
        extensions.map_or(&[], Vec::as_slice)
    }

    /// The first of two would be read by one verifier, the last by another.
    fn refuse_extensions_twice(&self) -> Result<(), CertificateFault> {
        let mut oids: Vec<_> = self.extensions().iter().map(|e| e.extn_id).collect();
        oids.sort_unstable();
        match oids.windows(2).find(|pair| pair.first() == pair.last()) {
            Some(pair) => {
                let oid = pair.first().map(ToString::to_string);
                Err(CertificateFault::ExtensionTwice(oid.unwrap_or_default()))
            }
            None => Ok(()),
        }
    }
}

/// How many authorities may stand between this one and an end entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathLength {
    limit: Option<u8>,
}

impl PathLength {
    /// Whether `below` authorities may stand below this one.
    #[must_use]
    pub fn allows(self, below: u8) -> bool {
        self.limit.is_none_or(|limit| below <= limit)
    }
}

fn form(error: der::Error) -> CertificateFault {
    CertificateFault::Form(error.to_string())
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
