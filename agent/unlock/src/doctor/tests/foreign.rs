use super::*;
use crate::doctor::checks::GENERATORS;
use std::fs::read_to_string;

/// The module that closes an initrd of dracut's.
const CLOSED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../packaging/dracut/99nitride-closed"
);

fn says_instead(facts: &mut Facts, word: &str, other: &str) {
    let line = &mut facts.machine.command_line;
    assert!(line.contains(word), "{word}");
    *line = line.replace(word, other);
}

#[test]
fn an_initrd_that_resumes_another_kernel_is_found() {
    const UNITS: &str = "usr/lib/systemd/system";
    type Defect = fn(&mut Facts);
    let defects: &[Defect] = &[
        |f| said(f, "resume=/dev/vdb"),
        |f| said(f, "resume_offset=4096"),
        |f| says_instead(f, "nohibernate", ""),
        |f| says_instead(f, "nohibernate", "hibernate=noresume"),
        // The kernel was started with something else than what the initrd says to itself.
        |f| {
            says_instead(f, "nohibernate", "");
            with(f, "etc/cmdline.d/91-x.conf = nohibernate");
        },
        |f| with(f, "etc/cmdline.d/95resume.conf = resume=UUID=1234"),
        |f| with(f, &format!("{UNITS}/systemd-hibernate-resume.service")),
        |f| with(f, &format!("{UNITS}/systemd-hibernate-resume@.service")),
        |f| with(f, "bin/resume"),
        |f| with(f, "scripts/local-premount/resume"),
        |f| with(f, "conf/conf.d/zz-resume-auto = RESUME=UUID=1234"),
        |f| with(f, "conf/initramfs.conf = export RESUME=\"/dev/vdb\""),
    ];
    for (at, defect) in defects.iter().enumerate() {
        let mut facts = good();
        defect(&mut facts);
        assert_eq!(found(&facts), ["resume"], "{at}");
    }
}

#[test]
fn an_initrd_that_resumes_nothing_is_not_blamed() {
    let mut facts = good();
    with(
        &mut facts,
        "conf/conf.d/resume = RESUME=none\n\
         conf/initramfs.conf = RESUME=\n\
         usr/lib/systemd/system/systemd-hibernate-resume.service\n\
         etc/systemd/system/systemd-hibernate-resume.service -> /dev/null",
    );
    says_instead(&mut facts, "nohibernate", "hibernate=no");
    assert_eq!(found(&facts), Vec::<&str>::new());
}

#[test]
fn credentials_are_refused_where_pid_1_looks() {
    const WORD: &str = "systemd.import_credentials=no";
    for other in [
        "",
        "systemd.import_credentials",
        "systemd.import_credentials=yes",
        "systemd.import_credentials=no systemd.import-credentials=1",
        "systemd.import_credentials=no rd.systemd.import_credentials=yes",
        // Which says nothing to the system.
        "rd.systemd.import_credentials=no",
    ] {
        let mut facts = good();
        says_instead(&mut facts, WORD, other);
        // Nor does the initrd say it for PID 1.
        with(&mut facts, &format!("etc/cmdline.d/91-x.conf = {WORD}"));
        assert_eq!(found(&facts), ["credentials"], "{other}");
    }
    for other in [
        "systemd.import-credentials=0",
        "systemd.import_credentials=Off",
        "systemd.import_credentials=no rd.systemd.import_credentials=no",
    ] {
        let mut facts = good();
        says_instead(&mut facts, WORD, other);
        assert_eq!(found(&facts), Vec::<&str>::new(), "{other}");
    }
}

#[test]
fn variables_of_the_firmware_are_kept_from_everybody() {
    const WORD: &str = "efi=noruntime";
    for (other, is_good) in [
        ("", false),
        ("noruntime", false),
        ("efi=runtime", false),
        ("efi=nosoftreserve", false),
        ("efi=noruntime efi=runtime", false),
        ("efi=noruntime,runtime", false),
        ("efi=debug,noruntime", true),
        ("efi=runtime efi=noruntime", true),
        ("efi=noruntime efi=debug", true),
    ] {
        let mut facts = good();
        says_instead(&mut facts, WORD, other);
        // Which the kernel does not read.
        with(&mut facts, &format!("etc/cmdline.d/91-x.conf = {WORD}"));
        let expected: &[&str] = if is_good {
            &[]
        } else {
            &["firmware-variables"]
        };
        assert_eq!(found(&facts), expected, "{other}");
    }
}

#[test]
fn a_generator_that_is_not_on_the_list_is_found() {
    for line in [
        &generator("systemd-hibernate-resume"),
        &generator("systemd-debug"),
        &generator("systemd-run"),
        &generator("x"),
        "etc/systemd/system-generators/x",
        "run/systemd/system-generators/x",
        "lib/systemd/system-generators/x",
        "usr/local/lib/systemd/system-generators/x -> ../x",
        "usr/lib/systemd/system-environment-generators/10-x",
        // That it is on the list does not make the host's words its own.
        &generator("systemd-fstab"),
        &generator("systemd-veritysetup"),
        "usr/lib/systemd/system/systemd-sysext.service",
        "usr/lib/systemd/system/systemd-confext-sysroot.service",
        "usr/lib/systemd/system-generators/systemd-fstab-generator -> ../x",
    ] {
        let mut facts = good();
        with(&mut facts, line);
        assert_eq!(found(&facts), ["generators"], "{line}");
    }
    let mut facts = good();
    with(
        &mut facts,
        "etc/systemd/system-generators/systemd-run-generator -> /dev/null",
    );
    assert_eq!(found(&facts), Vec::<&str>::new());
}

#[test]
fn a_generator_of_systemds_has_what_stands_before_it() {
    const FSTAB: &str = "usr/lib/systemd/system-generators/systemd-fstab-generator";
    let whole = read_to_string(format!("{CLOSED}/fstab-generator")).unwrap();
    let judge_as = |name: &str, text: &str| {
        let mut files = text_files(INITRD);
        files.insert(name.to_owned(), File::Plain(Some(text.into())));
        let mut facts = good();
        facts.machine.initrd = Ok(Initrd::of_files(files));
        found(&facts)
    };
    let judge = |text: &str| judge_as(FSTAB, text);
    assert_eq!(judge(&whole), Vec::<&str>::new());
    // Which makes no other one known.
    assert_eq!(judge_as(&generator("x"), &whole), ["generators"]);
    for line in ["unset CREDENTIALS_DIRECTORY", "export SYSTEMD_EFI_OPTIONS"] {
        let kept = whole.lines().filter(|other| !other.starts_with(line));
        let text: String = kept.map(|line| format!("{line}\n")).collect();
        assert_eq!(judge(&text), ["generators"], "{line}");
    }
}

#[test]
fn an_initrd_of_scripts_needs_the_same_words() {
    let mut facts = good();
    of_scripts(&mut facts, "\n# nitride: closed\n");
    assert_eq!(found(&facts), Vec::<&str>::new());
    for word in WORDS.split(' ') {
        let mut facts = good();
        of_scripts(&mut facts, "\n# nitride: closed\n");
        says_instead(&mut facts, word, "");
        assert_eq!(found(&facts).len(), 1, "{word}");
    }
}

#[test]
fn the_list_of_generators_is_that_of_the_module_that_closes_the_initrd() {
    let text = read_to_string(format!("{CLOSED}/module-setup.sh")).unwrap();
    let (_, list) = text.split_once("\nNITRIDE_GENERATORS=(").unwrap();
    let (list, _) = list.split_once(')').unwrap();
    let left: Vec<&str> = list.split_whitespace().collect();
    assert_eq!(left, GENERATORS);
}
