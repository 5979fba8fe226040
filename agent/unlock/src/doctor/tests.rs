use super::facts::{
    Endpoint, Expectation, Facts, Machine, Round, Service, Vault, host_and_port, modules,
};
use super::initrd::{File, Initrd};
use super::own::OwnFile;
use super::*;
use crate::luks2::{Standing, Which};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

mod foreign;

/// What a closed initrd has: files, some with what stands in them (`=`), and links (`->`).
const INITRD: &str = "\
usr/bin/vhsmd
usr/bin/nitride-agent
usr/bin/nitride-unlock
usr/libexec/nitride-quote
usr/sbin/cryptsetup
usr/lib/x86_64-linux-gnu/cryptsetup/libcryptsetup-token-systemd-tpm2.so
etc/vhsm/vhsmd.toml = vhsmd
etc/nitride/agent.toml = agent
etc/nitride/unlock.toml = unlock
etc/nitride/ca.pem = ca
etc/sysctl.d/99-nitride.conf = kernel.sysrq = 0
usr/lib/sysctl.d/50-default.conf = -kernel/sysrq = 438
usr/lib/modules/6.12/kernel/drivers/md/dm-crypt.ko.xz
usr/lib/modules/6.12/kernel/drivers/net/virtio_net.ko.zst
usr/lib/systemd/systemd
usr/lib/systemd/systemd-resolved
usr/lib/systemd/system-generators/dracut-rootfs-generator
usr/lib/systemd/system/nitride-leave.service
usr/lib/systemd/system/nitride-closed.service
usr/lib/systemd/system/emergency.service
etc/systemd/system/emergency.service -> /dev/null
etc/systemd/system/rescue.service -> /usr/lib/systemd/system/nitride-closed.service
usr/lib/systemd/system/sysinit.target.wants/getty@.service -> ../getty@.service
";

/// What no initrd can say for the kernel and PID 1.
const WORDS: &str = "nohibernate systemd.import_credentials=no efi=noruntime";

fn initrd(text: &str) -> Initrd {
    Initrd::of_files(text_files(text))
}

fn text_files(text: &str) -> BTreeMap<String, File> {
    let file = |line: &str| match line.split_once(" -> ") {
        Some((path, target)) => (path.to_owned(), File::Link(target.to_owned())),
        None => match line.split_once(" = ") {
            Some((path, text)) => (path.to_owned(), File::Plain(Some(text.into()))),
            None => (line.to_owned(), File::Plain(None)),
        },
    };
    text.lines().map(file).collect()
}

/// A machine that unlocks, and is closed.
fn good() -> Facts {
    let endpoint = Endpoint {
        host: "provision.example".to_owned(),
        resolves: true,
        answers: true,
    };
    let own = |inside: &str, text: &str| OwnFile {
        inside: inside.to_owned(),
        here: Ok(text.into()),
    };
    Facts {
        machine: Machine {
            initrd: Ok(initrd(INITRD)),
            own: vec![
                own("/etc/vhsm/vhsmd.toml", "vhsmd"),
                own("/etc/nitride/agent.toml", "agent"),
                own("/etc/nitride/unlock.toml", "unlock"),
            ],
            cryptsetup: PathBuf::from("/usr/sbin/cryptsetup"),
            command_line: format!(
                "root=/dev/mapper/root rd.shell=0 rd.emergency=poweroff panic=-1 {WORDS}"
            ),
            drivers: BTreeSet::from(["virtio_net".to_owned()]),
            built_in: modules("kernel/drivers/md/dm-mod.ko\n"),
            crypttab: None,
            services: Ok(vec![Service {
                name: "main".to_owned(),
                ca: PathBuf::from("/etc/nitride/ca.pem"),
                ca_is_there: true,
                endpoints: vec![endpoint],
            }]),
            vault: Ok(Vault {
                agent_is_connected: true,
            }),
        },
        name: "root".to_owned(),
        device: PathBuf::from("/dev/vda2"),
        uuid: Some("7dfa3aba-96d9-4de6-90e8-45d3d2d0d897".to_owned()),
        expectation: Expectation::Stated,
        has_integrity: false,
        header: Ok(Standing::Whole),
        round: Ok(Round {
            unlocks: vec!["root".to_owned()],
            other_slots: Vec::new(),
            recovery_slots: Vec::new(),
        }),
    }
}

/// The checks that find something.
fn found(facts: &Facts) -> Vec<&'static str> {
    let bad = CHECKS.iter().filter(|check| (check.judge)(facts).is_bad());
    bad.map(|check| check.name).collect()
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(found(&good()), Vec::<&str>::new());
}

#[test]
fn a_slot_that_is_said_to_be_the_recovery_is_nothing_to_find() {
    let mut facts = good();
    let round = facts.round.as_mut().unwrap();
    round.other_slots.push(3);
    round.recovery_slots.push(3);
    assert_eq!(found(&facts), Vec::<&str>::new());
}

#[test]
fn checks_have_names_of_their_own_and_remedies() {
    for (at, check) in CHECKS.iter().enumerate() {
        assert!(CHECKS[..at].iter().all(|other| other.name != check.name));
        assert!(!check.remedy.is_empty() && !check.remedy.ends_with('.'));
    }
}

/// Takes a file out of the initrd.
fn without(facts: &mut Facts, file: &str) {
    let lines = INITRD.lines().filter(|line| !line.contains(file));
    let text: Vec<&str> = lines.collect();
    facts.machine.initrd = Ok(initrd(&text.join("\n")));
}

fn with(facts: &mut Facts, line: &str) {
    facts.machine.initrd = Ok(initrd(&format!("{INITRD}{line}\n")));
}

fn said(facts: &mut Facts, word: &str) {
    facts.machine.command_line.push(' ');
    facts.machine.command_line.push_str(word);
}

fn generator(name: &str) -> String {
    format!("usr/lib/systemd/system-generators/{name}-generator")
}

fn crypttab(facts: &mut Facts, text: &str) {
    facts.machine.crypttab = Some(text.to_owned());
}

fn service(facts: &mut Facts) -> &mut Service {
    &mut facts.machine.services.as_mut().unwrap()[0]
}

#[test]
fn each_defect_is_found_by_its_check_alone() {
    type Defect = (&'static str, fn(&mut Facts));
    let defects: &[Defect] = &[
        ("initrd-programs", |f| without(f, "usr/bin/vhsmd")),
        ("initrd-programs", |f| without(f, "nitride-agent")),
        ("initrd-programs", |f| without(f, "nitride-unlock")),
        ("initrd-programs", |f| without(f, "nitride-quote")),
        // A folder of that name is not the program.
        ("initrd-programs", |f| without(f, "usr/sbin/cryptsetup")),
        ("initrd-programs", |f| {
            f.machine.cryptsetup = PathBuf::from("/opt/cryptsetup");
        }),
        ("initrd-configuration", |f| without(f, "unlock.toml")),
        ("initrd-configuration", |f| without(f, "agent.toml")),
        // Such as the `danger-any-header` of the first boot.
        ("initrd-configuration", |f| {
            with(f, "etc/nitride/unlock.toml = older");
        }),
        ("initrd-configuration", |f| {
            with(f, "etc/nitride/unlock.toml -> elsewhere");
        }),
        ("initrd-configuration", |f| {
            f.machine.own[0].here = Err("no file".to_owned());
        }),
        ("initrd-leave", |f| without(f, "nitride-leave")),
        ("initrd-leave", |f| {
            with(f, "etc/systemd/system/nitride-leave.service -> /dev/null");
        }),
        ("initrd-crypt", |f| without(f, "dm-crypt")),
        ("initrd-crypt", |f| f.has_integrity = true),
        ("initrd-crypt", |f| {
            with(f, "usr/lib/modules/6.11/kernel/drivers/md/dm-crypt.ko");
        }),
        ("initrd-crypt", |f| f.machine.built_in.clear()),
        ("network-driver", |f| without(f, "virtio_net")),
        ("network-driver", |f| f.machine.drivers.clear()),
        ("resolver", |f| without(f, "systemd-resolved")),
        ("dns", |f| service(f).endpoints[0].resolves = false),
        ("ca", |f| service(f).ca_is_there = false),
        ("ca", |f| without(f, "ca.pem")),
        ("service", |f| service(f).endpoints[0].answers = false),
        ("service", |f| service(f).endpoints.clear()),
        ("vault", |f| f.machine.vault = Err("no socket".to_owned())),
        ("vault", |f| {
            f.machine.vault = Ok(Vault {
                agent_is_connected: false,
            });
        }),
        ("expectation", |f| f.expectation = Expectation::Any),
        ("opener", |f| said(f, "rd.luks.name=7dfa3aba=root")),
        ("opener", |f| said(f, "rd.luks.uuid=7dfa3aba luks=1")),
        ("opener", |f| said(f, "luks.uuid=7dfa3aba rd.luks=0")),
        ("opener", |f| with(f, &generator("systemd-cryptsetup"))),
        ("opener", |f| with(f, &generator("systemd-gpt-auto"))),
        ("opener", |f| with(f, "etc/crypttab = root /dev/vda2")),
        ("opener", |f| with(f, "etc/crypttab -> elsewhere")),
        ("opener", |f| {
            with(f, "cryptroot/crypttab = root UUID=x none luks");
        }),
        ("opener", |f| crypttab(f, "root /dev/vdb2")),
        ("opener", |f| crypttab(f, "x /dev/vda2 none")),
        ("opener", |f| {
            crypttab(f, "# ours\nx UUID=7dfa3aba-96d9-4de6-90e8-45d3d2d0d897");
        }),
        ("header", |f| f.header = Err("refused".to_owned())),
        ("header", |f| {
            let good = Which::Backup;
            f.header = Ok(Standing::CutOff { good });
        }),
        ("round", |f| f.round.as_mut().unwrap().unlocks.clear()),
        ("slots", |f| f.round.as_mut().unwrap().other_slots.push(3)),
        ("slots", |f| {
            f.round.as_mut().unwrap().recovery_slots.push(3);
        }),
        ("slots", |f| {
            let round = f.round.as_mut().unwrap();
            round.other_slots.extend([2, 3]);
            round.recovery_slots.push(3);
        }),
        ("console-shell", |f| said(f, "rd.break")),
        ("console-shell", |f| said(f, "rd.shell=1")),
        ("console-shell", |f| said(f, "rd.shell")),
        ("console-shell", |f| said(f, "init=/bin/sh")),
        ("console-shell", |f| said(f, "systemd.debug_shell")),
        ("console-shell", |f| said(f, "systemd.debug_shell=1")),
        ("console-shell", |f| said(f, "systemd.unit=rescue.target")),
        ("console-shell", |f| {
            let line = &mut f.machine.command_line;
            *line = line.replace("rd.emergency=poweroff", "");
        }),
        ("console-panic", |f| {
            let line = &mut f.machine.command_line;
            *line = line.replace("panic=-1", "panic=0");
        }),
        ("console-units", |f| without(f, "-> /dev/null")),
        ("console-units", |f| {
            with(f, "usr/lib/systemd/system/serial-getty@.service");
        }),
        // What should power off is not there.
        ("console-units", |f| {
            let files = INITRD.replace(
                "system/nitride-closed.service\nusr",
                "system/x.service\nusr",
            );
            f.machine.initrd = Ok(initrd(&files));
        }),
        ("sysrq", |f| without(f, "99-nitride")),
        ("sysrq", |f| {
            with(f, "etc/sysctl.d/99-zz.conf = kernel.sysrq = 1");
        }),
        ("sysrq", |f| {
            without(f, "sysctl.d");
        }),
        ("sysrq", |f| said(f, "sysctl.kernel.sysrq=1")),
        ("sysrq", |f| said(f, "sysrq_always_enabled")),
    ];
    for (name, defect) in defects {
        let mut facts = good();
        defect(&mut facts);
        assert_eq!(found(&facts), [*name]);
    }
}

#[test]
fn what_could_not_be_found_out_is_not_good() {
    let mut facts = good();
    facts.machine.initrd = Err("no tool".to_owned());
    facts.machine.services = Err("no file".to_owned());
    facts.round = Err("no socket".to_owned());
    let expected = [
        "initrd",
        "initrd-programs",
        "initrd-configuration",
        "initrd-leave",
        "initrd-crypt",
        "network-driver",
        "resolver",
        "dns",
        "ca",
        "service",
        "opener",
        "round",
        "slots",
        "console-units",
        "sysrq",
        "resume",
        "generators",
    ];
    assert_eq!(found(&facts), expected);
}

#[test]
fn a_debug_shell_that_is_turned_off_is_none() {
    let mut facts = good();
    facts
        .machine
        .command_line
        .push_str(" systemd.debug_shell=0");
    assert_eq!(found(&facts), Vec::<&str>::new());
}

#[test]
fn a_service_that_is_named_by_address_needs_no_resolver() {
    let mut facts = good();
    without(&mut facts, "systemd-resolved");
    service(&mut facts).endpoints[0].host = "10.0.2.2".to_owned();
    assert_eq!(found(&facts), Vec::<&str>::new());
}

#[test]
fn what_turns_the_other_openers_off_is_enough() {
    let mut facts = good();
    with(
        &mut facts,
        &format!(
            "{}\n{}",
            generator("systemd-cryptsetup"),
            generator("systemd-gpt-auto")
        ),
    );
    said(
        &mut facts,
        "luks=0 systemd.gpt_auto=0 rd.luks.options=discard",
    );
    assert_eq!(found(&facts), Vec::<&str>::new());
    crypttab(&mut facts, "home UUID=1234 none");
    with(&mut facts, "etc/crypttab = # nothing");
    assert_eq!(found(&facts), Vec::<&str>::new());
}

#[test]
fn what_the_initrd_says_to_itself_counts_before_the_command_line() {
    let mut facts = good();
    with(
        &mut facts,
        "etc/cmdline.d/91-x.conf = rd.shell=0 rd.emergency=poweroff\n\
         etc/sysctl.d/98-x.conf = kernel.panic = -1",
    );
    facts.machine.command_line = format!("root=/dev/mapper/root {WORDS}");
    assert_eq!(found(&facts), Vec::<&str>::new());
    said(&mut facts, "rd.shell=1");
    assert_eq!(found(&facts), ["console-shell"]);
}

/// What differs in an initrd of initramfs-tools.
fn of_scripts(facts: &mut Facts, functions: &str) {
    let lines = INITRD.lines();
    let kept: Vec<_> = lines
        .filter(|line| !line.contains("systemd") && !line.contains("sysctl.d"))
        .collect();
    let text = format!(
        "{}\nusr/lib/libnss_dns.so.2\netc/resolv.conf\nscripts/local-bottom/nitride",
        kept.join("\n")
    );
    let mut files = text_files(&text);
    let mut file = |path: &str, text: &str| {
        files.insert(path.to_owned(), File::Plain(Some(text.into())));
    };
    file("scripts/functions", functions);
    file(
        "scripts/init-top/nitride",
        "#!/bin/sh\necho 0 >/proc/sys/kernel/sysrq\necho -1 >/proc/sys/kernel/panic\n",
    );
    file("etc/vhsm/vhsmd.toml", "a = 1\nb = 2\n");
    facts.machine.own[0].here = Ok(b"a = 1\nunit = \"nitride-agent.service\"\nb = 2\n".into());
    facts.machine.initrd = Ok(Initrd::of_files(files));
    facts.machine.command_line = format!("root=/dev/mapper/root {WORDS}");
}

#[test]
fn an_initrd_of_scripts_is_closed_and_left_by_scripts() {
    const CLOSED: &str = "panic() { sh; }\n\n# nitride: closed\npanic() { poweroff -f; }\n";
    let mut facts = good();
    of_scripts(&mut facts, CLOSED);
    assert_eq!(found(&facts), Vec::<&str>::new());
    facts.machine.own[0].here = Ok(b"a = 1\nunit = \"other.service\"\nb = 2\n".into());
    assert_eq!(found(&facts), ["initrd-configuration"]);
    let mut facts = good();
    of_scripts(&mut facts, "panic() { sh; }\n");
    assert_eq!(found(&facts), ["console-shell"]);
}

#[test]
fn a_vault_that_refuses_other_volumes_is_an_expectation() {
    let mut facts = good();
    facts.expectation = Expectation::ByVault;
    assert_eq!(found(&facts), Vec::<&str>::new());
}

#[test]
fn files_are_found_by_the_name_that_they_have_in_one_usr() {
    let found = initrd("bin/vhsmd\nusr/sbin/cryptsetup\nkernel/dm-mod.ko\nlib/libnss_dns.so.2");
    assert!(found.has("/usr/bin/vhsmd") && found.has("/sbin/cryptsetup"));
    assert!(!found.has("vhsmd") && !found.has("/bin/cryptsetup"));
    assert!(found.has_library("libnss_dns") && !found.has_library("libnss"));
    assert!(found.has_module("dm_mod") && !found.has_module("dm"));
    assert!(found.kernels().is_empty());
}

#[test]
fn hosts_and_ports_come_out_of_urls() {
    let of = |url: &str| host_and_port(url).map(|(host, port)| format!("{host} {port}"));
    assert_eq!(
        of("https://a.example:8443/x").as_deref(),
        Some("a.example 8443")
    );
    assert_eq!(of("https://a.example").as_deref(), Some("a.example 443"));
    assert_eq!(of("http://10.0.2.2/").as_deref(), Some("10.0.2.2 80"));
    assert_eq!(of("https://[::1]:8443").as_deref(), Some("::1 8443"));
    for url in [
        "a.example",
        "ftp://a",
        "https://",
        "https://a:b",
        "https://a:99999",
    ] {
        assert_eq!(of(url), None, "{url}");
    }
}

#[test]
fn what_is_found_is_written_with_its_remedy() {
    let mut out = Vec::new();
    let check = &CHECKS[0];
    write(&mut out, "root", check, &Verdict::Good("fine".to_owned())).unwrap();
    write(&mut out, "root", check, &Verdict::Bad("gone".to_owned())).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("ok    root initrd: fine\nFAIL  root initrd: gone\n      name the"));
}
