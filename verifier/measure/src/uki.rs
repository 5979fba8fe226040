//! Unified kernel images: PCRs 2, 4 and 11 of the SHA-256 bank.
//!
//! One boot path: UEFI firmware starts a boot option that is the image (or boot loaders that start
//! it, each named), the image begins with systemd-stub, and systemd measures its phases. PCR 2 then
//! has a separator alone, since no driver comes from a device (TCG, "PC Client Platform Firmware
//! Profile", "PCR[2] - UEFI Drivers and UEFI Applications"); PCR 4 the firmware's word that it boots,
//! a separator and the Authenticode digest of everything that it loads (there, "PCR[4] - Boot Manager
//! Code and Boot Attempts"); PCR 11 the image's sections (name with its NUL, then contents, in the
//! stub's order: systemd-stub(7), "TPM PCR Notes", and the list in its `src/fundamental/uki.h`) and
//! the phases (systemd-pcrphase.service(8)).
//!
//! PCRs 8, 12 and 13 stay zero where GRUB takes no part and nothing comes from beside the image: a
//! command line by load options or SMBIOS, credentials, addons, extensions. Whoever compares PCR 4
//! and PCR 11 alone lets the host add all of these.
//!
//! `tests/vm/measured` holds all of this to what a TPM has after a boot of OVMF and stub 257.
//!
//! What is refused, since what the stub measures then depends on the machine or on a choice:
//! profiles, device trees and firmware that are chosen by hardware ids, and a stub whose version is
//! not known. Refused as well is a loader of which it is not known that PCR 4 has what it starts.

mod loader;
mod stub;

use crate::digest::{Register256, sha256};
use crate::pe::{PeFault, PeImage, Section};
use loader::refuse_unknown;
use sha2::{Digest, Sha256};
use stub::Stub;
use thiserror::Error;

/// The most phases; systemd has six.
pub const MAX_PHASES: usize = 32;
/// The most loaders before an image.
pub const MAX_LOADERS: usize = 8;
/// By how much all sections of an image may be longer in memory than in its file: a kernel that is to
/// run where it lies has some tens of MiB.
pub const MAX_ZEROS_LEN: usize = 256 << 20;

/// What edk2's `Tcg2Dxe` measures before the first image, as text without NUL.
const CALLING: &[u8] = b"Calling EFI Application from Boot Option";
const SEPARATOR: &[u8] = &[0; 4];

/// A boot of an image.
#[derive(Debug, Clone, Copy)]
pub struct UkiBoot<'a> {
    /// The image.
    pub image: &'a [u8],
    /// What firmware loads before it, in this order: shim, systemd-boot, and no other.
    pub loaders: &'a [&'a [u8]],
    /// Whether the firmware measures the kernel inside as well.
    pub inner_kernel: InnerKernel,
    /// The phases that systemd has measured when the PCRs are quoted, in this order.
    pub phases: &'a [&'a str],
}

/// How systemd-stub starts the kernel inside. Its versions differ, and so do firmwares with and
/// without Secure Boot; an event log of the machine says which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InnerKernel {
    /// By the firmware, which measures it into PCR 4 as well.
    Measured,
    /// By itself.
    NotMeasured,
}

/// What comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UkiPcrs {
    /// That no driver is loaded from a device or a disk.
    pub pcr2: [u8; 32],
    /// Everything that firmware loads.
    pub pcr4: [u8; 32],
    /// What is in the image, and the phases.
    pub pcr11: [u8; 32],
    /// Whether the image brings a command line.
    pub has_command_line: bool,
    /// Whether the image brings an initrd.
    pub has_initrd: bool,
}

/// Why nothing can be predicted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UkiFault {
    /// The image.
    #[error(transparent)]
    Image(#[from] PeFault),
    /// A loader, by its place in the order.
    #[error("loader {index}: {fault}")]
    Loader {
        /// From zero.
        index: usize,
        /// What is wrong with it.
        fault: PeFault,
    },
    /// It reads a configuration of the host's, starts what that names, and extends no PCR of these.
    #[error("loader {index} is GRUB, and no PCR here has what GRUB starts")]
    LoaderIsGrub {
        /// From zero.
        index: usize,
    },
    /// Whether what it starts is measured is not known.
    #[error(
        "loader {index} does not say that it is shim (.sbat) or systemd-boot (.sdmagic), and of no \
         other is it known here that PCR 4 has what it starts"
    )]
    LoaderNotKnown {
        /// From zero.
        index: usize,
    },
    /// More than there may be.
    #[error("{0} loaders are more than 8")]
    Loaders(usize),
    /// The kernel inside.
    #[error("the kernel inside: {0}")]
    InnerKernel(PeFault),
    /// It is no unified kernel image.
    #[error("the image has no section {0}")]
    NoSection(&'static str),
    /// Which one a stub takes depends on its version.
    #[error("the image has section {0} twice")]
    SectionTwice(&'static str),
    /// What is measured is chosen at boot.
    #[error("the image has a section {0}, of which the boot chooses")]
    Chosen(&'static str),
    /// It does not begin with systemd-stub, or with one that is not known.
    #[error(
        "the image's stub does not say that it is systemd-stub of version 252, or 254 or later"
    )]
    Stub,
    /// Zeros after what is in the file, of all sections together.
    #[error("the image's sections are longer in memory than in its file by more than 256 MiB")]
    TooLong,
    /// What systemd cannot have measured.
    #[error("{0:?} is no phase")]
    Phase(String),
    /// More than there may be.
    #[error("{0} phases are more than 32")]
    Phases(usize),
}

/// PCRs 2, 4 and 11 after a boot of the image.
///
/// # Errors
///
/// What of the image is not known here.
pub fn uki_pcrs(boot: &UkiBoot<'_>) -> Result<UkiPcrs, UkiFault> {
    let image = PeImage::parse(boot.image)?;
    let stub = Stub::of(&image)?;
    stub.refuse_choices(&image)?;
    let pcr4 = pcr4(boot, &image)?;
    let mut pcr11 = Register256::ZERO;
    let mut zeros_left = MAX_ZEROS_LEN;
    for name in stub.measured() {
        if let Some(section) = only(&image, name)? {
            let mut named = name.as_bytes().to_vec();
            named.push(0);
            pcr11.extend(&sha256(&named));
            pcr11.extend(&in_memory(section, &mut zeros_left)?);
        }
    }
    for phase in phases(boot.phases)? {
        pcr11.extend(&sha256(phase.as_bytes()));
    }
    let mut pcr2 = Register256::ZERO;
    pcr2.extend(&sha256(SEPARATOR));
    Ok(UkiPcrs {
        pcr2: pcr2.value(),
        pcr4,
        pcr11: pcr11.value(),
        has_command_line: only(&image, ".cmdline")?.is_some(),
        has_initrd: only(&image, ".initrd")?.is_some(),
    })
}

fn pcr4(boot: &UkiBoot<'_>, image: &PeImage<'_>) -> Result<[u8; 32], UkiFault> {
    if boot.loaders.len() > MAX_LOADERS {
        return Err(UkiFault::Loaders(boot.loaders.len()));
    }
    let mut pcr = Register256::ZERO;
    pcr.extend(&sha256(CALLING));
    pcr.extend(&sha256(SEPARATOR));
    for (index, loader) in boot.loaders.iter().enumerate() {
        let named = |fault| UkiFault::Loader { index, fault };
        let loader = PeImage::parse(loader).map_err(named)?;
        refuse_unknown(&loader, index)?;
        let digest = loader.authenticode::<Sha256>().map_err(named)?;
        pcr.extend(&digest.into());
    }
    pcr.extend(&image.authenticode::<Sha256>()?.into());
    let kernel = only(image, ".linux")?.ok_or(UkiFault::NoSection(".linux"))?;
    if boot.inner_kernel == InnerKernel::Measured {
        // The stub hands over what the section's length in memory says, without the file's padding.
        let inner =
            PeImage::parse(kernel.contents()).and_then(|inner| inner.authenticode::<Sha256>());
        pcr.extend(&inner.map_err(UkiFault::InnerKernel)?.into());
    }
    Ok(pcr.value())
}

/// The section of that name, if there is one.
fn only<'a, 'i>(
    image: &'i PeImage<'a>,
    name: &'static str,
) -> Result<Option<&'i Section<'a>>, UkiFault> {
    let mut named = image.sections().iter().filter(|s| s.is_named(name));
    match (named.next(), named.next()) {
        (found, None) => Ok(found),
        (_, Some(_)) => Err(UkiFault::SectionTwice(name)),
    }
}

/// The digest of a section as it lies in memory: without the file's padding, with zeros where the
/// file has less, which are taken from those that the image may still have.
fn in_memory(section: &Section<'_>, zeros_left: &mut usize) -> Result<[u8; 32], UkiFault> {
    let mut zeros = section.memory_len.saturating_sub(section.in_file.len());
    *zeros_left = zeros_left.checked_sub(zeros).ok_or(UkiFault::TooLong)?;
    let mut hasher = Sha256::new();
    hasher.update(section.contents());
    while zeros > 0 {
        let some = zeros.min(4096);
        hasher.update([0u8; 4096].get(..some).unwrap_or_default());
        zeros -= some;
    }
    Ok(hasher.finalize().into())
}

/// Each is a word: systemd measures it without a NUL.
fn phases<'a>(phases: &'a [&'a str]) -> Result<&'a [&'a str], UkiFault> {
    if phases.len() > MAX_PHASES {
        return Err(UkiFault::Phases(phases.len()));
    }
    let is_word = |phase: &&&str| {
        let is_part_of_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !phase.is_empty() && phase.bytes().all(is_part_of_word)
    };
    match phases.iter().find(|phase| !is_word(phase)) {
        Some(bad) => Err(UkiFault::Phase((*bad).to_owned())),
        None => Ok(phases),
    }
}
