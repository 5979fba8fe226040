//! The test PKI of attestation keys: a root, an intermediate, and the key's own certificate.

use crate::asn1::{CertificateDraft, ExtensionDraft, oid, sequence, tlv};
use crate::keys::{EcKey, RsaKey, Salt};

const BASIC_CONSTRAINTS: &str = "2.5.29.19";
/// RFC 5280, 4.2.1.3.
pub(super) const KEY_USAGE: &str = "2.5.29.15";
/// RFC 5280, 4.2.1.12.
pub(super) const EXTENDED_KEY_USAGE: &str = "2.5.29.37";

/// Certificates before they are signed.
#[derive(Debug, Clone)]
pub struct ChainDraft {
    /// Signed by itself.
    pub root: CertificateDraft,
    /// Signed by the root.
    pub intermediate: CertificateDraft,
    /// Signed by the intermediate.
    pub leaf: CertificateDraft,
}

impl ChainDraft {
    /// A chain that passes every check.
    #[must_use]
    pub fn good() -> Self {
        // keyCertSign; digitalSignature.
        let authority = [&[2, 0b0000_0100][..], &[7, 0b1000_0000]];
        let [authority, signs] = authority.map(|usage| (KEY_USAGE, true, tlv(0x03, usage)));
        let constraints = sequence(&[&tlv(0x01, &[0xFF])]);
        let authority = vec![(BASIC_CONSTRAINTS, true, constraints), authority];
        let root = RsaKey::root().spki();
        let intermediate = RsaKey::intermediate().spki();
        Self {
            root: certificate("TPM root", "TPM root", root, authority.clone()),
            intermediate: certificate("TPM root", "TPM keys", intermediate, authority),
            leaf: certificate("TPM keys", "AK", EcKey::p256().spki(), vec![signs]),
        }
    }

    /// The key's own says, critically, that it is a TPM's for attestation.
    #[must_use]
    pub fn for_attestation(mut self) -> Self {
        let usage = sequence(&[&oid("2.23.133.8.3")]);
        self.leaf.extensions.push((EXTENDED_KEY_USAGE, true, usage));
        self
    }

    /// In the order of the evidence: the key's first.
    #[must_use]
    pub fn sign(&self) -> Vec<Vec<u8>> {
        vec![
            self.leaf.sign(RsaKey::intermediate()),
            self.intermediate.sign(RsaKey::root()),
            self.root.sign(RsaKey::root()),
        ]
    }
}

fn certificate(
    issuer: &str,
    subject: &str,
    spki: Vec<u8>,
    extensions: Vec<ExtensionDraft>,
) -> CertificateDraft {
    CertificateDraft {
        version: 3,
        serial: 1,
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        not_before: "250101000000Z",
        not_after: "330101000000Z",
        spki,
        extensions,
        salt: Salt::Len48,
        spoil_signature: false,
    }
}
