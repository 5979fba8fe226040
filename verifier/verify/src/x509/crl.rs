//! Revocation lists.

use super::certificate::sha256;
use super::{
    Certificate, ChainMemo, SignatureAlgorithm, SignatureFault, Signed, name_der, unix_secs,
};
use crate::budget::{Budget, BudgetExceeded};
use der::{Decode, Encode};
use thiserror::Error;
use x509_cert::crl::CertificateList;

/// Some hundred thousand bytes hold some thousand revoked certificates.
const MAX_CRL_LEN: usize = 512 * 1024;

/// A revocation list that is well formed. Nothing about it is verified.
#[derive(Debug, Clone)]
pub struct Crl {
    parsed: CertificateList,
    body: Vec<u8>,
    algorithm: Vec<u8>,
    issuer: Vec<u8>,
    sha256: [u8; 32],
}

/// Why bytes are no revocation list.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CrlFault {
    /// Too long.
    #[error("a revocation list of {len} bytes; at most {MAX_CRL_LEN} are read")]
    TooLong {
        /// The length.
        len: usize,
    },
    /// Not DER of the form.
    #[error("a revocation list is not of its form: {0}")]
    Form(String),
    /// It says what nothing here understands.
    #[error("a revocation list has a critical extension, which is not understood")]
    CriticalExtension,
    /// The budget is spent.
    #[error(transparent)]
    OverBudget(#[from] BudgetExceeded),
}

impl Crl {
    /// Parses one list in DER, with nothing after it.
    ///
    /// # Errors
    ///
    /// [`CrlFault`].
    pub fn parse(der: &[u8], budget: &mut Budget) -> Result<Self, CrlFault> {
        budget.spend_certificate()?;
        if der.len() > MAX_CRL_LEN {
            return Err(CrlFault::TooLong { len: der.len() });
        }
        let signed = Signed::split(der).map_err(form)?;
        let parsed = CertificateList::from_der(der).map_err(form)?;
        // An indirect or a delta list would be read as a full one (RFC 5280, 5.2).
        let extensions = parsed.tbs_cert_list.crl_extensions.as_deref();
        if extensions.unwrap_or_default().iter().any(|e| e.critical) {
            return Err(CrlFault::CriticalExtension);
        }
        Ok(Self {
            body: signed.body.to_vec(),
            algorithm: signed.algorithm.to_vec(),
            issuer: name_der(&parsed.tbs_cert_list.issuer).map_err(form)?,
            sha256: sha256(der),
            parsed,
        })
    }

    /// Verifies that `issuer` signed it by `algorithm`, is named in it, and may sign lists.
    ///
    /// # Errors
    ///
    /// [`SignatureFault`].
    pub fn verify_signed_by(
        &self,
        issuer: &Certificate,
        algorithm: SignatureAlgorithm,
        memo: Option<&ChainMemo>,
    ) -> Result<(), SignatureFault> {
        let inside = self.parsed.tbs_cert_list.signature.to_der();
        if inside.as_deref() != Ok(self.algorithm.as_slice()) {
            return Err(SignatureFault::AlgorithmsDiffer);
        }
        if SignatureAlgorithm::of_der(&self.algorithm)? != algorithm {
            return Err(SignatureFault::OtherAlgorithm(algorithm));
        }
        let signature = self.parsed.signature.as_bytes();
        let signature = signature.ok_or(SignatureFault::Invalid)?;
        if self.issuer != issuer.subject() || !issuer.may_sign_crls() {
            return Err(SignatureFault::Invalid);
        }
        let key = issuer.public_key();
        match memo {
            Some(memo) => memo.verify(&self.sha256, issuer.spki_sha256(), algorithm, || {
                key.verify(algorithm, &self.body, signature)
            }),
            None => key.verify(algorithm, &self.body, signature),
        }
    }

    /// When it was made and until when a newer one is promised. A list without a promise is never
    /// fresh.
    #[must_use]
    pub fn is_fresh_at(&self, now_secs: u64) -> bool {
        let list = &self.parsed.tbs_cert_list;
        let until = list.next_update.map(unix_secs);
        unix_secs(list.this_update) <= now_secs && until.is_some_and(|until| now_secs <= until)
    }

    /// When it was made, in seconds since 1970. Of two lists the later one counts.
    #[must_use]
    pub fn made_at_secs(&self) -> u64 {
        unix_secs(self.parsed.tbs_cert_list.this_update)
    }

    /// Whether the list names the certificate by its serial number.
    #[must_use]
    pub fn revokes(&self, certificate: &Certificate) -> bool {
        let revoked = self.parsed.tbs_cert_list.revoked_certificates.as_deref();
        let mut serials = revoked.unwrap_or_default().iter().map(|r| &r.serial_number);
        serials.any(|serial| serial.as_bytes() == certificate.serial())
    }
}

fn form(error: der::Error) -> CrlFault {
    CrlFault::Form(error.to_string())
}
