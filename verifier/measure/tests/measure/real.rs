//! Debian's OVMF, where its package is installed (`ovmf`): the whole of what distributions build, and
//! not what the tests draft. Each value is compared with another writing of the same specification.

use crate::images::hex;
use crate::snp::{by_sev, launch};
use nitride_measure::snp::{SnpLaunch, launch_digest};
use nitride_measure::tdx::{PageOrder, mr_td};
use sev::measurement::vcpu_types::CpuType;
use sha2::{Digest, Sha256, Sha384};
use std::fs;

/// Code and variables as one image, which is built for SEV-SNP and TDX.
const OVMF: &str = "/usr/share/ovmf/OVMF.fd";

/// Images by their SHA-256, and what others said of them: the launch digest of two EPYC-Milan by QEMU
/// with SEV_FEATURES 1 as `sev-snp-measure` 0.0.13 prints it, and MRTD of pages in order.
const RECORDED: [[&str; 3]; 2] = [
    // Debian 12, 2022.11-6+deb12u2.
    [
        "7b456907dd0786d415999e801a1ac4637b8ed4d7cf5378cfc6edbe5e574dd773",
        "a175292a4a09fcfb760c5bd80c93ed667dbaafce6247d0f21fc06638658b3ebf2804d3019e2abed05cb6a9efe0a7464e",
        "4c7206f0f483c524f12c366c711e9049030a8d47c471ee5aa9c4999a08de4057fb887fed0744d5631a212967fb231c47",
    ],
    // Debian 13, 2025.02-8+deb13u1.
    [
        "14954040cc754ade0c625ac3470ea46d4c14318b5b1396de4ef77090203d76db",
        "b55b618cb48696814dc1d65d8be960d7c8916bf06dd0139fbc0e5a3d1ebd678c647af7abfb7da5ab1815054bf00ab69e",
        "bdc6fb145880f06f30c8b346b8dce2a99d9351b56892df22f80fcf6574caa9f9c31df8e8576d53b4d0cd1c3f28910e11",
    ],
];

fn ovmf() -> Option<Vec<u8>> {
    let image = fs::read(OVMF).ok();
    if image.is_none() {
        eprintln!("skipped: there is no {OVMF}");
    }
    image
}

fn guest(image: &[u8]) -> SnpLaunch<'_> {
    SnpLaunch {
        // Debian builds no image with a page for hashes into this package.
        kernel: None,
        vcpu_type: nitride_measure::snp::VcpuType::parse("EPYC-Milan").unwrap(),
        ..launch(image)
    }
}

/// MRTD by the descriptor alone, which is looked for by its signature and version.
fn mr_td_by_hand(image: &[u8], order: PageOrder) -> String {
    let number = |at: usize, len: usize| {
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(&image[at..at + len]);
        u64::from_le_bytes(bytes)
    };
    let found = image
        .windows(12)
        .position(|bytes| bytes.starts_with(b"TDVF") && bytes.ends_with(&1u32.to_le_bytes()));
    let found = found.unwrap();
    let record = |name: &str, address: u64| {
        let mut record = vec![0; 128];
        record[..name.len()].copy_from_slice(name.as_bytes());
        record[16..24].copy_from_slice(&address.to_le_bytes());
        record
    };
    let mut module: Vec<u8> = Vec::new();
    for index in 0..usize::try_from(number(found + 12, 4)).unwrap() {
        let at = found + 16 + 32 * index;
        let (data_at, address, len) = (number(at, 4), number(at + 8, 8), number(at + 16, 8));
        let is_measured = number(at + 28, 4) == 1;
        let mut measured: Vec<u8> = Vec::new();
        for page in (0..len).step_by(4096) {
            module.extend(record("MEM.PAGE.ADD", address + page));
            for chunk in (page..page + 4096).step_by(256).filter(|_| is_measured) {
                let from = usize::try_from(data_at + chunk).unwrap();
                measured.extend(record("MR.EXTEND", address + chunk));
                measured.extend(&image[from..from + 256]);
            }
            if order == PageOrder::PageByPage {
                module.append(&mut measured);
            }
        }
        module.append(&mut measured);
    }
    hex(&Sha384::digest(&module))
}

#[test]
fn the_sev_crate_comes_to_the_same_launch_digest_of_debians_firmware() {
    let Some(image) = ovmf() else { return };
    let guest = guest(&image);
    for vcpus in [1, 2, 8] {
        let guest = SnpLaunch { vcpus, ..guest };
        let ours = hex(&launch_digest(&guest).unwrap());
        assert_eq!(ours, by_sev(&guest, CpuType::EpycMilan), "{vcpus}");
    }
}

#[test]
fn mr_td_of_debians_firmware_is_what_its_descriptor_says() {
    let Some(image) = ovmf() else { return };
    for order in [PageOrder::PageByPage, PageOrder::SectionBySection] {
        let ours = hex(&mr_td(&image, order).unwrap());
        assert_eq!(ours, mr_td_by_hand(&image, order), "{order:?}");
    }
}

#[test]
fn images_that_others_have_measured_come_to_the_same() {
    let Some(image) = ovmf() else { return };
    let digest = hex(&Sha256::digest(&image));
    let Some([_, launch, td]) = RECORDED.iter().find(|[known, ..]| *known == digest) else {
        eprintln!("skipped: {OVMF} is of another version ({digest})");
        return;
    };
    assert_eq!(hex(&launch_digest(&guest(&image)).unwrap()), *launch);
    assert_eq!(hex(&mr_td(&image, PageOrder::PageByPage).unwrap()), *td);
}
