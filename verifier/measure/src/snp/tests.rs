//! Against digests that the `sev` project publishes for an OVMF image (its `tests/measurement.rs`):
//! facts about that image stand here, and not the image.

use super::metadata::Section;
use super::*;

/// The launch digest after the pages of that image.
const AFTER_FIRMWARE: &str = "086e2e9149ebf45abdc3445fba5b2da8270bdbb04094d7a2c37faaa4b24af3aa16aff8c374c2a55c467a50da6d466b74";

fn digest(hex: &str) -> [u8; 48] {
    let mut bytes = [0; 48];
    base16ct::lower::decode(hex, &mut bytes).unwrap();
    bytes
}

fn metadata() -> Metadata {
    use SectionKind::{Cpuid, KernelHashes, Memory, Secrets, SvsmCallingArea};
    let section = |(address, len, kind)| Section { address, len, kind };
    let sections = [
        (0x80_0000, 0x9000, Memory),
        (0x80_a000, 0x3000, Memory),
        (0x80_d000, 0x1000, Secrets),
        (0x80_e000, 0x1000, Cpuid),
        (0x80_f000, 0x1000, SvsmCallingArea),
        (0x81_0000, 0x1000, KernelHashes),
        (0x81_1000, 0xf000, Memory),
    ];
    Metadata {
        sections: sections.map(section).to_vec(),
        hashes_at: Some(0x81_0c00),
        reset_address: 0x80_b004,
    }
}

/// What the project calls the kernel, the initrd and the firmware is empty in its tests.
fn launch(command_line: Option<&str>) -> SnpLaunch<'_> {
    SnpLaunch {
        firmware: &[],
        kernel: command_line.map(|command_line| SnpKernel {
            kernel: &[],
            initrd: &[],
            command_line,
        }),
        hypervisor: Hypervisor::Qemu,
        vcpu_type: VcpuType::parse("EPYC-v4").unwrap(),
        vcpus: 1,
        guest_features: 0x21,
    }
}

fn measured(launch: &SnpLaunch<'_>) -> [u8; 48] {
    let hashes = launch.kernel.as_ref().map(|k| KernelHashes::of(k).unwrap());
    let metadata = metadata();
    let mut digest = LaunchDigest::resumed(digest(AFTER_FIRMWARE));
    add_sections(&mut digest, &metadata, hashes.as_ref(), launch.hypervisor).unwrap();
    vcpu::add_states(&mut digest, launch, metadata.reset_address).unwrap();
    digest.value()
}

#[test]
fn published_digests_come_out() {
    const WITH_COMMAND_LINE: &str = "803f691094946e42068aaa3a8f9e26a5c89f36f7b73ecfb28c653360fe4b3aba7e534442e7e1e17895dfe778d0228977";
    const WITHOUT: &str = "329c8ce0972ae52343b64d34a434a86f245dfd74f5ed7aae15d22efc78fb9683632b9b50e4e1d7fa41179ef98a7ef198";
    const SNP_ONLY: &str = "ddc5224521617a536ee7ce9dd6224d1b58a8d4fda1c741f3ac99fc4bfa04ba6e9fc98646d4a07a9079397fa3852819b5";
    const FOUR: &str = "4953b1fb416fa874980e8442b3706d345926d5f38879134e00813c5d7abcbe78eafe7b422907be0b4698e2414a631942";
    const NO_KERNEL: &str = "e1e1ca029dd7973ab9513295be68198472dcd4fc834bd9af9b63f6e8a1674dbf281a9278a4a2ebe0eed9f22adbcd0e2b";
    const EC2: &str = "6ae80856486b1396af8c82a40351d6ed76a20c785e9c7fa4ffa27c22d5d6313b4b3b458cd3c9968e6f89fb5d8450d7a6";
    let plain = launch(Some(""));
    let cases = [
        (launch(Some("console=ttyS0 loglevel=7")), WITH_COMMAND_LINE),
        (plain, WITHOUT),
        (
            SnpLaunch {
                guest_features: 1,
                ..plain
            },
            SNP_ONLY,
        ),
        (SnpLaunch { vcpus: 4, ..plain }, FOUR),
        (launch(None), NO_KERNEL),
        (
            SnpLaunch {
                hypervisor: Hypervisor::Ec2,
                ..plain
            },
            EC2,
        ),
    ];
    for (launch, expected) in cases {
        assert_eq!(measured(&launch), digest(expected), "{launch:?}");
    }
}

#[test]
fn a_kernel_is_measured_only_where_the_firmware_has_a_place_for_its_hash() {
    let mut without = metadata();
    without
        .sections
        .retain(|s| s.kind != SectionKind::KernelHashes);
    let mut no_table = metadata();
    no_table.hashes_at = None;
    let mut beyond = metadata();
    beyond.hashes_at = Some(0x81_0fff);
    let mut before = metadata();
    before.hashes_at = Some(0x80_f000);
    let kernel = launch(Some("")).kernel.unwrap();
    let hashes = KernelHashes::of(&kernel).unwrap();
    for metadata in [without, no_table, beyond, before] {
        let mut digest = LaunchDigest::default();
        let added = add_sections(&mut digest, &metadata, Some(&hashes), Hypervisor::Qemu);
        assert!(added.is_err(), "{metadata:?}");
    }
}

#[test]
fn processors_are_of_a_known_type_and_number() {
    assert!(VcpuType::parse("EPYC-Milan-v2").is_ok());
    assert_eq!(
        VcpuType::parse("Skylake"),
        Err(SnpFault::VcpuType("Skylake".to_owned()))
    );
    for vcpus in [0, MAX_VCPUS + 1] {
        let launch = SnpLaunch {
            vcpus,
            ..launch(None)
        };
        let mut digest = LaunchDigest::default();
        let added = vcpu::add_states(&mut digest, &launch, 0x80_b004);
        assert_eq!(added, Err(SnpFault::Vcpus(vcpus)));
    }
}

#[test]
fn a_guest_without_the_feature_itself_is_refused() {
    let launch = SnpLaunch {
        guest_features: 0x20,
        ..launch(None)
    };
    assert_eq!(launch_digest(&launch), Err(SnpFault::GuestFeatures(0x20)));
}
