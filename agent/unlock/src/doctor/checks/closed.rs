//! Whether anything on the host's console takes input once keys may be there.

use super::{Verdict, of_initrd, values, verdict};
use crate::doctor::facts::Facts;
use crate::doctor::initrd::Initrd;

/// What is said to the initrd: dracut takes the kernel's command line last.
pub(super) fn command_line(facts: &Facts) -> String {
    let own = facts.machine.initrd.as_ref();
    let own = own.map_or_else(|_| String::new(), Initrd::command_line);
    format!("{own} {}", facts.machine.command_line)
}

/// What the initrd sets a name of the kernel's to: by its files, and last by the command line.
fn sysctl(facts: &Facts, name: &str) -> Option<i64> {
    let said = values(&facts.machine.command_line, &format!("sysctl.{name}"));
    let of_file = || facts.machine.initrd.as_ref().ok()?.sysctl(name);
    said.last().copied().or_else(of_file)?.parse().ok()
}

pub(super) fn no_shell(facts: &Facts) -> Verdict {
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
    let line = command_line(facts);
    let line = line.as_str();
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
    // initramfs-tools has one way to a shell, which ours stands in for.
    let scripts = facts.machine.initrd.as_ref().ok();
    if let Some(initrd) = scripts.filter(|initrd| initrd.is_of_scripts()) {
        let functions = initrd.text("scripts/functions").unwrap_or_default();
        if !functions.contains("\n# nitride: closed\n") {
            faults.push("its panic() opens a shell".to_owned());
        }
        return verdict(faults, "the initramfs gives no shell");
    }
    if last("rd.shell") != Some("0") {
        faults.push("rd.shell=0 is not said".to_owned());
    }
    if !matches!(last("rd.emergency"), Some("halt" | "poweroff" | "reboot")) {
        faults.push("rd.emergency=poweroff is not said".to_owned());
    }
    verdict(faults, "the initrd gives no shell")
}

pub(super) fn panics_end(facts: &Facts) -> Verdict {
    let panic = values(&facts.machine.command_line, "panic");
    let said = panic.last().map(|value| value.parse().unwrap_or_default());
    // A file is read after the kernel's own beginning, in which no key is there yet.
    match sysctl(facts, "kernel.panic").or(said) {
        Some(secs) if secs != 0 => Verdict::Good("a panic ends the machine".to_owned()),
        _ => Verdict::Bad("a machine that panics stays, or waits for somebody".to_owned()),
    }
}

pub(super) fn units_are_masked(facts: &Facts) -> Verdict {
    const UNITS: [&str; 9] = [
        "emergency.service",
        "rescue.service",
        "dracut-emergency.service",
        "debug-shell.service",
        "console-getty.service",
        "getty@.service",
        "serial-getty@.service",
        "systemd-ask-password-console.service",
        "systemd-ask-password-wall.service",
    ];
    of_initrd(facts, |initrd| {
        let open = UNITS.into_iter().filter(|unit| initrd.may_start(unit));
        let faults = open.map(|unit| format!("{unit} may start")).collect();
        verdict(faults, "nothing on the console takes input")
    })
}

/// The setting of the system that runs says nothing of an initrd, where the kernel's default holds.
pub(super) fn sysrq_is_off(facts: &Facts) -> Verdict {
    if !values(&facts.machine.command_line, "sysrq_always_enabled").is_empty() {
        return Verdict::Bad("the command line enables every key".to_owned());
    }
    match sysctl(facts, "kernel.sysrq") {
        Some(0) => Verdict::Good("the console's magic keys do nothing".to_owned()),
        Some(bits) => Verdict::Bad(format!("kernel.sysrq becomes {bits} in the initrd")),
        None => Verdict::Bad("nothing in the initrd sets kernel.sysrq".to_owned()),
    }
}
