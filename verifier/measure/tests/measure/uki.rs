//! PCR 4 and PCR 11, against `systemd-measure` where it is installed.

use crate::images::{PeDraft, hex};
use nitride_measure::uki::{InnerKernel, UkiBoot, UkiFault, uki_pcrs};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;
use std::process::Command;

const MAGIC: &[u8] = b"#### LoaderInfo: systemd-stub 252.39-1 ####\0";
const PHASES: &[&str] = &["enter-initrd", "leave-initrd", "sysinit", "ready"];
const SHIM: &[u8] = b"sbat,1,SBAT Version,sbat,1,url\nshim,4,UEFI shim,shim,1,url\n";
const SYSTEMD_MEASURE: &str = "/usr/lib/systemd/systemd-measure";

fn inner() -> Vec<u8> {
    PeDraft::of(&[(".text", b"the kernel inside")]).image()
}

/// Not in the order of measuring.
fn draft() -> PeDraft {
    PeDraft::of(&[
        (".text", b"the stub"),
        (".sdmagic", MAGIC),
        (".sbat", b"sbat,1"),
        (".initrd", b"cpio"),
        (".cmdline", b"root=/dev/vda quiet"),
        (".osrel", b"ID=nitride\n"),
        (".pcrsig", b"{}"),
        (".pcrpkey", b"a public key"),
        (".linux", &inner()),
    ])
}

fn boot<'a>(image: &'a [u8], phases: &'a [&'a str]) -> UkiBoot<'a> {
    UkiBoot {
        image,
        loaders: &[],
        inner_kernel: InnerKernel::NotMeasured,
        phases,
    }
}

fn extended(events: &[&[u8]]) -> String {
    let mut register = vec![0; 32];
    for event in events {
        register.extend(Sha256::digest(event));
        register = Sha256::digest(&register).to_vec();
    }
    hex(&register)
}

fn authenticode(image: &[u8]) -> Vec<u8> {
    let checksum_at = 0x40 + 24 + 64;
    let entry_at = 0x40 + 24 + 112 + 32;
    let mut hashed = image[..checksum_at].to_vec();
    hashed.extend(&image[checksum_at + 4..entry_at]);
    hashed.extend(&image[entry_at + 8..]);
    hashed
}

#[test]
fn pcr_11_has_each_section_by_name_and_contents_in_the_stubs_order() {
    let image = draft().image();
    let measured = uki_pcrs(&boot(&image, &["enter-initrd"])).unwrap();
    let kernel = inner();
    let expected = extended(&[
        b".linux\0",
        &kernel,
        b".osrel\0",
        b"ID=nitride\n",
        b".cmdline\0",
        b"root=/dev/vda quiet",
        b".initrd\0",
        b"cpio",
        b".pcrpkey\0",
        b"a public key",
        b"enter-initrd",
    ]);
    assert_eq!(hex(&measured.pcr11), expected);
    assert!(measured.has_command_line && measured.has_initrd);
}

#[test]
fn a_section_is_measured_as_it_lies_in_memory() {
    let mut longer = draft();
    longer.sections[3].2 = 600;
    let mut padded = draft();
    // What pads the file is measured as far as the section is long, then zeros are.
    let mut in_file = b"cpio".to_vec();
    in_file.resize(512, 0xee);
    in_file.resize(604, 0);
    padded.sections[3].1 = in_file;
    let (longer, padded) = (longer.image(), padded.image());
    let pcr11 = |image: &[u8]| uki_pcrs(&boot(image, PHASES)).unwrap().pcr11;
    assert_eq!(pcr11(&longer), pcr11(&padded));
}

#[test]
fn pcr_4_has_every_image_that_firmware_loads() {
    let image = draft().image();
    let loader = PeDraft::of(&[(".text", b"a loader"), (".sbat", SHIM)]).image();
    let calling: &[u8] = b"Calling EFI Application from Boot Option";
    let alone = uki_pcrs(&boot(&image, PHASES)).unwrap();
    assert_eq!(hex(&alone.pcr2), extended(&[&[0; 4]]));
    let hashed = authenticode(&image);
    assert_eq!(hex(&alone.pcr4), extended(&[calling, &[0; 4], &hashed]));
    let loaders: &[&[u8]] = &[&loader];
    let whole = UkiBoot {
        loaders,
        inner_kernel: InnerKernel::Measured,
        ..boot(&image, PHASES)
    };
    let whole = uki_pcrs(&whole).unwrap();
    let (first, last) = (authenticode(&loader), authenticode(&inner()));
    let expected = extended(&[calling, &[0; 4], &first, &hashed, &last]);
    assert_eq!(hex(&whole.pcr4), expected);
    assert_eq!(whole.pcr11, alone.pcr11);
}

#[test]
fn a_signature_and_its_checksum_change_no_pcr() {
    let plain = draft();
    let signed = PeDraft {
        checksum: 0x1234_5678,
        certificates: vec![7; 64],
        ..plain.clone()
    };
    let tail = PeDraft {
        tail: vec![7; 64],
        ..plain.clone()
    };
    let (plain, signed, tail) = (plain.image(), signed.image(), tail.image());
    let measured = uki_pcrs(&boot(&plain, PHASES)).unwrap();
    assert_eq!(uki_pcrs(&boot(&signed, PHASES)).unwrap(), measured);
    assert_ne!(uki_pcrs(&boot(&tail, PHASES)).unwrap().pcr4, measured.pcr4);
}

#[test]
fn what_depends_on_a_choice_or_an_unknown_stub_is_refused() {
    let refused = |change: &dyn Fn(&mut PeDraft)| {
        let mut draft = draft();
        change(&mut draft);
        uki_pcrs(&boot(&draft.image(), PHASES)).unwrap_err()
    };
    let add = |name: &'static str| refused(&|d| d.sections.push((name, b"x".to_vec(), 0)));
    assert_eq!(add(".profile"), UkiFault::Chosen(".profile"));
    assert_eq!(add(".dtbauto"), UkiFault::Chosen(".dtbauto"));
    assert_eq!(add(".cmdline"), UkiFault::SectionTwice(".cmdline"));
    let stub = |magic: &[u8]| refused(&|d| d.sections[1].1 = magic.to_vec());
    assert_eq!(
        stub(b"#### LoaderInfo: systemd-stub 253 ####"),
        UkiFault::Stub
    );
    assert_eq!(stub(b"#### LoaderInfo: another 254 ####"), UkiFault::Stub);
    let without = |index: usize| {
        refused(&|d| {
            d.sections.remove(index);
        })
    };
    assert_eq!(without(1), UkiFault::NoSection(".sdmagic"));
    assert_eq!(without(8), UkiFault::NoSection(".linux"));
    let longest = refused(&|d| d.sections[3].2 = 0x7fff_0000);
    assert_eq!(longest, UkiFault::TooLong);
}

#[test]
fn a_loader_that_starts_what_no_pcr_has_is_refused() {
    let image = draft().image();
    let with = |sections: &[(&'static str, &[u8])]| {
        let loader = PeDraft::of(sections).image();
        uki_pcrs(&UkiBoot {
            loaders: &[&loader],
            ..boot(&image, PHASES)
        })
    };
    let grub = Err(UkiFault::LoaderIsGrub { index: 0 });
    assert_eq!(with(&[("mods", b"modules")]), grub);
    // Whatever else it says that it is.
    assert_eq!(with(&[(".sbat", SHIM), ("mods", b"modules")]), grub);
    for said in [&b"sbat,1\ngrub,4,a\n"[..], b"sbat,1\nshim,4\ngrub.debian,4"] {
        assert_eq!(with(&[(".sbat", said)]), grub);
    }
    let unknown = Err(UkiFault::LoaderNotKnown { index: 0 });
    for (section, said) in [
        (".text", &b"code"[..]),
        (".sbat", b"sbat,1\nrefind,1,a\n"),
        (".sbat", b"sbat,1,shim,1\nshimmer,1"),
        (".sdmagic", b"#### LoaderInfo: another 257 ####"),
        (".sdmagic", MAGIC),
    ] {
        assert_eq!(with(&[(section, said)]), unknown, "{section}");
    }
    let systemd_boot = b"#### LoaderInfo: systemd-boot 257.9-1 ####\0";
    assert!(with(&[(".sdmagic", systemd_boot)]).is_ok());
    assert!(with(&[(".sbat", SHIM)]).is_ok());
}

#[test]
fn phases_are_words() {
    let image = draft().image();
    for bad in [&[""][..], &["enter-initrd:leave-initrd"], &["Ready"]] {
        let refused = uki_pcrs(&boot(&image, bad));
        assert!(matches!(refused, Err(UkiFault::Phase(_))), "{bad:?}");
    }
    assert_eq!(
        uki_pcrs(&boot(&image, &["a"; 33])),
        Err(UkiFault::Phases(33))
    );
}

/// Its version 252 knows the sections that stub 252 measures; every later one knows them too.
#[test]
fn systemd_measure_comes_to_the_same_pcr_11() {
    if !Path::new(SYSTEMD_MEASURE).exists() {
        eprintln!("skipped: there is no {SYSTEMD_MEASURE}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(SYSTEMD_MEASURE);
    command.args(["calculate", "--bank=sha256", "--json=short"]);
    command.arg(format!("--phase={}", PHASES.join(":")));
    for name in ["linux", "osrel", "cmdline", "initrd", "pcrpkey"] {
        let draft = draft();
        let mut sections = draft.sections.iter();
        let section = sections
            .find(|(named, ..)| named.get(1..) == Some(name))
            .unwrap();
        let path = folder.path().join(name);
        fs::write(&path, &section.1).unwrap();
        command.arg(format!("--{name}={}", path.display()));
    }
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        // Some versions want a TPM or OpenSSL's library even to calculate.
        eprintln!("skipped: systemd-measure does not calculate here: {errors}");
        return;
    }
    let image = draft().image();
    let measured = hex(&uki_pcrs(&boot(&image, PHASES)).unwrap().pcr11);
    assert!(said.contains(&measured), "{measured} is not in {said}");
}
