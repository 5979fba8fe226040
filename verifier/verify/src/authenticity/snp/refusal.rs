//! Why an SEV-SNP report is not authentic.

use crate::evidence::{ReportLengthFault, SnpProduct};
use crate::x509::{CertificateFault, CrlFault, SignatureFault};
use thiserror::Error;

/// Why an SEV-SNP report is not authentic.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SnpRefusal {
    /// Check 1.
    #[error(transparent)]
    Length(#[from] ReportLengthFault),
    /// Check 2.
    #[error("report version {0} is not known; versions 2 to 5 are")]
    Version(u32),
    /// Check 3.
    #[error("signature algorithm {0} is not known; 1 is ECDSA over P-384 with SHA-384")]
    SignatureAlgorithm(u32),
    /// Check 4.
    #[error("signing key {0} is neither the VCEK (0) nor the VLEK (1)")]
    SigningKey(u32),
    /// Check 4.
    #[error("MASK_CHIP_KEY is set, so that no key of the chip signed this report")]
    ChipKeyMasked,
    /// Check 5.
    #[error("processor family {family:#04x} model {model:#04x} is no product that is known")]
    Product {
        /// CPUID's family.
        family: u8,
        /// CPUID's model.
        model: u8,
    },
    /// A certificate that is needed came neither with the evidence nor as collateral.
    #[error("no {0} certificate is at hand; fetch it as collateral, or have the guest send it")]
    CertificateMissing(&'static str),
    /// A certificate is not well formed.
    #[error("the {which} certificate is not usable")]
    Certificate {
        /// Which.
        which: &'static str,
        /// Why.
        #[source]
        fault: CertificateFault,
    },
    /// Check 6.
    #[error("the root certificate, SHA-256 {sha256}, is not the one pinned for {product}")]
    RootNotPinned {
        /// The product.
        product: SnpProduct,
        /// The digest in hexadecimal.
        sha256: String,
    },
    /// Checks 7 and 9.
    #[error("the {which} certificate is not signed by the one above it")]
    CertificateSignature {
        /// Which.
        which: &'static str,
        /// Why.
        #[source]
        fault: SignatureFault,
    },
    /// Check 8.
    #[error("the intermediate is {found:?}; a report of this signing key needs {wanted:?}")]
    IntermediateKind {
        /// Its common name.
        found: String,
        /// The name that it has to have.
        wanted: String,
    },
    /// Check 8.
    #[error("the {0} certificate is not that of a certification authority at its place")]
    NotAuthority(&'static str),
    /// Check 8.
    #[error("the key usage of the {0} certificate does not let it sign certificates")]
    KeyUsage(&'static str),
    /// Check 9.
    #[error(
        "the {which} certificate has the critical extension {oid}, which nothing here understands"
    )]
    CriticalExtension {
        /// Which.
        which: &'static str,
        /// The extension.
        oid: String,
    },
    /// Check 10.
    #[error(
        "the {which} certificate is valid from {from_secs} to {to_secs} and not at {now_secs} \
         (seconds since 1970)"
    )]
    Dates {
        /// Which.
        which: &'static str,
        /// The first second.
        from_secs: u64,
        /// The last.
        to_secs: u64,
        /// The caller's clock.
        now_secs: u64,
    },
    /// Check 11.
    #[error("the VEK certificate is not of version 3")]
    VekVersion,
    /// Check 11.
    #[error("the VEK's public key is not one over P-384")]
    VekKey,
    /// Check 11.
    #[error("the VEK's common name is {found:?}, not {wanted:?}")]
    VekCommonName {
        /// Its common name.
        found: String,
        /// The name that it has to have.
        wanted: &'static str,
    },
    /// Check 12.
    #[error("no revocation list is at hand, and policy line {line} wants one")]
    CrlMissing {
        /// The policy's line.
        line: u32,
    },
    /// Check 12.
    #[error("the revocation list is not usable")]
    Crl(#[source] CrlFault),
    /// Check 12.
    #[error("the revocation list is not signed by the root")]
    CrlSignature(#[source] SignatureFault),
    /// Check 12.
    #[error("the revocation list is out of date: {0}")]
    CrlNotFresh(String),
    /// Check 12.
    #[error("the {0} certificate is revoked")]
    Revoked(&'static str),
    /// Check 13.
    #[error("the VEK certificate is for product {found:?}, the report of {wanted}")]
    VekProduct {
        /// What its extension says.
        found: String,
        /// What the report says.
        wanted: SnpProduct,
    },
    /// Check 14.
    #[error("the chip id of the report is not that of the VCEK certificate")]
    ChipId,
    /// Check 14.
    #[error("the chip id is masked, and policy line {line} does not accept that")]
    ChipIdMasked {
        /// The policy's line.
        line: u32,
    },
    /// Check 14.
    #[error("the VLEK certificate does not say which cloud it is for")]
    CspId,
    /// Check 15.
    #[error("{component} of the reported TCB is {reported}, of the VEK certificate {certified}")]
    ReportedTcb {
        /// Which component.
        component: &'static str,
        /// In the report.
        reported: String,
        /// In the certificate.
        certified: String,
    },
    /// Check 16.
    #[error("the signature's field {0}")]
    SignatureForm(&'static str),
    /// Check 16.
    #[error("the signature is not the VEK's over this report")]
    Signature,
    /// Check 20.
    #[error("the report is of VMPL {0}: no guest asked for it")]
    Requester(u32),
    /// Check 17.
    #[error("{0} are reserved in this version, and not zero")]
    Reserved(&'static str),
}
