//! What is written is what a policy reads, to the last field.

use super::reference::Reference;
use super::*;
use crate::arguments::{Arguments, Verb};
use clap::Parser;
use nitride_verify::AttestationPolicy;
use std::fs;

const SNP: &str = include_str!("../../../../examples/config/service/attestation-snp.toml");
const TPM: &str = include_str!("../../../../examples/config/service/attestation-tpm.toml");
const TDX: &str = include_str!("../../../../examples/config/service/attestation-tdx.toml");

fn measured(line: &str) -> Result<(String, Exit), Obstacle> {
    let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
    match arguments.verb {
        Verb::Measure(verb) => run(&verb, arguments.json),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_policy_reads_what_is_written_for_sev_snp() {
    let mut reference = Reference::new("snp", "an image \"of\" \\ today").unwrap();
    reference.value("measurement", &[7; 48]);
    reference.covers(ALL_OF_BOOT);
    let policy = format!("{SNP}\n{}", reference.to_toml());
    AttestationPolicy::parse(&policy, "policy.toml").unwrap();
}

#[test]
fn a_policy_reads_what_is_written_for_tdx() {
    let mut reference = Reference::new("tdx", "ein Abbild, größer").unwrap();
    reference.value("mr-td", &[7; 48]);
    for register in ["rtmr0", "rtmr1", "rtmr2", "rtmr3"] {
        reference.any(register);
    }
    reference.covers(&["firmware"]);
    let policy = format!("{TDX}\n{}", reference.to_toml());
    AttestationPolicy::parse(&policy, "policy.toml").unwrap();
}

/// Rewritten for `[tpm]` as its note says: with PCR 0. It covers nothing that the policy finds unmeasured.
#[test]
fn a_policy_reads_what_is_written_for_a_unified_kernel_image() {
    let pcrs = UkiPcrs {
        pcr2: [2; 32],
        pcr4: [4; 32],
        pcr11: [11; 32],
        has_command_line: true,
        has_initrd: true,
    };
    let written = uki_reference("uki", &pcrs).unwrap().to_toml();
    let pcr_0 = format!("pcrs = {{ 0 = \"{}\", 2", "0a".repeat(32));
    let written = written.replace("[[azure.", "[[tpm.");
    let with_firmware = written.replace("pcrs = { 2", &pcr_0);
    let parsed = AttestationPolicy::parse(&format!("{TPM}\n{with_firmware}"), "policy.toml");
    parsed.unwrap();
    let without = AttestationPolicy::parse(&format!("{TPM}\n{written}"), "policy.toml");
    assert!(without.unwrap_err().to_string().contains("PCR 0"));
}

#[test]
fn pcrs_are_written_as_a_table_of_one_line() {
    let mut reference = Reference::new("azure", "uki").unwrap();
    reference.pcrs(&[(11, [0xcd; 32]), (4, [0xab; 32])]);
    reference.covers(&["kernel", "initrd"]);
    let (four, eleven) = ("ab".repeat(32), "cd".repeat(32));
    let written = reference.to_toml();
    assert!(
        written.contains(&format!("pcrs = {{ 4 = \"{four}\", 11 = \"{eleven}\" }}\n")),
        "{written}"
    );
    assert!(
        written.contains("covers = [\"kernel\", \"initrd\"]\n"),
        "{written}"
    );
}

#[test]
fn a_name_is_one_line() {
    for bad in ["", "a\nb", "a\u{7f}"] {
        assert!(Reference::new("snp", bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_kernel_goes_with_its_command_line_and_nothing_goes_without_a_kernel() {
    let snp = "v measure snp --name n --firmware f --vcpu-type EPYC --vcpus 1 --guest-features 1 \
               --hypervisor qemu";
    let parse = |line: String| Arguments::try_parse_from(line.split(' '));
    assert!(parse(snp.to_owned()).is_ok());
    assert!(parse(format!("{snp} --kernel k --command-line a")).is_ok());
    for bad in [
        "--kernel k",
        "--command-line a",
        "--initrd i",
        "--initrd i --command-line a",
    ] {
        assert!(parse(format!("{snp} {bad}")).is_err(), "{bad}");
    }
    assert!(parse(snp.replace("features 1", "features +1")).is_err());
}

#[test]
fn a_kernel_is_covered_only_by_firmware_that_halts_at_another() {
    let covers = |wrong_kernel| snp_coverage(wrong_kernel).1;
    assert_eq!(covers(Some(WrongKernelName::Halts)), ALL_OF_BOOT);
    assert_eq!(covers(Some(WrongKernelName::BootsOn)), ["firmware"]);
    assert_eq!(covers(None), ["firmware"]);
    let line = "v measure snp --name n --firmware f --vcpu-type EPYC --vcpus 1 --guest-features 1 \
                --hypervisor qemu --kernel k --command-line a";
    let obstacle = measured(line).unwrap_err().to_string();
    assert!(obstacle.contains("--wrong-kernel"), "{obstacle}");
    let alone = line.replace("--kernel k --command-line a", "--wrong-kernel halts");
    assert!(Arguments::try_parse_from(alone.split(' ')).is_err());
}

#[test]
fn what_is_no_image_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image");
    fs::write(&file, [0; 8192]).unwrap();
    let file = file.display();
    for (line, told) in [
        (
            format!("v measure tdx --name n --firmware {file} --page-order page"),
            "table of GUIDs",
        ),
        (
            format!("v measure uki {file} --name n --inner-kernel measured --phases ready"),
            "no PE image",
        ),
        (
            format!(
                "v measure snp --name n --firmware {file} --vcpu-type EPYC --vcpus 1 \
                 --guest-features 1 --hypervisor ec2 --kernel {file} --command-line a \
                 --wrong-kernel halts"
            ),
            "EC2 writes no hashes",
        ),
    ] {
        let obstacle = measured(&line).unwrap_err().to_string();
        assert!(obstacle.contains(told), "{obstacle}");
    }
}
