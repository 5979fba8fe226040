use crate::Tee;
use crate::settings::EventLog;
use crate::tpm::{InvalidTpmQuote, QuoteKey, TpmQuoteSettings};
use std::path::PathBuf;
use tss_esapi::tcti_ldr::TctiNameConf;

/// How a confidential VM on Azure is asked: by its virtual TPM, and by the metadata service for what that
/// has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureSettings {
    pub(super) hardware: AzureHardware,
    pub(super) tpm: TpmQuoteSettings,
    /// For people.
    pub(super) named: String,
    pub(super) user_data: UserData,
    pub(super) metadata_socket: PathBuf,
}

/// What is below the paravisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AzureHardware {
    /// AMD SEV-SNP.
    Snp,
    /// Intel TDX.
    Tdx,
}

/// Whether the paravisor's report names the challenge, as the quote of its TPM does in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UserData {
    /// It does: evidence of version 2, for which the paravisor makes a new report, in about three seconds.
    #[default]
    Bound,
    /// It says what was written last: evidence of version 1, made at once.
    AsItIs,
}

impl AzureHardware {
    /// Which kind of evidence it gives.
    #[must_use]
    pub fn tee(self) -> Tee {
        match self {
            Self::Snp => Tee::AzSnpVtpm,
            Self::Tdx => Tee::AzTdxVtpm,
        }
    }
}

impl AzureSettings {
    /// Whether quotes are of the TPM behind `tcti`, and over its PCR `number`.
    pub(crate) fn quotes(&self, tcti: &TctiNameConf, number: u8) -> bool {
        self.tpm.quotes(tcti, number)
    }

    /// Of the TPM behind `tcti` (`device:/dev/tpmrm0`), with the metadata service behind a socket.
    pub fn new(
        hardware: AzureHardware,
        tcti: &str,
        user_data: UserData,
        metadata_socket: PathBuf,
    ) -> Result<Self, InvalidTpmQuote> {
        // Of these, the key and the files are not what is asked by.
        let (key, log) = (QuoteKey::Rsa2048, EventLog::Omitted);
        Ok(Self {
            hardware,
            tpm: TpmQuoteSettings::new(tcti, None, key, log, Vec::new())?,
            named: format!("the TPM at {tcti}"),
            user_data,
            metadata_socket,
        })
    }

    /// What is below the paravisor.
    #[must_use]
    pub fn hardware(&self) -> AzureHardware {
        self.hardware
    }

    /// Whether commands go to a device of the kernel and not over a socket.
    #[must_use]
    pub fn is_device(&self) -> bool {
        self.tpm.is_device()
    }

    /// That device, if it is one.
    #[must_use]
    pub fn device(&self) -> Option<PathBuf> {
        self.tpm.device()
    }
}
