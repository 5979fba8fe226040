//! The checks, as a table: each judges facts, and has a remedy for when it finds something.

use super::facts::{Facts, Service};
use super::initrd::Listing;
use crate::luks2::Standing;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Good(String),
    Bad(String),
}

impl Verdict {
    pub(super) fn is_bad(&self) -> bool {
        matches!(self, Self::Bad(_))
    }
}

/// One check.
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) judge: fn(&Facts) -> Verdict,
    /// What to do about what it finds, as a sentence without its stop.
    pub(super) remedy: &'static str,
}

const fn check(name: &'static str, judge: fn(&Facts) -> Verdict, remedy: &'static str) -> Check {
    Check {
        name,
        judge,
        remedy,
    }
}

/// All of them, in the order in which a boot meets what they look at.
pub(super) const CHECKS: &[Check] = &[
    check(
        "initrd",
        initrd_is_listed,
        "name the initrd of the next boot: --initrd; and install dracut-core or initramfs-tools-core",
    ),
    check(
        "initrd-programs",
        initrd_has_programs,
        "install nitride-dracut or nitride-initramfs, and make the initrd anew",
    ),
    check(
        "initrd-configuration",
        initrd_has_configuration,
        "make the initrd anew: what was configured since is not in it",
    ),
    check(
        "initrd-crypt",
        initrd_has_crypt,
        "add the module to the initrd: dracut --add-drivers, or /etc/initramfs-tools/modules",
    ),
    check(
        "network-driver",
        initrd_has_drivers,
        "add the module to the initrd: dracut --add-drivers, or /etc/initramfs-tools/modules",
    ),
    check(
        "resolver",
        initrd_resolves,
        "put a resolver into the initrd (systemd-resolved, or libnss_dns and resolv.conf), or name the \
         service by its address",
    ),
    check(
        "dns",
        names_resolve,
        "correct the service's url in agent.toml, or the zone",
    ),
    check(
        "ca",
        ca_is_there,
        "put the CA's file where agent.toml names it, and make the initrd anew",
    ),
    check(
        "service",
        services_answer,
        "start the provisioning service, and let this machine reach it",
    ),
    check(
        "vault",
        vault_answers,
        "start vhsmd and nitride-agent, and see their logs",
    ),
    check(
        "expectation",
        volume_is_expected,
        "put what nitride-unlock status prints as `expect` into the volume's `expect`",
    ),
    check(
        "header",
        header_is_sound,
        "nitride-unlock status says what it is; enrol again where an update was cut off",
    ),
    check(
        "round",
        round_unlocks,
        "enrol a passphrase: nitride-unlock enroll; vhsmd's log says why none came",
    ),
    check(
        "slots",
        slots_are_the_vaults,
        "remove the slot if it is not your recovery: nitride-unlock enroll --remove-slot",
    ),
    check(
        "console-shell",
        no_shell,
        "boot with rd.shell=0 and rd.emergency=poweroff, and without what opens a shell",
    ),
    check(
        "console-panic",
        panics_end,
        "boot with panic=-1, so that a panic restarts the machine",
    ),
    check(
        "console-units",
        units_are_masked,
        "mask the unit in the initrd",
    ),
    check(
        "sysrq",
        sysrq_is_off,
        "boot with sysrq_always_enabled absent, and set kernel.sysrq = 0",
    ),
];

fn verdict(faults: Vec<String>, good: &str) -> Verdict {
    match faults.is_empty() {
        true => Verdict::Good(good.to_owned()),
        false => Verdict::Bad(faults.join("; ")),
    }
}

/// A judgement of what is in the initrd; without a listing nothing is known of it.
fn of_initrd(facts: &Facts, judge: impl FnOnce(&Listing) -> Verdict) -> Verdict {
    match &facts.machine.initrd {
        Ok(listing) => judge(listing),
        Err(_) => Verdict::Bad("the initrd could not be listed".to_owned()),
    }
}

fn lacking(wanted: &[&str], has: impl Fn(&str) -> bool) -> Vec<String> {
    let missing = wanted.iter().filter(|wanted| !has(wanted));
    missing.map(|name| format!("{name} is not in it")).collect()
}

fn initrd_is_listed(facts: &Facts) -> Verdict {
    match &facts.machine.initrd {
        Ok(_) => Verdict::Good("it can be read".to_owned()),
        Err(said) => Verdict::Bad(said.clone()),
    }
}

fn initrd_has_programs(facts: &Facts) -> Verdict {
    const PROGRAMS: [&str; 4] = ["vhsmd", "nitride-agent", "nitride-unlock", "cryptsetup"];
    of_initrd(facts, |listing| {
        let missing = lacking(&PROGRAMS, |name| listing.has_program(name));
        verdict(
            missing,
            "it has the vault, its courier and what opens the volume",
        )
    })
}

fn initrd_has_configuration(facts: &Facts) -> Verdict {
    of_initrd(facts, |listing| {
        let agent = facts.machine.configuration.display().to_string();
        let files = ["/etc/vhsm/vhsmd.toml", "/etc/nitride/unlock.toml", &agent];
        verdict(
            lacking(&files, |path| listing.has(path)),
            "it has all three files",
        )
    })
}

fn initrd_has_crypt(facts: &Facts) -> Verdict {
    of_initrd(facts, |listing| {
        let built_in = &facts.machine.built_in;
        let missing = lacking(&["dm_mod", "dm_crypt"], |module| {
            built_in.contains(module) || listing.has_module(module)
        });
        verdict(missing, "the kernel can map an encrypted volume")
    })
}

fn initrd_has_drivers(facts: &Facts) -> Verdict {
    let machine = &facts.machine;
    if machine.drivers.is_empty() {
        return Verdict::Bad("this machine has no network interface with a driver".to_owned());
    }
    of_initrd(facts, |listing| {
        let drivers: Vec<_> = machine.drivers.iter().map(String::as_str).collect();
        let missing = lacking(&drivers, |module| {
            machine.built_in.contains(&module.replace('-', "_")) || listing.has_module(module)
        });
        verdict(missing, "it has the drivers of this machine's interfaces")
    })
}

fn initrd_resolves(facts: &Facts) -> Verdict {
    let is_name = |service: &Service| {
        let mut hosts = service.endpoints.iter();
        hosts.any(|endpoint| endpoint.host.parse::<std::net::IpAddr>().is_err())
    };
    let services = facts.machine.services.as_deref().unwrap_or_default();
    if !services.is_empty() && !services.iter().any(is_name) {
        return Verdict::Good("services are named by address".to_owned());
    }
    of_initrd(facts, |listing| {
        let by_library = listing.has_library("libnss_dns") && listing.has("/etc/resolv.conf");
        match by_library || listing.has_program("systemd-resolved") {
            true => Verdict::Good("it has a resolver".to_owned()),
            false => Verdict::Bad("it has no resolver, and a service is named".to_owned()),
        }
    })
}

/// A judgement of each service.
fn of_services(facts: &Facts, good: &str, faults: impl Fn(&Service) -> Vec<String>) -> Verdict {
    match &facts.machine.services {
        Err(said) => Verdict::Bad(said.clone()),
        Ok(services) if services.is_empty() => {
            Verdict::Bad("agent.toml names no service".to_owned())
        }
        Ok(services) => verdict(services.iter().flat_map(faults).collect(), good),
    }
}

fn names_resolve(facts: &Facts) -> Verdict {
    of_services(facts, "every host has an address", |service| {
        let lost = service
            .endpoints
            .iter()
            .filter(|endpoint| !endpoint.resolves);
        lost.map(|endpoint| format!("{} has no address", endpoint.host))
            .collect()
    })
}

fn ca_is_there(facts: &Facts) -> Verdict {
    of_services(facts, "every CA is there, in the initrd too", |service| {
        let path = service.ca.display().to_string();
        let listing = facts.machine.initrd.as_ref();
        let is_inside = listing.is_ok_and(|listing| listing.has(&path));
        match (service.ca_is_there, is_inside) {
            (false, _) => vec![format!("{path} is not there")],
            (true, false) => vec![format!("{path} is not in the initrd")],
            (true, true) => Vec::new(),
        }
    })
}

fn services_answer(facts: &Facts) -> Verdict {
    of_services(facts, "every service answers", |service| {
        let mut endpoints = service.endpoints.iter();
        match endpoints.any(|endpoint| endpoint.answers) {
            true => Vec::new(),
            false => vec![format!("no endpoint of {} answers", service.name)],
        }
    })
}

fn vault_answers(facts: &Facts) -> Verdict {
    match &facts.machine.vault {
        Err(said) => Verdict::Bad(said.clone()),
        Ok(vault) if !vault.agent_is_connected => {
            Verdict::Bad("nitride-agent is not connected to it".to_owned())
        }
        Ok(_) => Verdict::Good("it answers, and its courier is there".to_owned()),
    }
}

fn volume_is_expected(facts: &Facts) -> Verdict {
    match facts.is_expected {
        true => Verdict::Good("the configuration says which volume it is".to_owned()),
        false => Verdict::Bad("any sound header would be taken".to_owned()),
    }
}

fn header_is_sound(facts: &Facts) -> Verdict {
    match &facts.header {
        Ok(Standing::Whole) => Verdict::Good("it is sound, and both copies agree".to_owned()),
        Ok(Standing::CutOff { good }) => {
            Verdict::Bad(format!("an update was cut off: the {good} copy counts"))
        }
        Err(said) => Verdict::Bad(said.clone()),
    }
}

fn round_unlocks(facts: &Facts) -> Verdict {
    match &facts.round {
        Ok(round) if !round.unlocks.is_empty() => Verdict::Good(format!(
            "the volume unlocks by {}",
            round.unlocks.join(" and ")
        )),
        Ok(_) => Verdict::Bad("no slot has any of the vault's passphrases".to_owned()),
        Err(said) => Verdict::Bad(said.clone()),
    }
}

fn slots_are_the_vaults(facts: &Facts) -> Verdict {
    match &facts.round {
        Ok(round) => {
            let other = |slot: &u8| format!("slot {slot} has a passphrase that the vault has not");
            let others = round.other_slots.iter().map(other).collect();
            verdict(others, "every slot has a passphrase of the vault's")
        }
        Err(_) => Verdict::Bad("no passphrase came, so no slot was tried".to_owned()),
    }
}

/// The values that the command line gives a parameter, in their order.
fn values<'a>(line: &'a str, name: &str) -> Vec<&'a str> {
    let words = line.split_whitespace();
    words
        .filter_map(|word| match word.split_once('=') {
            Some((key, value)) => (key == name).then_some(value),
            None => (word == name).then_some(""),
        })
        .collect()
}

fn no_shell(facts: &Facts) -> Verdict {
    /// Parameters that open one, or start something else than what was measured.
    const OPEN: [&str; 10] = [
        "init",
        "rdinit",
        "rd.break",
        "break",
        "single",
        "rescue",
        "emergency",
        "systemd.debug_shell",
        "systemd.debug-shell",
        "rd.systemd.debug_shell",
    ];
    let line = facts.machine.command_line.as_str();
    let last = |name| values(line, name).last().copied();
    let mut faults = Vec::new();
    let off = [
        "systemd.debug_shell",
        "systemd.debug-shell",
        "rd.systemd.debug_shell",
    ];
    for name in OPEN {
        let is_off = |value: &&str| off.contains(&name) && ["0", "no", "false"].contains(value);
        if values(line, name).iter().any(|value| !is_off(value)) {
            faults.push(format!("{name} is said"));
        }
    }
    for name in ["systemd.unit", "rd.systemd.unit"] {
        let opens = |unit: &&str| unit.starts_with("rescue") || unit.starts_with("emergency");
        if values(line, name).iter().any(opens) {
            faults.push(format!("{name} opens a shell"));
        }
    }
    if last("rd.shell") != Some("0") {
        faults.push("rd.shell=0 is not said".to_owned());
    }
    if !matches!(last("rd.emergency"), Some("halt" | "poweroff" | "reboot")) {
        faults.push("rd.emergency=poweroff is not said".to_owned());
    }
    verdict(faults, "the initrd gives no shell")
}

fn panics_end(facts: &Facts) -> Verdict {
    let panic = values(&facts.machine.command_line, "panic");
    match panic.last().and_then(|value| value.parse::<i32>().ok()) {
        Some(secs) if secs != 0 => Verdict::Good("a panic ends the machine".to_owned()),
        _ => Verdict::Bad("a machine that panics stays, or waits for somebody".to_owned()),
    }
}

fn units_are_masked(facts: &Facts) -> Verdict {
    const UNITS: [&str; 6] = [
        "emergency.service",
        "rescue.service",
        "debug-shell.service",
        "getty@.service",
        "serial-getty@.service",
        "systemd-ask-password-console.service",
    ];
    of_initrd(facts, |listing| {
        let open = UNITS.into_iter().filter(|unit| listing.may_start(unit));
        let faults = open.map(|unit| format!("{unit} may start")).collect();
        verdict(faults, "nothing on the console takes input")
    })
}

fn sysrq_is_off(facts: &Facts) -> Verdict {
    let machine = &facts.machine;
    if !values(&machine.command_line, "sysrq_always_enabled").is_empty() {
        return Verdict::Bad("the command line enables every key".to_owned());
    }
    match machine.sysrq {
        Some(0) => Verdict::Good("the console's magic keys do nothing".to_owned()),
        Some(bits) => Verdict::Bad(format!("kernel.sysrq is {bits}")),
        None => Verdict::Bad("kernel.sysrq cannot be read".to_owned()),
    }
}
