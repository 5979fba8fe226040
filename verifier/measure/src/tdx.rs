//! TDX: MRTD of an OVMF image, and RTMR1 and RTMR2 of QEMU's direct boot.
//!
//! [`mr_td`] covers the firmware alone. [`direct_boot`] covers kernel, initrd and command line on
//! one boot path: QEMU is given `-kernel` (and `-initrd`, `-append`), OVMF loads the kernel as an
//! EFI application from QEMU's files (`QemuKernelLoaderFsDxe`, `GenericQemuLoadImageLib`), and the
//! kernel's EFI stub (Linux 6.9 and later, which measures by the confidential computing protocol)
//! measures its command line and the initrd.
//!
//! What is not predicted: RTMR0 (the hand-off block with the machine's memory, variables, ACPI
//! tables: the hypervisor's), RTMR3 (the guest's own), a boot from a disk (its partition table and
//! boot entries go into RTMR0 and RTMR1), and a kernel whose header QEMU fills in before the firmware
//! sees it: QEMU that has no unchanged copy for the firmware (`etc/boot/kernel`), or firmware that
//! does not ask for it. ACPI tables are the host's whatever is measured, and the kernel runs their
//! code: only RTMR0 has them.

mod direct_boot;
mod launch;
mod metadata;

use crate::firmware::FirmwareFault;
use crate::pe::PeFault;
pub use direct_boot::{DirectBoot, InitrdArgument, Rtmrs, direct_boot};
pub use launch::{PageOrder, mr_td};
use thiserror::Error;

/// Why nothing can be predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TdxFault {
    /// The image.
    #[error(transparent)]
    Firmware(#[from] FirmwareFault),
    /// It is built without TDX.
    #[error("the firmware has no metadata for TDX")]
    NoMetadata,
    /// The metadata do not add up.
    #[error("the firmware's metadata for TDX are malformed: {0}")]
    Metadata(&'static str),
    /// Of td-shim, or newer.
    #[error("the firmware's metadata for TDX have a section of type {0}, which is not known")]
    SectionType(u32),
    /// The kernel's image.
    #[error("the kernel: {0}")]
    Kernel(PeFault),
    /// systemd-stub measures more than a kernel.
    #[error(
        "the kernel is a unified kernel image, whose measurements in a trust domain are not known"
    )]
    UnifiedKernelImage,
    /// It would end at the NUL.
    #[error("the command line has a NUL")]
    CommandLineNul,
    /// The firmware widens bytes to UTF-16 one by one.
    #[error("the command line has characters other than ASCII")]
    CommandLineNotAscii,
}
