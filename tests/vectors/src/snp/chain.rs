//! The test PKI in the shape of AMD's (57230): a root, an intermediate, a chip's or a cloud's key,
//! and a revocation list.

use super::{NOW_SECS, ReportDraft, SignedChain};
use crate::asn1::{CertificateDraft, CrlDraft, ExtensionDraft, integer, sequence, tlv};
use crate::keys::{EcKey, RsaKey, Salt};
use nitride_verify::evidence::{Certificates, SnpProduct};

/// The extensions that AMD certifies a key's place and versions by.
pub(super) const PRODUCT_NAME: &str = "1.3.6.1.4.1.3704.1.2";
/// See [`PRODUCT_NAME`].
pub(super) const SNP_VERSION: &str = "1.3.6.1.4.1.3704.1.3.3";
/// See [`PRODUCT_NAME`].
pub(super) const HARDWARE_ID: &str = "1.3.6.1.4.1.3704.1.4";
/// See [`PRODUCT_NAME`].
pub(super) const CSP_ID: &str = "1.3.6.1.4.1.3704.1.5";
/// RFC 5280, 4.2.1.9.
pub(super) const BASIC_CONSTRAINTS: &str = "2.5.29.19";
/// RFC 5280, 4.2.1.3.
pub(super) const KEY_USAGE: &str = "2.5.29.15";

/// Where the VEK goes once it is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Vcek,
    Vlek,
}

/// A chain before it is signed.
#[derive(Debug, Clone)]
pub struct ChainDraft {
    /// The ARK.
    pub root: CertificateDraft,
    /// The ASK or ASVK.
    pub intermediate: CertificateDraft,
    /// The VCEK or VLEK.
    pub vek: CertificateDraft,
    /// The revocation list, if there is one.
    pub crl: Option<CrlDraft>,
    /// A second list of the root's.
    pub further_crl: Option<CrlDraft>,
    /// When the list was fetched.
    pub crl_obtained_at_secs: u64,
    kind: Kind,
}

impl ChainDraft {
    /// The chain of a chip's own key.
    #[must_use]
    pub fn vcek(product: SnpProduct, report: &ReportDraft) -> Self {
        let mut extensions = versions(product, report);
        let stepping = match product {
            SnpProduct::Milan => "Milan-B0",
            SnpProduct::Genoa => "Genoa-B1",
            SnpProduct::Turin => "Turin",
        };
        extensions.push((PRODUCT_NAME, false, ia5(stepping)));
        let chip = report.chip_id.get(..product.chip_id_len());
        extensions.push((HARDWARE_ID, false, chip.unwrap_or_default().to_vec()));
        let intermediate = format!("SEV-{product}");
        Self::of(Kind::Vcek, product, &intermediate, "SEV-VCEK", extensions)
    }

    /// The chain of a cloud's key.
    #[must_use]
    pub fn vlek(product: SnpProduct, report: &ReportDraft) -> Self {
        let mut extensions = versions(product, report);
        extensions.push((PRODUCT_NAME, false, ia5(product.as_str())));
        extensions.push((CSP_ID, false, ia5("CN=test.example")));
        let intermediate = format!("SEV-VLEK-{product}");
        Self::of(Kind::Vlek, product, &intermediate, "SEV-VLEK", extensions)
    }

    fn of(
        kind: Kind,
        product: SnpProduct,
        intermediate: &str,
        vek: &str,
        extensions: Vec<ExtensionDraft>,
    ) -> Self {
        let root = format!("ARK-{product}");
        let authority = |path: Option<u64>, usage: &[u8]| -> Vec<ExtensionDraft> {
            let path = path.map(integer).unwrap_or_default();
            let constraints = sequence(&[&tlv(0x01, &[0xFF]), &path]);
            vec![
                (BASIC_CONSTRAINTS, true, constraints),
                (KEY_USAGE, true, tlv(0x03, usage)),
            ]
        };
        let certificate = |issuer: &str, subject: &str, spki, extensions| CertificateDraft {
            version: 3,
            serial: 0x0001_0000,
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            not_before: "250101000000Z",
            not_after: "330101000000Z",
            spki,
            extensions,
            salt: Salt::Len48,
            spoil_signature: false,
        };
        Self {
            // keyCertSign and cRLSign; of the intermediate keyCertSign alone, as AMD has it.
            root: certificate(
                &root,
                &root,
                RsaKey::root().spki(),
                authority(None, &[1, 0b0000_0110]),
            ),
            intermediate: CertificateDraft {
                serial: 0x0001_0001,
                ..certificate(
                    &root,
                    intermediate,
                    RsaKey::intermediate().spki(),
                    authority(Some(0), &[2, 0b0000_0100]),
                )
            },
            vek: CertificateDraft {
                serial: 0,
                ..certificate(intermediate, vek, EcKey::p384().spki(), extensions)
            },
            crl: Some(CrlDraft {
                issuer: root,
                this_update: "261101000000Z",
                next_update: "271101000000Z",
                revoked: vec![0x0009_9999],
                spoil_signature: false,
            }),
            further_crl: None,
            crl_obtained_at_secs: NOW_SECS - 3600,
            kind,
        }
    }

    /// Signs from the root down.
    pub(super) fn sign(&self) -> SignedChain {
        let vek = Some(self.vek.sign(RsaKey::intermediate()));
        let certificates = match self.kind {
            Kind::Vcek => Certificates {
                vcek: vek,
                ..Certificates::default()
            },
            Kind::Vlek => Certificates {
                vlek: vek,
                ..Certificates::default()
            },
        };
        SignedChain {
            root: self.root.sign(RsaKey::root()),
            intermediate: self.intermediate.sign(RsaKey::root()),
            certificates,
            crls: self
                .crl
                .iter()
                .chain(&self.further_crl)
                .map(|crl| crl.sign(RsaKey::root()))
                .collect(),
        }
    }
}

/// The versions of the reported TCB.
fn versions(product: SnpProduct, report: &ReportDraft) -> Vec<ExtensionDraft> {
    let number = |value: u8| integer(u64::from(value));
    let (fmc, [bootloader, tee, snp, microcode]) = match (product, report.reported_tcb) {
        (SnpProduct::Turin, [fmc, bootloader, tee, snp, .., microcode]) => {
            (Some(fmc), [bootloader, tee, snp, microcode])
        }
        (_, [bootloader, tee, .., snp, microcode]) => (None, [bootloader, tee, snp, microcode]),
    };
    let mut extensions = vec![
        ("1.3.6.1.4.1.3704.1.1", false, number(0)),
        ("1.3.6.1.4.1.3704.1.3.1", false, number(bootloader)),
        ("1.3.6.1.4.1.3704.1.3.2", false, number(tee)),
        (SNP_VERSION, false, number(snp)),
        ("1.3.6.1.4.1.3704.1.3.8", false, number(microcode)),
    ];
    if let Some(fmc) = fmc {
        extensions.push(("1.3.6.1.4.1.3704.1.3.9", false, number(fmc)));
    }
    extensions
}

/// IA5String.
pub(super) fn ia5(text: &str) -> Vec<u8> {
    tlv(0x16, text.as_bytes())
}
