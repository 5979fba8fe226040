use crate::Tee;
use crate::az::AzureSettings;
use crate::gpu::GpuSettings;
use crate::phase::PhaseRegister;
use crate::tpm::TpmQuoteSettings;

/// What a configured TEE is asked by.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settings {
    /// AMD SEV-SNP.
    Snp(SnpSettings),
    /// Intel TDX.
    Tdx(TdxSettings),
    /// A TPM 2.0 alone.
    Tpm(TpmQuoteSettings),
    /// A confidential VM on Azure.
    Azure(AzureSettings),
    /// NVIDIA's devices beside a machine.
    Gpu(GpuSettings),
    /// A TEE that this build has no collector for.
    Other(Tee),
}

impl Settings {
    /// Whether evidence made so has what `register` holds. SEV-SNP has no register that a guest extends.
    #[must_use]
    pub fn shows(&self, register: &PhaseRegister) -> bool {
        match (self, register) {
            (Self::Tdx(_), PhaseRegister::Rtmr(_)) => true,
            (Self::Tpm(settings), PhaseRegister::Pcr { tcti, number }) => {
                settings.quotes(tcti, *number)
            }
            (Self::Azure(settings), PhaseRegister::Pcr { tcti, number }) => {
                settings.quotes(tcti, *number)
            }
            _ => false,
        }
    }

    /// Which kind of evidence they are for.
    #[must_use]
    pub fn tee(&self) -> Tee {
        match self {
            Self::Snp(_) => Tee::Snp,
            Self::Tdx(_) => Tee::Tdx,
            Self::Tpm(_) => Tee::Tpm,
            Self::Azure(settings) => settings.hardware().tee(),
            Self::Gpu(_) => Tee::Nvidia,
            Self::Other(tee) => *tee,
        }
    }
}

/// How SEV-SNP is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SnpSettings {
    /// By which of the kernel's two interfaces.
    pub interface: SnpInterface,
    /// For which VMPL, 0 to 3. Not stated, it is the least that the interface gives a report of.
    pub vmpl: Option<u32>,
}

/// The kernel's interfaces to the firmware of SEV-SNP. Both give the same report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SnpInterface {
    /// configfs-tsm where it serves SEV-SNP, else the guest device; which it was is logged.
    #[default]
    FirstFound,
    /// configfs-tsm (Linux 6.7).
    ConfigfsTsm,
    /// `/dev/sev-guest` (Linux 5.19).
    SevGuest,
}

/// How TDX is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TdxSettings {
    /// What of the firmware's event log goes with the quote.
    pub event_log: EventLog,
}

/// What is done about the firmware's event log (CCEL), which says how RTMRs came to their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventLog {
    /// No evidence without it.
    Required,
    /// It is sent if it can be read, else a warning is.
    #[default]
    IfThere,
    /// It stays here.
    Omitted,
}
