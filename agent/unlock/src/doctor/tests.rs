use super::facts::{Endpoint, Facts, Machine, Round, Service, Vault, host_and_port, modules};
use super::initrd::Listing;
use super::*;
use crate::luks2::{Standing, Which};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// As `lsinitrd` lists it, with what a closed initrd has.
const INITRD: &str = "\
Image: /boot/initrd.img: 30M
drwxr-xr-x   3 root     root            0 Jan  1 00:00 .
-rwxr-xr-x   1 root     root       100000 Jan  1 00:00 usr/bin/vhsmd
-rwxr-xr-x   1 root     root       100000 Jan  1 00:00 usr/bin/nitride-agent
-rwxr-xr-x   1 root     root       100000 Jan  1 00:00 usr/libexec/nitride-unlock
-rwxr-xr-x   1 root     root       100000 Jan  1 00:00 usr/sbin/cryptsetup
-rw-r--r--   1 root     root          100 Jan  1 00:00 etc/vhsm/vhsmd.toml
-rw-r--r--   1 root     root          100 Jan  1 00:00 etc/nitride/agent.toml
-rw-r--r--   1 root     root          100 Jan  1 00:00 etc/nitride/unlock.toml
-rw-r--r--   1 root     root          100 Jan  1 00:00 etc/nitride/ca.pem
-rw-r--r--   1 root     root          100 Jan  1 00:00 usr/lib/modules/6.12/kernel/drivers/md/dm-crypt.ko.xz
-rw-r--r--   1 root     root          100 Jan  1 00:00 usr/lib/modules/6.12/kernel/drivers/net/virtio_net.ko.zst
-rwxr-xr-x   1 root     root       100000 Jan  1 00:00 usr/lib/systemd/systemd-resolved
-rw-r--r--   1 root     root          100 Jan  1 00:00 usr/lib/systemd/system/emergency.service
lrwxrwxrwx   1 root     root            9 Jan  1 00:00 etc/systemd/system/emergency.service -> /dev/null
lrwxrwxrwx   1 root     root           10 Jan  1 00:00 usr/lib/systemd/system/sysinit.target.wants/getty@.service -> ../getty@.service
";

/// A machine that unlocks, and is closed.
fn good() -> Facts {
    let endpoint = Endpoint {
        host: "provision.example".to_owned(),
        resolves: true,
        answers: true,
    };
    Facts {
        machine: Machine {
            initrd: Ok(Listing::parse(INITRD)),
            command_line: "root=/dev/mapper/root rd.shell=0 rd.emergency=poweroff panic=-1"
                .to_owned(),
            drivers: BTreeSet::from(["virtio_net".to_owned()]),
            built_in: modules("kernel/drivers/md/dm-mod.ko\n"),
            sysrq: Some(0),
            configuration: PathBuf::from("/etc/nitride/agent.toml"),
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
        is_expected: true,
        header: Ok(Standing::Whole),
        round: Ok(Round {
            unlocks: vec!["root".to_owned()],
            other_slots: Vec::new(),
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
    facts.machine.initrd = Ok(Listing::parse(&text.join("\n")));
}

fn with(facts: &mut Facts, line: &str) {
    facts.machine.initrd = Ok(Listing::parse(&format!("{INITRD}{line}\n")));
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
        ("initrd-programs", |f| without(f, "cryptsetup")),
        ("initrd-configuration", |f| without(f, "unlock.toml")),
        ("initrd-configuration", |f| without(f, "agent.toml")),
        ("initrd-crypt", |f| without(f, "dm-crypt")),
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
        ("expectation", |f| f.is_expected = false),
        ("header", |f| f.header = Err("refused".to_owned())),
        ("header", |f| {
            let good = Which::Backup;
            f.header = Ok(Standing::CutOff { good });
        }),
        ("round", |f| f.round.as_mut().unwrap().unlocks.clear()),
        ("slots", |f| f.round.as_mut().unwrap().other_slots.push(3)),
        ("console-shell", |f| {
            f.machine.command_line.push_str(" rd.break");
        }),
        ("console-shell", |f| {
            f.machine.command_line.push_str(" rd.shell=1");
        }),
        ("console-shell", |f| {
            f.machine.command_line.push_str(" rd.shell");
        }),
        ("console-shell", |f| {
            f.machine.command_line.push_str(" init=/bin/sh");
        }),
        ("console-shell", |f| {
            f.machine.command_line.push_str(" systemd.debug_shell");
        }),
        ("console-shell", |f| {
            f.machine.command_line.push_str(" systemd.debug_shell=1");
        }),
        ("console-shell", |f| {
            f.machine
                .command_line
                .push_str(" systemd.unit=rescue.target");
        }),
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
        ("sysrq", |f| f.machine.sysrq = Some(1)),
        ("sysrq", |f| f.machine.sysrq = None),
        ("sysrq", |f| {
            f.machine.command_line.push_str(" sysrq_always_enabled");
        }),
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
        "initrd-crypt",
        "network-driver",
        "resolver",
        "dns",
        "ca",
        "service",
        "round",
        "slots",
        "console-units",
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
fn paths_alone_are_a_listing_too() {
    let listing = Listing::parse(".\nusr/bin/vhsmd\n/sbin/cryptsetup\nkernel/dm-mod.ko\n");
    assert!(listing.has("/bin/vhsmd") && listing.has("/usr/sbin/cryptsetup"));
    assert!(!listing.has("vhsmd") && listing.has_program("vhsmd"));
    let other = Listing::parse("etc/vhsmd.toml\nlib/libnss_dns.so.2\n");
    assert!(!other.has_program("vhsmd") && other.has_library("libnss_dns"));
    assert!(!other.has_library("libnss"));
    assert!(listing.has_module("dm_mod") && !listing.has_module("dm"));
    assert!(Listing::parse("cannot read\n\n").is_empty());
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
