//! Against the whole calculation of the `sev` crate, which reads files.

use crate::images::{FirmwareDraft, hex};
use nitride_measure::snp::{Hypervisor, SnpFault, SnpKernel, SnpLaunch, VcpuType, launch_digest};
use sev::measurement::snp::{SnpMeasurementArgs, snp_calc_launch_digest};
use sev::measurement::vcpu_types::CpuType;
use sev::measurement::vmsa::{GuestFeatures, VMMType};
use std::fs;
use std::path::PathBuf;

const KERNEL: &[u8] = b"a kernel";
const INITRD: &[u8] = b"an initrd";
const COMMAND_LINE: &str = "console=ttyS0 quiet";

pub(crate) fn launch(firmware: &[u8]) -> SnpLaunch<'_> {
    SnpLaunch {
        firmware,
        kernel: Some(SnpKernel {
            kernel: KERNEL,
            initrd: INITRD,
            command_line: COMMAND_LINE,
        }),
        hypervisor: Hypervisor::Qemu,
        vcpu_type: VcpuType::parse("EPYC-Genoa").unwrap(),
        vcpus: 2,
        guest_features: 1,
    }
}

/// What the library makes of the same.
pub(crate) fn by_sev(launch: &SnpLaunch<'_>, model: CpuType) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let arguments = SnpMeasurementArgs {
        vcpus: launch.vcpus,
        vcpu_type: model,
        ovmf_file: file("firmware", launch.firmware),
        guest_features: GuestFeatures(launch.guest_features),
        kernel_file: launch.kernel.map(|k| file("kernel", k.kernel)),
        initrd_file: launch.kernel.map(|k| file("initrd", k.initrd)),
        append: launch.kernel.map(|k| k.command_line),
        ovmf_hash_str: None,
        vmm_type: Some(match launch.hypervisor {
            Hypervisor::Qemu => VMMType::QEMU,
            Hypervisor::Ec2 => VMMType::EC2,
        }),
    };
    snp_calc_launch_digest(arguments).unwrap().get_hex_ld()
}

#[test]
fn the_sev_crate_comes_to_the_same_launch_digest() {
    let image = FirmwareDraft::default().image();
    let good = launch(&image);
    let other_image = FirmwareDraft {
        pages: 7,
        fill: 3,
        hashes_at: 0x81_0000,
        ..FirmwareDraft::default()
    };
    let other_image = other_image.image();
    let cases = [
        (good, CpuType::EpycGenoa),
        (
            SnpLaunch {
                kernel: None,
                ..good
            },
            CpuType::EpycGenoa,
        ),
        (
            SnpLaunch {
                firmware: &other_image,
                ..good
            },
            CpuType::EpycGenoa,
        ),
        (
            SnpLaunch {
                hypervisor: Hypervisor::Ec2,
                kernel: None,
                vcpus: 1,
                ..good
            },
            CpuType::EpycGenoa,
        ),
        (
            SnpLaunch {
                guest_features: 0x21,
                vcpus: 5,
                ..good
            },
            CpuType::EpycGenoa,
        ),
        (
            SnpLaunch {
                vcpu_type: VcpuType::parse("EPYC-Turin-v1").unwrap(),
                ..good
            },
            CpuType::EpycTurinV1,
        ),
    ];
    for (launch, model) in cases {
        assert_eq!(
            hex(&launch_digest(&launch).unwrap()),
            by_sev(&launch, model)
        );
    }
}

#[test]
fn whatever_is_covered_changes_the_digest() {
    let image = FirmwareDraft::default().image();
    let good = launch(&image);
    let kernel = good.kernel.unwrap();
    let mut changed = image.clone();
    changed[100] ^= 1;
    let with = |kernel| SnpLaunch {
        kernel: Some(kernel),
        ..good
    };
    let others = [
        SnpLaunch {
            firmware: &changed,
            ..good
        },
        with(SnpKernel {
            kernel: b"another",
            ..kernel
        }),
        with(SnpKernel {
            initrd: b"",
            ..kernel
        }),
        with(SnpKernel {
            command_line: "console=ttyS0 quiet ",
            ..kernel
        }),
        SnpLaunch {
            kernel: None,
            ..good
        },
        SnpLaunch { vcpus: 3, ..good },
        SnpLaunch {
            guest_features: 3,
            ..good
        },
        SnpLaunch {
            vcpu_type: VcpuType::parse("EPYC-Milan").unwrap(),
            ..good
        },
    ];
    let measured = launch_digest(&good).unwrap();
    for other in others {
        assert_ne!(launch_digest(&other).unwrap(), measured);
    }
}

#[test]
fn each_defect_of_the_metadata_is_refused_by_name() {
    type Change = fn(&mut FirmwareDraft);
    let refused = |change: Change| {
        let mut draft = FirmwareDraft::default();
        change(&mut draft);
        launch_digest(&launch(&draft.image()))
            .unwrap_err()
            .to_string()
    };
    let defects: [(&str, Change); 15] = [
        ("type 7", |d| d.sev[0].2 = 7),
        ("whole pages", |d| d.sev[0].1 = 0x800),
        ("whole pages", |d| d.sev[0].0 = 0x800),
        ("whole pages", |d| d.sev[1].1 = 0x2000),
        ("beyond 4 GiB", |d| d.sev[0] = (0xffff_f000, 0x2000, 1)),
        ("256 MiB", |d| d.sev[0] = (0, 0x2000_0000, 1)),
        ("does not fit", |d| d.hashes_at = 0x81_0ff0),
        ("does not fit", |d| d.hashes_at = 0x82_0000),
        ("no place", |d| d.hashes_at = 0),
        ("no place", |d| d.sev.retain(|section| section.2 != 0x10)),
        ("no reset block", |d| d.reset = 0),
        ("share memory", |d| d.sev[5].0 = 0x81_0000),
        ("share memory", |d| d.sev[0].1 = 0x1_0000),
        ("two pages", |d| d.sev.push((0x90_0000, 0x1000, 0x10))),
        ("two pages", |d| d.sev.push((0x90_0000, 0x1000, 3))),
    ];
    for (told, change) in defects {
        let error = refused(change);
        assert!(error.contains(told), "{told}: {error}");
    }
}

#[test]
fn ec2_hashes_no_kernel() {
    let image = FirmwareDraft::default().image();
    let bad = SnpLaunch {
        hypervisor: Hypervisor::Ec2,
        ..launch(&image)
    };
    assert_eq!(launch_digest(&bad), Err(SnpFault::NoHashesByEc2));
}

#[test]
fn a_command_line_with_a_nul_is_refused() {
    let image = FirmwareDraft::default().image();
    let mut bad = launch(&image);
    bad.kernel = bad.kernel.map(|kernel| SnpKernel {
        command_line: "a\0b",
        ..kernel
    });
    assert_eq!(launch_digest(&bad), Err(SnpFault::CommandLine));
}
