//! The command line of `measure`.

use clap::{Args, Subcommand, ValueEnum};
use nitride_measure::snp::Hypervisor;
use nitride_measure::tdx::{InitrdArgument, PageOrder};
use nitride_measure::uki::InnerKernel;
use std::path::PathBuf;

/// One subcommand a kind of measurement. Whatever a value depends on is stated; nothing is guessed.
#[derive(Debug, Subcommand)]
pub(crate) enum MeasureVerb {
    /// SEV-SNP: the launch digest of OVMF and, by its hashes, of what QEMU boots directly
    Snp(MeasureSnp),
    /// TDX: MRTD of OVMF and, where QEMU boots a kernel directly, RTMR1 and RTMR2
    Tdx(MeasureTdx),
    /// A TPM's PCRs 2, 4, 8, 11, 12 and 13, where firmware boots a unified kernel image
    Uki(MeasureUki),
}

#[derive(Debug, Args)]
pub(crate) struct MeasureSnp {
    /// What the reference value is called in policies and verdicts
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// The image of OVMF
    #[arg(long, value_name = "FILE")]
    pub(crate) firmware: PathBuf,
    #[command(flatten)]
    pub(crate) boot: Boot,
    /// The processors' model as QEMU calls it, such as EPYC-Milan-v2
    #[arg(long, value_name = "TYPE")]
    pub(crate) vcpu_type: String,
    /// How many processors the guest has
    #[arg(long, value_name = "COUNT")]
    pub(crate) vcpus: u32,
    /// SEV_FEATURES in hexadecimal: 1 for SEV-SNP alone, 21 where debug registers are swapped
    #[arg(long, value_name = "HEX", value_parser = hexadecimal)]
    pub(crate) guest_features: u64,
    /// Who launches the guest; ec2 hashes no kernel
    #[arg(long, value_name = "NAME")]
    pub(crate) hypervisor: HypervisorName,
    /// What this OVMF does where it is served another kernel than the hashed one, or none: halts, as
    /// AmdSevX64 of edk2-stable202408 and later, or boots-on. Needed with --kernel. Try it: start
    /// with the hashes of one kernel and serve another
    #[arg(long, value_name = "WHAT", requires = "kernel")]
    pub(crate) wrong_kernel: Option<WrongKernelName>,
}

#[derive(Debug, Args)]
pub(crate) struct MeasureTdx {
    /// What the reference value is called in policies and verdicts
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// The image of OVMF, built for TDX
    #[arg(long, value_name = "FILE")]
    pub(crate) firmware: PathBuf,
    #[command(flatten)]
    pub(crate) boot: Boot,
    /// How the hypervisor adds pages: page is Linux 6.16 and later, section KVM before that
    #[arg(long, value_name = "ORDER")]
    pub(crate) page_order: PageOrderName,
    /// Where the firmware writes initrd=initrd into the command line
    #[arg(long, value_name = "PLACE", requires = "initrd")]
    pub(crate) initrd_argument: Option<InitrdArgumentName>,
}

/// What QEMU boots directly.
#[derive(Debug, Args)]
pub(crate) struct Boot {
    /// The kernel that QEMU is given; without one, the firmware alone is covered
    #[arg(long, value_name = "FILE", requires = "command_line")]
    pub(crate) kernel: Option<PathBuf>,
    /// The initrd that QEMU is given
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub(crate) initrd: Option<PathBuf>,
    /// The command line that QEMU is given, to the byte; it may be empty
    #[arg(long, value_name = "TEXT", requires = "kernel")]
    pub(crate) command_line: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct MeasureUki {
    /// What the reference value is called in policies and verdicts
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// The unified kernel image
    #[arg(value_name = "IMAGE")]
    pub(crate) image: PathBuf,
    /// What the firmware loads before it, each once and in this order: shim, systemd-boot. GRUB and
    /// others are refused, since no PCR here has what they start
    #[arg(long = "loader", value_name = "FILE")]
    pub(crate) loaders: Vec<PathBuf>,
    /// Whether firmware measures the kernel inside as well; an event log of the machine says so
    #[arg(long, value_name = "WHETHER")]
    pub(crate) inner_kernel: InnerKernelName,
    /// The phases that systemd has measured by then, such as
    /// enter-initrd:leave-initrd:sysinit:ready; empty for none
    #[arg(long, value_name = "PHASES")]
    pub(crate) phases: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HypervisorName {
    Qemu,
    Ec2,
}

impl From<HypervisorName> for Hypervisor {
    fn from(name: HypervisorName) -> Self {
        match name {
            HypervisorName::Qemu => Self::Qemu,
            HypervisorName::Ec2 => Self::Ec2,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WrongKernelName {
    Halts,
    BootsOn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PageOrderName {
    Page,
    Section,
}

impl From<PageOrderName> for PageOrder {
    fn from(name: PageOrderName) -> Self {
        match name {
            PageOrderName::Page => Self::PageByPage,
            PageOrderName::Section => Self::SectionBySection,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InitrdArgumentName {
    Before,
    After,
    Nowhere,
}

impl From<InitrdArgumentName> for InitrdArgument {
    fn from(name: InitrdArgumentName) -> Self {
        match name {
            InitrdArgumentName::Before => Self::Before,
            InitrdArgumentName::After => Self::After,
            InitrdArgumentName::Nowhere => Self::Nowhere,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InnerKernelName {
    Measured,
    NotMeasured,
}

impl From<InnerKernelName> for InnerKernel {
    fn from(name: InnerKernelName) -> Self {
        match name {
            InnerKernelName::Measured => Self::Measured,
            InnerKernelName::NotMeasured => Self::NotMeasured,
        }
    }
}

fn hexadecimal(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    // A sign is not hexadecimal, and Rust's parser takes one.
    let is_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u64::from_str_radix(digits, 16).ok();
    let number = number.filter(|_| is_digits);
    number.ok_or_else(|| "not up to 16 hexadecimal digits".to_owned())
}
