//! The checks, as a table: each judges facts, and has a remedy for when it finds something.

mod closed;
mod foreign;
mod initrd;
mod service;
mod volume;

use super::facts::Facts;
use super::initrd::Initrd;
use closed::{no_shell, panics_end, sysrq_is_off, units_are_masked};
#[cfg(test)]
pub(super) use foreign::GENERATORS;
use foreign::{
    credentials_are_not_imported, firmware_says_nothing, generators_are_known, nothing_is_resumed,
};
use initrd::{
    initrd_has_configuration, initrd_has_crypt, initrd_has_drivers, initrd_has_programs,
    initrd_is_left, initrd_is_read, initrd_resolves,
};
use service::{ca_is_there, names_resolve, services_answer, vault_answers};
use volume::{
    header_is_sound, nobody_else_opens, round_unlocks, slots_are_the_vaults, volume_is_expected,
};

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
        initrd_is_read,
        "name the initrd of the next boot: --initrd; and install what decompresses it: zstd, xz-utils, lz4",
    ),
    check(
        "initrd-programs",
        initrd_has_programs,
        "install nitride-dracut or nitride-initramfs, and make the initrd anew",
    ),
    check(
        "initrd-configuration",
        initrd_has_configuration,
        "make the initrd anew: what was configured since is not in it; or judge by its own: --config",
    ),
    check(
        "initrd-leave",
        initrd_is_left,
        "install nitride-dracut, and make the initrd anew",
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
        "put what nitride-unlock status prints as `expect` into the volume's `expect`, or into the \
         passphrase's envelope: resource seal --disk",
    ),
    check(
        "opener",
        nobody_else_opens,
        "take the volume out of crypttab and off the command line, and boot with luks=0 rd.luks=0 \
         systemd.gpt_auto=0, or without the generators in the initrd",
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
        "remove the slot (nitride-unlock enroll VOLUME --remove-slot NUMBER), or say that it is your recovery (--recovery-slot NUMBER)",
    ),
    check(
        "console-shell",
        no_shell,
        "boot with rd.shell=0 and rd.emergency=poweroff, and without what opens a shell",
    ),
    check(
        "console-panic",
        panics_end,
        "boot with panic=-1, or set kernel.panic in the initrd's sysctl.d, so that a panic ends the \
         machine",
    ),
    check(
        "console-units",
        units_are_masked,
        "mask the unit in the initrd",
    ),
    check(
        "sysrq",
        sysrq_is_off,
        "set kernel.sysrq = 0 in the initrd's sysctl.d, or boot with sysctl.kernel.sysrq=0",
    ),
    check(
        "resume",
        nothing_is_resumed,
        "boot with nohibernate and without resume=, and make the initrd anew with nitride-dracut or \
         nitride-initramfs, which take out what resumes",
    ),
    check(
        "credentials",
        credentials_are_not_imported,
        "boot with systemd.import_credentials=no",
    ),
    check(
        "firmware-variables",
        firmware_says_nothing,
        "boot with efi=noruntime: systemd before 258 takes the firmware's SystemdOptions for its command \
         line",
    ),
    check(
        "generators",
        generators_are_known,
        "make the initrd anew with nitride-dracut, which takes out what the host could speak to",
    ),
];

fn verdict(faults: Vec<String>, good: &str) -> Verdict {
    match faults.is_empty() {
        true => Verdict::Good(good.to_owned()),
        false => Verdict::Bad(faults.join("; ")),
    }
}

/// A judgement of what is in the initrd; without it nothing is known of it.
fn of_initrd(facts: &Facts, judge: impl FnOnce(&Initrd) -> Verdict) -> Verdict {
    match &facts.machine.initrd {
        Ok(initrd) => judge(initrd),
        Err(_) => Verdict::Bad("the initrd could not be read".to_owned()),
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

/// Whether the last value says no.
fn is_off(line: &str, name: &str) -> bool {
    let values = values(line, name);
    matches!(values.last(), Some(&("0" | "no" | "false" | "off")))
}
