//! SEV-SNP: the launch digest (AMD 56860, "SNP_LAUNCH_UPDATE" and its page information).
//!
//! One boot path: a hypervisor loads OVMF alone and, where it is given a kernel, writes the hashes
//! of kernel, initrd and command line into OVMF's page for them (QEMU: `-kernel`, `-initrd`,
//! `-append` with `kernel-hashes=on`). The digest then has all four; whether it covers them is up to
//! the firmware. OVMF that is built for it (`AmdSevX64.dsc`) compares what it is served with the
//! hashes, and of edk2-stable202408 or later it halts where they differ; older OVMF goes on to its next
//! boot option, and OVMF that links `BlobVerifierLibNull` compares nothing. Nothing in an image says
//! which it is: whoever claims more than the firmware has to know. Without hashes the digest covers
//! the firmware alone, which boots whatever the host likes.

mod kernel_hashes;
mod launch_digest;
mod metadata;
mod vcpu;

use crate::firmware::{Firmware, FirmwareFault};
use kernel_hashes::KernelHashes;
use launch_digest::{LaunchDigest, PageType};
use metadata::{Metadata, SectionKind};
use thiserror::Error;
pub use vcpu::{Hypervisor, MAX_VCPUS, VcpuType};

/// What a guest is launched with.
#[derive(Debug, Clone, Copy)]
pub struct SnpLaunch<'a> {
    /// OVMF.
    pub firmware: &'a [u8],
    /// What is hashed into OVMF's page, if anything is.
    pub kernel: Option<SnpKernel<'a>>,
    /// Who writes the virtual processors' first state.
    pub hypervisor: Hypervisor,
    /// The processors' model.
    pub vcpu_type: VcpuType,
    /// How many there are.
    pub vcpus: u32,
    /// SEV_FEATURES of each (AMD 24593, table B-4): bit 0 is always set.
    pub guest_features: u64,
}

/// What QEMU hashes.
#[derive(Debug, Clone, Copy)]
pub struct SnpKernel<'a> {
    /// The file that `-kernel` names.
    pub kernel: &'a [u8],
    /// The file that `-initrd` names; empty where there is none, which is hashed all the same.
    pub initrd: &'a [u8],
    /// What stands after `-append`, to the byte.
    pub command_line: &'a str,
}

/// Why there is no launch digest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SnpFault {
    /// The image.
    #[error(transparent)]
    Firmware(#[from] FirmwareFault),
    /// It is for plain SEV, or for none.
    #[error("the firmware has no metadata for SEV-SNP")]
    NoMetadata,
    /// The metadata do not add up.
    #[error("the firmware's metadata for SEV-SNP are malformed: {0}")]
    Metadata(&'static str),
    /// A newer firmware.
    #[error("the firmware's metadata for SEV-SNP have a section of type {0}, which is not known")]
    SectionType(u32),
    /// The image is not built for direct boot.
    #[error("a kernel is given, and the firmware has no place for its hash")]
    NoPlaceForHashes,
    /// It would be hashed nowhere.
    #[error("a kernel is given, and EC2 writes no hashes of one")]
    NoHashesByEc2,
    /// It would end at the NUL.
    #[error("the command line has a NUL")]
    CommandLine,
    /// The image does not say where other processors start.
    #[error("the firmware has no reset block for SEV-ES")]
    NoResetBlock,
    /// None, or more than any machine has.
    #[error("{0} virtual processors are not between 1 and 4096")]
    Vcpus(u32),
    /// Not a name that QEMU has.
    #[error("virtual processors of type {0:?} are not known")]
    VcpuType(String),
    /// Every guest of SEV-SNP has it.
    #[error("the guest features {0:#x} lack bit 0, SEV-SNP itself")]
    GuestFeatures(u64),
}

/// MEASUREMENT of a guest's report, if it was launched with this.
///
/// # Errors
///
/// What of the firmware or of the request is not known here.
pub fn launch_digest(launch: &SnpLaunch<'_>) -> Result<[u8; 48], SnpFault> {
    if launch.guest_features & 1 == 0 {
        return Err(SnpFault::GuestFeatures(launch.guest_features));
    }
    if launch.kernel.is_some() && launch.hypervisor == Hypervisor::Ec2 {
        return Err(SnpFault::NoHashesByEc2);
    }
    let firmware = Firmware::parse(launch.firmware)?;
    let metadata = Metadata::read(&firmware)?;
    let hashes = launch.kernel.as_ref().map(KernelHashes::of).transpose()?;
    let mut digest = LaunchDigest::default();
    digest.firmware(firmware.bytes());
    add_sections(&mut digest, &metadata, hashes.as_ref(), launch.hypervisor)?;
    vcpu::add_states(&mut digest, launch, metadata.reset_address)?;
    Ok(digest.value())
}

fn add_sections(
    digest: &mut LaunchDigest,
    metadata: &Metadata,
    hashes: Option<&KernelHashes>,
    hypervisor: Hypervisor,
) -> Result<(), SnpFault> {
    // EC2 adds the page of CPUID after all others.
    let is_late = |kind| hypervisor == Hypervisor::Ec2 && kind == SectionKind::Cpuid;
    let early = metadata.sections.iter().filter(|s| !is_late(s.kind));
    let late = metadata.sections.iter().filter(|s| is_late(s.kind));
    let mut has_place = false;
    for section in early.chain(late) {
        let address = u64::from(section.address);
        match section.kind {
            SectionKind::Memory | SectionKind::SvsmCallingArea => {
                digest.zeros(address, section.len);
            }
            SectionKind::Secrets => digest.opaque(PageType::Secrets, address),
            SectionKind::Cpuid => digest.opaque(PageType::Cpuid, address),
            SectionKind::KernelHashes => {
                has_place = true;
                match hashes {
                    Some(hashes) => {
                        let table = metadata.hashes_at.ok_or(SnpFault::NoPlaceForHashes)?;
                        let offset = table.checked_sub(section.address);
                        let offset = offset.and_then(|offset| usize::try_from(offset).ok());
                        let page = offset.and_then(|offset| hashes.page(offset));
                        let page = page.ok_or(SnpFault::Metadata(
                            "the table of hashes does not fit into their page",
                        ))?;
                        digest.page(PageType::Normal, address, &page);
                    }
                    None => digest.zeros(address, section.len),
                }
            }
        }
    }
    if hashes.is_some() && !has_place {
        return Err(SnpFault::NoPlaceForHashes);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
