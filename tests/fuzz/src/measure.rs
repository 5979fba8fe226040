//! Images that reference values are computed from.

use nitride_measure::snp::{Hypervisor, SnpKernel, SnpLaunch, VcpuType, launch_digest};
use nitride_measure::tdx::{DirectBoot, InitrdArgument, PageOrder, direct_boot, mr_td};
use nitride_measure::uki::{InnerKernel, UkiBoot, uki_pcrs};

/// What only firmware's image has at its end: the footer's GUID, and the bytes after it.
const FOOTER: [u8; 16] = [
    0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45, 0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d,
];

/// Firmware. The footer is put where it has to be, so that what is before it is read.
pub fn firmware(data: &[u8]) {
    let mut image = vec![0; data.len().next_multiple_of(4096).max(4096)];
    let at = image.len() - data.len();
    image[at..].copy_from_slice(data);
    let footer_at = image.len() - 48;
    image[footer_at..footer_at + 16].copy_from_slice(&FOOTER);
    let launch = SnpLaunch {
        firmware: &image,
        kernel: Some(SnpKernel {
            kernel: b"",
            initrd: b"",
            command_line: "",
        }),
        hypervisor: Hypervisor::Qemu,
        vcpu_type: VcpuType::parse("EPYC").expect("QEMU has it"),
        vcpus: 1,
        guest_features: 1,
    };
    let again = launch_digest(&launch);
    assert_eq!(launch_digest(&launch), again);
    let _orders = [PageOrder::PageByPage, PageOrder::SectionBySection].map(|o| mr_td(&image, o));
}

/// A kernel, a loader, a unified kernel image.
pub fn pe(data: &[u8]) {
    let direct = DirectBoot {
        kernel: data,
        initrd: None,
        command_line: "",
        initrd_argument: InitrdArgument::Nowhere,
    };
    let boot = UkiBoot {
        image: data,
        loaders: &[],
        inner_kernel: InnerKernel::Measured,
        phases: &["ready"],
    };
    // An image is for one of them.
    assert!(direct_boot(&direct).is_err() || uki_pcrs(&boot).is_err());
}
