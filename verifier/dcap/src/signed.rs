//! Whether collateral is signed under a root that is pinned, and no older than what is at hand: for
//! whoever replaces one by the other. A judgement verifies all of it again.

use crate::collateral::PlatformCollateral;
use nitride_verify::x509::{Certificate, Crl, SignatureAlgorithm};
use nitride_verify::{Budget, TdxTrust};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;

const ROOT_CRL: &str = "root's revocation list";
const PCK_CRL: &str = "PCK revocation list";
const TCB_INFO: &str = "TCB information";
const QE_IDENTITY: &str = "QE identity";

/// Why collateral is not to replace anything.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Distrust {
    /// Its signer is not the root's, or did not sign it, or its dates do not include now.
    #[error("the {part} of Intel's collateral does not hold: {reason}")]
    DoesNotHold {
        /// Which part.
        part: &'static str,
        /// Why.
        reason: String,
    },
    /// What is at hand was made later.
    #[error("the {part} of Intel's collateral is older than the one that is at hand")]
    Older {
        /// Which part.
        part: &'static str,
    },
}

/// The lists, and the certificates of all who signed, the root's last.
struct Signed {
    root_crl: Crl,
    pck_crl: Crl,
    signers: Vec<(&'static str, Certificate)>,
    pck_authority: Vec<u8>,
}

impl PlatformCollateral {
    /// Verifies that TCB information, QE identity and both revocation lists are signed under one root
    /// that is pinned, by nobody whom the root has revoked, and that lists and certificates are of
    /// `now_secs`. The list of PCK certificates is that of `pck_authority`, by its common name: the
    /// other authority's, signed as well, says nothing of this platform.
    ///
    /// # Errors
    ///
    /// [`Distrust::DoesNotHold`].
    pub fn verify(
        &self,
        pck_authority: &str,
        trust: &TdxTrust<'_>,
        now_secs: u64,
    ) -> Result<(), Distrust> {
        let signed = self.signed_under(trust)?;
        let mut names = signed.pck_authority.windows(pck_authority.len().max(1));
        if !names.any(|name| name == pck_authority.as_bytes()) {
            return Err(no(PCK_CRL, "it is of another authority than was asked for"));
        }
        signed.is_revoked_by(&signed.root_crl)?;
        for (part, certificate) in &signed.signers {
            if !certificate.is_valid_at(now_secs) {
                return Err(no(part, "a certificate's dates do not include now"));
            }
        }
        for (part, list) in [(ROOT_CRL, &signed.root_crl), (PCK_CRL, &signed.pck_crl)] {
            if !list.is_fresh_at(now_secs) {
                return Err(no(part, "its dates do not include now"));
            }
        }
        Ok(())
    }

    /// Verifies that no part is older than in `known`: lists by the time they were made, TCB
    /// information and QE identity by evaluation number and then date. What is `known` counts
    /// only if it is signed under a root that is pinned, by nobody whom this root's list has revoked.
    ///
    /// # Errors
    ///
    /// [`Distrust`].
    pub fn verify_not_older(&self, known: &Self, trust: &TdxTrust<'_>) -> Result<(), Distrust> {
        let own = self.signed_under(trust)?;
        let Ok(other) = known.signed_under(trust) else {
            return Ok(());
        };
        let older = |part| Err(Distrust::Older { part });
        // Before revocations are looked at: an older list may not name who was revoked since.
        if own.root_crl.made_at_secs() < other.root_crl.made_at_secs() {
            return older(ROOT_CRL);
        }
        if other.is_revoked_by(&own.root_crl).is_err() {
            return Ok(());
        }
        // There are two authorities, whose lists say nothing about one another.
        if own.pck_authority == other.pck_authority
            && own.pck_crl.made_at_secs() < other.pck_crl.made_at_secs()
        {
            return older(PCK_CRL);
        }
        let of_tcb = |of: &Self| {
            let info = &of.tcb_info;
            (info.tcb_evaluation_data_number, info.issue_date.clone())
        };
        if of_tcb(self) < of_tcb(known) {
            return older(TCB_INFO);
        }
        let of_qe = |of: &Self| {
            let identity = &of.qe_identity;
            let number = identity.tcb_evaluation_data_number;
            (number, identity.issue_date.clone())
        };
        if of_qe(self) < of_qe(known) {
            return older(QE_IDENTITY);
        }
        Ok(())
    }

    fn signed_under(&self, trust: &TdxTrust<'_>) -> Result<Signed, Distrust> {
        let parts = &self.signed;
        let mut budget = Budget::for_one_round();
        let mut chain = |part, pem: &str| chain(part, pem, trust, &mut budget);
        let (tcb_signer, root) = chain(TCB_INFO, &parts.tcb_info_issuer_chain)?;
        let (qe_signer, qe_root) = chain(QE_IDENTITY, &parts.qe_identity_issuer_chain)?;
        let (authority, pck_root) = chain(PCK_CRL, &parts.pck_crl_issuer_chain)?;
        for (part, other) in [(QE_IDENTITY, qe_root), (PCK_CRL, pck_root)] {
            if other.sha256() != root.sha256() {
                return Err(no(part, "it is signed under another root than the rest"));
            }
        }
        let root_crl = list(ROOT_CRL, &parts.root_ca_crl, &root)?;
        let pck_crl = list(PCK_CRL, &parts.pck_crl, &authority)?;
        let (info, identity) = (&self.tcb_info, &self.qe_identity);
        for (part, signer, text, signature, (id, wanted), date) in [
            (
                TCB_INFO,
                &tcb_signer,
                &parts.tcb_info,
                &parts.tcb_info_signature,
                (&info.id, "TDX"),
                &info.issue_date,
            ),
            (
                QE_IDENTITY,
                &qe_signer,
                &parts.qe_identity,
                &parts.qe_identity_signature,
                (&identity.id, "TD_QE"),
                &identity.issue_date,
            ),
        ] {
            if !signer.may_sign_data() {
                return Err(no(part, "its signer may not sign data"));
            }
            signer
                .public_key()
                .verify(
                    SignatureAlgorithm::EcdsaP256Fixed,
                    text.as_bytes(),
                    signature,
                )
                .map_err(|fault| no(part, fault))?;
            if id != wanted {
                return Err(no(part, format!("it is called {id:?}, not {wanted:?}")));
            }
            if !is_date(date) {
                return Err(no(part, "its issueDate is not of Intel's form"));
            }
        }
        Ok(Signed {
            root_crl,
            pck_crl,
            pck_authority: authority.subject().to_vec(),
            signers: vec![
                (TCB_INFO, tcb_signer),
                (QE_IDENTITY, qe_signer),
                (PCK_CRL, authority),
                (ROOT_CRL, root),
            ],
        })
    }
}

impl Signed {
    fn is_revoked_by(&self, root_crl: &Crl) -> Result<(), Distrust> {
        let mut signers = self.signers.iter();
        match signers.find(|(_, signer)| root_crl.revokes(signer)) {
            Some((part, _)) => Err(no(part, "its signer is revoked")),
            None => Ok(()),
        }
    }
}

/// A signer and the root that signed it, which has to be pinned: so long are all of Intel's chains.
fn chain(
    part: &'static str,
    pem: &str,
    trust: &TdxTrust<'_>,
    budget: &mut Budget,
) -> Result<(Certificate, Certificate), Distrust> {
    let ders: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .take(3)
        .collect();
    let ders = ders.map_err(|_| no(part, "its issuers are not PEM"))?;
    let [signer, root] = ders.as_slice() else {
        return Err(no(part, "its issuers are not one signer and a root"));
    };
    let mut parse = |der| Certificate::parse(der, budget).map_err(|fault| no(part, fault));
    let (signer, root) = (parse(signer)?, parse(root)?);
    if trust.anchor(root.as_der()).is_none() {
        let digest = base16ct::lower::encode_string(root.sha256());
        let reason = format!("its root is not Intel's; its SHA-256 is {digest}");
        return Err(no(part, reason));
    }
    for certificate in [&root, &signer] {
        certificate
            .verify_signed_by(&root, SignatureAlgorithm::EcdsaP256, None)
            .map_err(|fault| no(part, fault))?;
    }
    Ok((signer, root))
}

fn list(part: &'static str, der: &[u8], issuer: &Certificate) -> Result<Crl, Distrust> {
    let list = Crl::parse(der, &mut Budget::for_one_round()).map_err(|fault| no(part, fault))?;
    list.verify_signed_by(issuer, SignatureAlgorithm::EcdsaP256, None)
        .map_err(|fault| no(part, fault))?;
    Ok(list)
}

/// `2026-06-01T00:00:00Z`: of this one form the order of the text is that of time.
fn is_date(text: &str) -> bool {
    let form = b"0000-00-00T00:00:00Z";
    text.len() == form.len()
        && text.bytes().zip(form).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            other => byte == *other,
        })
}

fn no(part: &'static str, reason: impl ToString) -> Distrust {
    let reason = reason.to_string();
    Distrust::DoesNotHold { part, reason }
}

#[cfg(test)]
mod tests {
    use super::is_date;

    #[test]
    fn dates_of_one_form_are_compared_and_no_others() {
        assert!(is_date("2026-06-01T00:00:00Z"));
        for other in [
            "",
            "2026-06-01",
            "2026-06-01T00:00:00+00:00",
            "2026-6-01T00:00:00.0Z",
        ] {
            assert!(!is_date(other), "{other}");
        }
    }
}
