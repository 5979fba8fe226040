//! RTMR1 and RTMR2 of a direct boot: the events of PCRs 2 to 6 go to RTMR1, those of PCRs 8 to 15
//! to RTMR2 (UEFI 2.10, 38.4.1, "Intel Trust Domain Extension").
//!
//! Their order is edk2's: `X86QemuLoadImageLib` and `GenericQemuLoadImageLib` load the image before
//! they signal that the firmware is ready to boot, at which `OvmfPkg/Tcg/TdTcg2Dxe` measures its word
//! and one separator. What the kernel measures is in its `efi-stub-helper.c`: `efi_convert_cmdline`,
//! then `efi_load_initrd`. `tests/vm/measured` holds both to a boot under a TPM.

use super::TdxFault;
use crate::digest::{Register384, sha384};
use crate::pe::PeImage;
use sha2::Sha384;

/// What edk2's `TdTcg2Dxe` measures around the kernel, as text without NUL.
const CALLING: &[u8] = b"Calling EFI Application from Boot Option";
const SEPARATOR: &[u8] = &[0; 4];
const LEAVING: &[u8] = b"Exit Boot Services Invocation";
const LEFT: &[u8] = b"Exit Boot Services Returned with Success";
const INITRD_ARGUMENT: &str = "initrd=initrd";

/// What QEMU is given.
#[derive(Debug, Clone, Copy)]
pub struct DirectBoot<'a> {
    /// The file that `-kernel` names, which reaches the firmware unchanged.
    pub kernel: &'a [u8],
    /// The file that `-initrd` names.
    pub initrd: Option<&'a [u8]>,
    /// What stands after `-append`.
    pub command_line: &'a str,
    /// What the firmware makes of it where there is an initrd.
    pub initrd_argument: InitrdArgument,
}

/// Where the firmware writes `initrd=initrd` where QEMU is given an initrd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitrdArgument {
    /// After the command line and a blank: edk2 before edk2-stable202508.
    After,
    /// Before the command line and a blank: edk2-stable202508 and later.
    Before,
    /// Nowhere.
    Nowhere,
}

/// What comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rtmrs {
    /// Of the kernel's image.
    pub rtmr1: [u8; 48],
    /// Of command line and initrd.
    pub rtmr2: [u8; 48],
}

/// RTMR1 and RTMR2 once the kernel runs, until the guest extends them itself.
///
/// # Errors
///
/// A kernel that is no EFI application, or that is a unified kernel image, and a command line that
/// cannot be handed over.
pub fn direct_boot(boot: &DirectBoot<'_>) -> Result<Rtmrs, TdxFault> {
    let kernel = PeImage::parse(boot.kernel).map_err(TdxFault::Kernel)?;
    if kernel.sections().iter().any(|s| s.is_named(".linux")) {
        return Err(TdxFault::UnifiedKernelImage);
    }
    let image = kernel.authenticode::<Sha384>().map_err(TdxFault::Kernel)?;
    // The image is loaded before the firmware says that it is about to start something.
    let mut rtmr1 = Register384::ZERO;
    rtmr1.extend(&image.into());
    for said in [CALLING, SEPARATOR, LEAVING, LEFT] {
        rtmr1.extend(&sha384(said));
    }
    // The stub measures its load options first, then the initrd, which an empty file is none of.
    let mut rtmr2 = Register384::ZERO;
    let options = load_options(boot)?;
    if !options.is_empty() {
        rtmr2.extend(&sha384(&options));
    }
    if let Some(initrd) = boot.initrd.filter(|initrd| !initrd.is_empty()) {
        rtmr2.extend(&sha384(initrd));
    }
    Ok(Rtmrs {
        rtmr1: rtmr1.value(),
        rtmr2: rtmr2.value(),
    })
}

/// The command line as the kernel's stub gets it: UTF-16 in little-endian order, with its NUL. None at
/// all where there is nothing to say.
fn load_options(boot: &DirectBoot<'_>) -> Result<Vec<u8>, TdxFault> {
    let line = boot.command_line;
    if line.contains('\0') {
        return Err(TdxFault::CommandLineNul);
    }
    if !line.is_ascii() {
        return Err(TdxFault::CommandLineNotAscii);
    }
    let has_initrd = boot.initrd.is_some_and(|initrd| !initrd.is_empty());
    let whole = match boot.initrd_argument {
        InitrdArgument::After if has_initrd => format!("{line} {INITRD_ARGUMENT}"),
        InitrdArgument::Before if has_initrd => format!("{INITRD_ARGUMENT} {line}"),
        _ => line.to_owned(),
    };
    if whole.is_empty() {
        return Ok(Vec::new());
    }
    let units = whole.encode_utf16().chain([0]);
    Ok(units.flat_map(u16::to_le_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(initrd: Option<&[u8]>, initrd_argument: InitrdArgument) -> Vec<u8> {
        let boot = DirectBoot {
            kernel: &[],
            initrd,
            command_line: "a",
            initrd_argument,
        };
        load_options(&boot).unwrap()
    }

    fn wide(text: &str) -> Vec<u8> {
        text.bytes().flat_map(|byte| [byte, 0]).collect()
    }

    #[test]
    fn load_options_are_what_the_firmware_hands_over() {
        let initrd = Some(&b"cpio"[..]);
        assert_eq!(
            options(initrd, InitrdArgument::After),
            wide("a initrd=initrd\0")
        );
        assert_eq!(
            options(initrd, InitrdArgument::Before),
            wide("initrd=initrd a\0")
        );
        assert_eq!(options(initrd, InitrdArgument::Nowhere), wide("a\0"));
        assert_eq!(options(None, InitrdArgument::After), wide("a\0"));
        assert_eq!(options(Some(&[]), InitrdArgument::Before), wide("a\0"));
    }
}
