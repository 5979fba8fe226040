use std::path::PathBuf;

/// Where the kernel's interfaces are. An argument, so that a test can bring others: no
/// configuration says it, since whoever could say it could have evidence taken from anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelPaths {
    /// The folder of configfs-tsm in which requests are made.
    pub tsm_reports: PathBuf,
    /// The guest device of SEV-SNP.
    pub sev_guest: PathBuf,
    /// The privilege level that the kernel runs at under SEV-SNP.
    pub sev_vmpl: PathBuf,
    /// The folder of the RTMRs of TDX (Linux 6.16).
    pub tdx_measurements: PathBuf,
    /// The folder of the ACPI tables, and of what they point to in `data/`.
    pub acpi_tables: PathBuf,
    /// The event log of the firmware beside a TPM.
    pub bios_measurements: PathBuf,
    /// The TPM that is looked at for what clouds keep in theirs, as its TCTI.
    pub tpm: String,
}

impl KernelPaths {
    /// Those of Linux.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self {
            tsm_reports: "/sys/kernel/config/tsm/report".into(),
            sev_guest: "/dev/sev-guest".into(),
            sev_vmpl: "/sys/devices/system/cpu/sev/vmpl".into(),
            tdx_measurements: "/sys/devices/virtual/misc/tdx_guest/measurements".into(),
            acpi_tables: "/sys/firmware/acpi/tables".into(),
            bios_measurements: "/sys/kernel/security/tpm0/binary_bios_measurements".into(),
            tpm: "device:/dev/tpmrm0".into(),
        }
    }
}
