//! What the attester alleges, and what the verifier expects of it. Parsing only: nothing here says
//! whether any of it is true.

mod azure;
pub mod ccel;
mod certificate_table;
mod cursor;
mod expected;
mod field;
pub(crate) mod gpu;
pub mod hcl;
mod kbs_form;
mod sample;
mod snp;
mod snp_product;
mod snp_report;
pub mod spdm;
mod tdx;
pub mod tdx_quote;
mod tee;
mod tpm;
mod tpm_quote;
pub mod tpms_attest;
mod tpmt_public;

pub use azure::{AzureAllegation, AzureHardware, HclRuntime, HclRuntimeMalformed};
pub use certificate_table::{CertificateTableFault, Certificates};
pub use expected::{
    DeviceNonce, Expected, InitDataDigest, InitDataFault, ReportData, ReportDataTooLong,
};
pub use gpu::{GpuAllegation, MAX_DEVICES};
pub use sample::SampleAllegation;
pub use snp::SnpAllegation;
pub use snp_product::{SnpProduct, Tcb, Tcbs};
pub use snp_report::{
    FirmwareVersion, GuestPolicy, RawTcb, ReportLengthFault, SNP_REPORT_LEN, SnpReport,
};
pub use tdx::TdxAllegation;
pub use tee::Tee;
pub use tpm::TpmAllegation;
pub use tpm_quote::TpmQuote;
pub use tpms_attest::PCR_COUNT;
pub use tpmt_public::{PublicMalformed, TpmKey, TpmPublic, tpm_name};

pub(crate) use kbs_form::read;
pub(crate) use snp_report::is_set;

/// Evidence as it came in, in the KBS forms: an allegation until [`crate::authenticity::verify`].
#[derive(Debug, Clone, Copy)]
pub struct UnverifiedEvidence<'a> {
    /// The TEE that the challenge was made for; the evidence is read in this form and no other.
    pub tee: Tee,
    /// `tee-evidence.primary_evidence`, the JSON text as received.
    pub primary: &'a str,
    /// `tee-evidence.additional_evidence`, JSON in a string, `""` without devices.
    pub additional: &'a str,
}

/// Evidence out of its transport's form: raw bytes of the platform, from the KBS JSON or from
/// files.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Allegation {
    /// Without hardware.
    Sample(SampleAllegation),
    /// A SEV-SNP report.
    Snp(Box<SnpAllegation>),
    /// A TDX quote.
    Tdx(TdxAllegation),
    /// A confidential VM on Azure, by its virtual TPM.
    Azure(Box<AzureAllegation>),
    /// One device beside a confidential VM. Alone it is no evidence of a machine.
    Gpu(GpuAllegation),
    /// A TPM 2.0 alone.
    Tpm(Box<TpmAllegation>),
}

impl Allegation {
    /// The TEE whose evidence it alleges to be.
    #[must_use]
    pub const fn tee(&self) -> Tee {
        match self {
            Self::Sample(_) => Tee::Sample,
            Self::Snp(_) => Tee::Snp,
            Self::Tdx(_) => Tee::Tdx,
            Self::Azure(azure) => azure.tee(),
            Self::Gpu(_) => Tee::Nvidia,
            Self::Tpm(_) => Tee::Tpm,
        }
    }
}
