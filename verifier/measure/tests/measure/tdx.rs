//! MRTD and RTMRs, written out once more from the specifications, call by call.

use crate::images::{FirmwareDraft, PeDraft, hex};
use nitride_measure::tdx::{DirectBoot, InitrdArgument, PageOrder, TdxFault, direct_boot, mr_td};
use sha2::{Digest, Sha384};

fn call(name: &str, address: u64) -> Vec<u8> {
    let mut record = vec![0; 128];
    record[..name.len()].copy_from_slice(name.as_bytes());
    record[16..24].copy_from_slice(&address.to_le_bytes());
    record
}

/// The firmware of [`FirmwareDraft::default`]: three measured pages, then five that are only added.
fn expected(image: &[u8], order: PageOrder) -> String {
    let mut module: Vec<u8> = Vec::new();
    let measured = |module: &mut Vec<u8>, page: u64| {
        for chunk in 0..16u64 {
            let offset = page * 4096 + chunk * 256;
            module.extend(call("MR.EXTEND", 0xffff_d000 + offset));
            let at = usize::try_from(0x1000 + offset).unwrap();
            module.extend(&image[at..at + 256]);
        }
    };
    for page in 0..3 {
        module.extend(call("MEM.PAGE.ADD", 0xffff_d000 + page * 4096));
        if order == PageOrder::PageByPage {
            measured(&mut module, page);
        }
    }
    if order == PageOrder::SectionBySection {
        (0..3).for_each(|page| measured(&mut module, page));
    }
    for address in [0xffff_c000, 0x81_0000, 0x81_1000, 0x80_9000, 0x80_a000] {
        module.extend(call("MEM.PAGE.ADD", address));
    }
    hex(&Sha384::digest(&module))
}

#[test]
fn mr_td_is_what_the_module_is_called_with() {
    let image = FirmwareDraft::default().image();
    for order in [PageOrder::PageByPage, PageOrder::SectionBySection] {
        let measured = hex(&mr_td(&image, order).unwrap());
        assert_eq!(measured, expected(&image, order), "{order:?}");
    }
    assert_ne!(
        mr_td(&image, PageOrder::PageByPage),
        mr_td(&image, PageOrder::SectionBySection)
    );
}

#[test]
fn variables_do_not_change_mr_td_and_the_boot_volume_does() {
    let image = FirmwareDraft::default().image();
    let measured = mr_td(&image, PageOrder::PageByPage).unwrap();
    let mut variables = image.clone();
    variables[0x800] ^= 1;
    assert_eq!(mr_td(&variables, PageOrder::PageByPage), Ok(measured));
    let mut code = image;
    code[0x1800] ^= 1;
    assert_ne!(mr_td(&code, PageOrder::PageByPage), Ok(measured));
}

#[test]
fn each_defect_of_the_descriptor_is_refused_by_name() {
    type Change = fn(&mut FirmwareDraft);
    let refused = |change: Change| {
        let mut draft = FirmwareDraft::default();
        change(&mut draft);
        let refused = mr_td(&draft.image(), PageOrder::PageByPage);
        refused.unwrap_err().to_string()
    };
    let defects: [(&str, Change); 15] = [
        ("type 4", |d| d.tdx[2].4 = 4),
        ("attributes", |d| d.tdx[0].5 = 3),
        ("whole pages", |d| d.tdx[2].3 = 0x800),
        ("whole pages", |d| d.tdx[2].3 = 0),
        ("whole pages", |d| d.tdx[2].2 = 0x800),
        ("beyond all memory", |d| d.tdx[2].2 = u64::MAX - 0xfff),
        ("256 MiB", |d| d.tdx[2].3 = 1 << 30),
        ("as long as its memory", |d| d.tdx[0].1 = 0x1000),
        ("outside of the image", |d| d.tdx[0].0 = 0x2000),
        ("hypervisor's has data", |d| d.tdx[2].1 = 0x1000),
        ("hypervisor's is measured", |d| d.tdx[3].5 = 1),
        ("share memory", |d| d.tdx[2].2 = 0x80_a000),
        ("volume is not measured", |d| d.tdx[0].5 = 0),
        ("where processors start", |d| d.tdx[0].2 = 0xfff0_0000),
        ("where processors start", |d| {
            d.tdx.remove(0);
        }),
    ];
    for (told, change) in defects {
        let error = refused(change);
        assert!(error.contains(told), "{told}: {error}");
    }
}

fn extended(events: &[&[u8]]) -> String {
    let mut register = vec![0; 48];
    for event in events {
        register.extend(Sha384::digest(event));
        register = Sha384::digest(&register).to_vec();
    }
    hex(&register)
}

fn kernel() -> PeDraft {
    PeDraft::of(&[(".text", b"code"), (".data", b"data")])
}

fn boot(kernel: &[u8]) -> DirectBoot<'_> {
    DirectBoot {
        kernel,
        initrd: Some(b"cpio"),
        command_line: "quiet",
        initrd_argument: InitrdArgument::Before,
    }
}

#[test]
fn a_direct_boot_measures_line_then_initrd() {
    let image = kernel().image();
    let wide = |text: &str| -> Vec<u8> { text.bytes().flat_map(|byte| [byte, 0]).collect() };
    let with = direct_boot(&boot(&image)).unwrap();
    let line = wide("initrd=initrd quiet\0");
    assert_eq!(hex(&with.rtmr2), extended(&[&line, b"cpio"]));
    let without = DirectBoot {
        initrd: None,
        ..boot(&image)
    };
    let without = direct_boot(&without).unwrap();
    assert_eq!(hex(&without.rtmr2), extended(&[&wide("quiet\0")]));
    assert_eq!(with.rtmr1, without.rtmr1);
    // The firmware then hands over no options, and the kernel measures none.
    let nothing = DirectBoot {
        command_line: "",
        ..boot(&image)
    };
    let with = direct_boot(&nothing).unwrap();
    let line = wide("initrd=initrd \0");
    assert_eq!(hex(&with.rtmr2), extended(&[&line, b"cpio"]));
    let nothing = DirectBoot {
        initrd: None,
        ..nothing
    };
    assert_eq!(direct_boot(&nothing).unwrap().rtmr2, [0; 48]);
}

#[test]
fn a_direct_boot_measures_the_kernel_before_the_firmware_says_that_it_starts_it() {
    let image = kernel().image();
    // The digest of the image, from its parts.
    let headers = &image[..512];
    let checksum_at = 0x40 + 24 + 64;
    let entry_at = 0x40 + 24 + 112 + 32;
    let mut hashed = headers[..checksum_at].to_vec();
    hashed.extend(&headers[checksum_at + 4..entry_at]);
    hashed.extend(&headers[entry_at + 8..]);
    hashed.extend(&image[512..]);
    let measured = direct_boot(&boot(&image)).unwrap();
    let expected = extended(&[
        &hashed,
        b"Calling EFI Application from Boot Option",
        &[0; 4],
        b"Exit Boot Services Invocation",
        b"Exit Boot Services Returned with Success",
    ]);
    assert_eq!(hex(&measured.rtmr1), expected);
}

#[test]
fn what_cannot_be_handed_over_is_refused() {
    let image = kernel().image();
    let line = |command_line| {
        direct_boot(&DirectBoot {
            command_line,
            ..boot(&image)
        })
    };
    assert_eq!(line("a\0b"), Err(TdxFault::CommandLineNul));
    assert_eq!(line("ä"), Err(TdxFault::CommandLineNotAscii));
    let uki = PeDraft::of(&[(".linux", b"kernel")]).image();
    assert_eq!(direct_boot(&boot(&uki)), Err(TdxFault::UnifiedKernelImage));
    let refused = direct_boot(&boot(b"no PE"));
    assert!(matches!(refused, Err(TdxFault::Kernel(_))));
}
