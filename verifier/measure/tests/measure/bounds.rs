//! Whatever the bytes are: an answer, and never a panic.

use crate::images::{FirmwareDraft, PeDraft};
use nitride_measure::snp::{Hypervisor, SnpLaunch, VcpuType, launch_digest};
use nitride_measure::tdx::{DirectBoot, InitrdArgument, PageOrder, direct_boot, mr_td};
use nitride_measure::uki::{InnerKernel, UkiBoot, UkiFault, uki_pcrs};
use nitride_measure::{FirmwareFault, MAX_FIRMWARE_LEN, MAX_PE_SECTIONS, PeFault};
use nitride_measure::{snp::SnpFault, tdx::TdxFault};
use proptest::prelude::*;

fn snp(firmware: &[u8]) -> Result<[u8; 48], SnpFault> {
    launch_digest(&SnpLaunch {
        firmware,
        kernel: None,
        hypervisor: Hypervisor::Qemu,
        vcpu_type: VcpuType::parse("EPYC").unwrap(),
        vcpus: 1,
        guest_features: 1,
    })
}

fn all_of_firmware(bytes: &[u8]) {
    let _answer = (snp(bytes), mr_td(bytes, PageOrder::PageByPage));
}

fn all_of_pe(bytes: &[u8]) {
    let boot = UkiBoot {
        image: bytes,
        loaders: &[bytes],
        inner_kernel: InnerKernel::Measured,
        phases: &[],
    };
    let direct = DirectBoot {
        kernel: bytes,
        initrd: None,
        command_line: "",
        initrd_argument: InitrdArgument::After,
    };
    let _answer = (uki_pcrs(&boot), direct_boot(&direct));
}

fn image() -> PeDraft {
    let magic = b"#### LoaderInfo: systemd-stub 257 ####";
    PeDraft::of(&[(".sdmagic", magic), (".linux", b"kernel")])
}

#[test]
fn firmware_is_whole_pages_up_to_a_length_and_ends_with_a_table() {
    for len in [0, 4095, MAX_FIRMWARE_LEN + 4096] {
        let refused = snp(&vec![0; len]);
        assert_eq!(refused, Err(SnpFault::Firmware(FirmwareFault::Length(len))));
    }
    let refused = mr_td(&[0; 8192], PageOrder::PageByPage);
    assert_eq!(refused, Err(TdxFault::Firmware(FirmwareFault::NoTable)));
}

#[test]
fn an_entry_that_stands_twice_is_refused() {
    use crate::images::{GUID_RESET, table};
    let twice = table(&[(GUID_RESET, &[1; 4]), (GUID_RESET, &[2; 4])]);
    let mut image = vec![0; 4096];
    let at = image.len() - 32 - twice.len();
    image[at..at + twice.len()].copy_from_slice(&twice);
    assert_eq!(
        snp(&image),
        Err(SnpFault::Firmware(FirmwareFault::EntryTwice))
    );
}

#[test]
fn a_table_whose_lengths_do_not_add_up_is_refused() {
    let good = FirmwareDraft::default().image();
    let footer_at = good.len() - 32 - 18;
    for len in [0u16, 17, 19, 36, u16::MAX] {
        let mut bad = good.clone();
        bad[footer_at..footer_at + 2].copy_from_slice(&len.to_le_bytes());
        assert!(snp(&bad).is_err(), "{len}");
    }
}

#[test]
fn a_pe_image_has_no_more_sections_than_it_may() {
    let section = (".text", b"".to_vec(), 0);
    let many = PeDraft {
        sections: vec![section; MAX_PE_SECTIONS + 1],
        ..PeDraft::default()
    };
    let image = many.image();
    let direct = DirectBoot {
        kernel: &image,
        initrd: None,
        command_line: "",
        initrd_argument: InitrdArgument::After,
    };
    let refused = direct_boot(&direct);
    let expected = PeFault::Sections(MAX_PE_SECTIONS + 1);
    assert_eq!(refused, Err(TdxFault::Kernel(expected)));
}

/// Each alone is short enough.
#[test]
fn zeros_that_are_in_no_file_are_bounded_over_all_sections() {
    let mut image = image();
    let section = |name, longer| (name, b"x".to_vec(), longer);
    image.sections.push(section(".initrd", 100 << 20));
    image.sections.push(section(".cmdline", 200 << 20));
    let image = image.image();
    let boot = UkiBoot {
        image: &image,
        loaders: &[],
        inner_kernel: InnerKernel::NotMeasured,
        phases: &[],
    };
    assert_eq!(uki_pcrs(&boot), Err(UkiFault::TooLong));
}

/// Each section is the whole file, which is hashed once at the most.
#[test]
fn an_image_is_not_hashed_once_a_section() {
    let mut image = PeDraft::of(&[(".text", &b"x"[..]); MAX_PE_SECTIONS]).image();
    image.resize(64 << 20, 0);
    let len = u32::try_from(image.len()).unwrap().to_le_bytes();
    for index in 0..MAX_PE_SECTIONS {
        let file_len_at = 0x40 + 24 + 240 + 40 * index + 16;
        image[file_len_at..file_len_at + 4].copy_from_slice(&len);
        image[file_len_at + 4..file_len_at + 8].fill(0);
    }
    let direct = DirectBoot {
        kernel: &image,
        initrd: None,
        command_line: "",
        initrd_argument: InitrdArgument::After,
    };
    let refused = direct_boot(&direct);
    assert_eq!(refused, Err(TdxFault::Kernel(PeFault::Overlong)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_firmware_panics(
        changes in prop::collection::vec((0usize..0x640, any::<u8>()), 0..12),
        cut in 0usize..3,
    ) {
        let mut image = FirmwareDraft::default().image();
        let len = image.len();
        for (from_end, byte) in changes {
            image[len - 1 - from_end] = byte;
        }
        all_of_firmware(&image[cut * 4096..]);
    }

    #[test]
    fn no_pe_image_panics(
        changes in prop::collection::vec((0usize..0x200, any::<u8>()), 0..12),
        len in 0usize..2048,
    ) {
        let mut bytes = image().image();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        all_of_pe(&bytes);
        all_of_pe(&bytes[..len.min(bytes.len())]);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..8192)) {
        all_of_firmware(&bytes);
        all_of_pe(&bytes);
    }
}
