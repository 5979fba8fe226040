//! `measure`: reference values from an image, as a policy has them.

mod arguments;
mod reference;

use crate::exit::Exit;
pub(crate) use arguments::MeasureVerb;
use arguments::{Boot, MeasureSnp, MeasureTdx, MeasureUki, WrongKernelName};
use nitride_collateral::Files;
use nitride_collateral::Obstacle;
use nitride_measure::snp::{self, SnpKernel, SnpLaunch, VcpuType};
use nitride_measure::tdx::{self, DirectBoot, InitrdArgument};
use nitride_measure::uki::{self, UkiBoot, UkiPcrs};
use reference::Reference;
use std::error::Error;
use std::path::Path;

/// Firmware is read up to what the library takes.
const MAX_FIRMWARE_LEN: u64 = nitride_measure::MAX_FIRMWARE_LEN as u64;
/// A kernel, an initrd, a unified kernel image.
const MAX_IMAGE_LEN: u64 = 1 << 30;

const HOST_CHOOSES: &str = "the host still chooses ACPI tables, whose code the kernel runs";
const FIRMWARE_ALONE: &str = "the firmware alone: it boots whatever its host likes";
const ALL_OF_BOOT: &[&str] = &["firmware", "kernel", "initrd", "command-line"];

/// Measures, and writes the reference value. What cannot be measured was not judged.
pub(crate) fn run(verb: &MeasureVerb, json: bool) -> Result<(String, Exit), Obstacle> {
    let mut files = Files::of_images();
    let reference = match verb {
        MeasureVerb::Snp(snp) => measure_snp(snp, &mut files)?,
        MeasureVerb::Tdx(tdx) => measure_tdx(tdx, &mut files)?,
        MeasureVerb::Uki(uki) => measure_uki(uki, &mut files)?,
    };
    let shown = if json {
        reference.to_json()
    } else {
        reference.to_toml()
    };
    Ok((shown, Exit::Accepted))
}

/// What QEMU is given, read.
struct BootFiles<'a> {
    kernel: Vec<u8>,
    initrd: Option<Vec<u8>>,
    command_line: &'a str,
}

impl<'a> BootFiles<'a> {
    fn read(boot: &'a Boot, files: &mut Files) -> Result<Option<Self>, Obstacle> {
        let (Some(kernel), Some(command_line)) = (&boot.kernel, &boot.command_line) else {
            return Ok(None);
        };
        let initrd = boot.initrd.as_deref();
        let initrd = initrd.map(|path| files.read(path, MAX_IMAGE_LEN));
        Ok(Some(Self {
            kernel: files.read(kernel, MAX_IMAGE_LEN)?,
            initrd: initrd.transpose()?,
            command_line,
        }))
    }
}

fn measure_snp(asked: &MeasureSnp, files: &mut Files) -> Result<Reference, Obstacle> {
    if asked.boot.kernel.is_some() && asked.wrong_kernel.is_none() {
        let reason = "is left out, and versions of OVMF differ in it";
        let remedy = "say halts only of an OVMF that was seen to halt, else boots-on";
        return Err(Obstacle::of("--wrong-kernel", reason, remedy));
    }
    let firmware = files.read(&asked.firmware, MAX_FIRMWARE_LEN)?;
    let boot = BootFiles::read(&asked.boot, files)?;
    let kernel = boot.as_ref().map(|boot| SnpKernel {
        kernel: &boot.kernel,
        initrd: boot.initrd.as_deref().unwrap_or_default(),
        command_line: boot.command_line,
    });
    let vcpu_type = VcpuType::parse(&asked.vcpu_type).map_err(|fault| {
        let remedy = "name one of QEMU's for AMD, such as EPYC-Milan-v2";
        Obstacle::of("--vcpu-type", fault.to_string(), remedy)
    })?;
    let launch = SnpLaunch {
        firmware: &firmware,
        kernel,
        hypervisor: asked.hypervisor.into(),
        vcpu_type,
        vcpus: asked.vcpus,
        guest_features: asked.guest_features,
    };
    let digest = snp::launch_digest(&launch);
    let digest = digest.map_err(|fault| unmeasured(&asked.firmware, &fault))?;
    let mut reference = Reference::new("snp", &asked.name)?;
    let (note, covers) = snp_coverage(asked.wrong_kernel);
    reference.note(note);
    reference.note(HOST_CHOOSES);
    reference.value("measurement", &digest);
    reference.covers(covers);
    Ok(reference)
}

/// Hashes that the firmware does not insist on cover nothing, although they are in the digest.
fn snp_coverage(wrong_kernel: Option<WrongKernelName>) -> (&'static str, &'static [&'static str]) {
    match wrong_kernel {
        Some(WrongKernelName::Halts) => (
            "QEMU with kernel-hashes=on, and firmware that halts where it is served another kernel",
            ALL_OF_BOOT,
        ),
        Some(WrongKernelName::BootsOn) => (
            "hashes of a kernel that the firmware does not insist on: it boots what its host likes",
            &["firmware"],
        ),
        None => (FIRMWARE_ALONE, &["firmware"]),
    }
}

fn measure_tdx(asked: &MeasureTdx, files: &mut Files) -> Result<Reference, Obstacle> {
    let firmware = files.read(&asked.firmware, MAX_FIRMWARE_LEN)?;
    let boot = BootFiles::read(&asked.boot, files)?;
    let mr_td = tdx::mr_td(&firmware, asked.page_order.into());
    let mr_td = mr_td.map_err(|fault| unmeasured(&asked.firmware, &fault))?;
    let mut reference = Reference::new("tdx", &asked.name)?;
    reference.value("mr-td", &mr_td);
    reference.any("rtmr0");
    match (&boot, &asked.boot.kernel) {
        (Some(boot), Some(kernel)) => {
            let initrd_argument = match (asked.initrd_argument, &boot.initrd) {
                (Some(place), _) => place.into(),
                (None, None) => InitrdArgument::Nowhere,
                (None, Some(_)) => {
                    let reason = "is left out, and versions of OVMF differ in it";
                    let remedy = "say before, after or nowhere";
                    return Err(Obstacle::of("--initrd-argument", reason, remedy));
                }
            };
            let measured = tdx::direct_boot(&DirectBoot {
                kernel: &boot.kernel,
                initrd: boot.initrd.as_deref(),
                command_line: boot.command_line,
                initrd_argument,
            });
            let measured = measured.map_err(|fault| unmeasured(kernel, &fault))?;
            reference.note("a direct boot by QEMU that hands the firmware the unchanged kernel");
            reference.value("rtmr1", &measured.rtmr1);
            reference.value("rtmr2", &measured.rtmr2);
        }
        _ => {
            reference.note(FIRMWARE_ALONE);
            reference.any("rtmr1");
            reference.any("rtmr2");
        }
    }
    reference.note(HOST_CHOOSES);
    reference.note("and, in RTMR0, its variables and the memory map");
    reference.any("rtmr3");
    reference.covers(boot.as_ref().map_or(&["firmware"], |_| ALL_OF_BOOT));
    Ok(reference)
}

fn measure_uki(asked: &MeasureUki, files: &mut Files) -> Result<Reference, Obstacle> {
    let image = files.read(&asked.image, MAX_IMAGE_LEN)?;
    let loaders = asked.loaders.iter();
    let loaders = loaders.map(|path| files.read(path, MAX_IMAGE_LEN));
    let loaders: Vec<Vec<u8>> = loaders.collect::<Result<_, _>>()?;
    let loaders: Vec<&[u8]> = loaders.iter().map(Vec::as_slice).collect();
    let phases: Vec<&str> = match asked.phases.as_str() {
        "" => Vec::new(),
        phases => phases.split(':').collect(),
    };
    let pcrs = uki::uki_pcrs(&UkiBoot {
        image: &image,
        loaders: &loaders,
        inner_kernel: asked.inner_kernel.into(),
        phases: &phases,
    });
    let pcrs = pcrs.map_err(|fault| unmeasured(&asked.image, &fault))?;
    uki_reference(&asked.name, &pcrs)
}

fn uki_reference(name: &str, pcrs: &UkiPcrs) -> Result<Reference, Obstacle> {
    let mut reference = Reference::new("azure", name)?;
    reference.note(
        "a boot of the image with nothing from beside it: no driver of a device (PCR 2), no GRUB",
    );
    reference.note("(PCR 8), no load options, credentials, addons or extensions (PCRs 12 and 13)");
    reference.note("leave out PCR 8 where init-data = \"bound\"; under [tpm], add PCR 0");
    reference.pcrs(&[
        (2, pcrs.pcr2),
        (4, pcrs.pcr4),
        (8, [0; 32]),
        (11, pcrs.pcr11),
        (12, [0; 32]),
        (13, [0; 32]),
    ]);
    let mut covers = vec!["kernel"];
    if pcrs.has_initrd {
        covers.push("initrd");
    }
    if pcrs.has_command_line {
        covers.push("command-line");
    }
    reference.covers(&covers);
    Ok(reference)
}

/// The library names the thing and the reason.
fn unmeasured(path: &Path, fault: &dyn Error) -> Obstacle {
    let remedy = "name an image of this boot path; docs/verification.md says which are known";
    Obstacle::at(path, fault.to_string(), remedy)
}

#[cfg(test)]
mod tests;
