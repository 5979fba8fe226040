//! What a boot needs to find in the initrd.

use super::{Verdict, of_initrd, verdict};
use crate::doctor::facts::{Facts, Service};
use crate::doctor::initrd::Initrd;
use std::net::IpAddr;

fn lacking(wanted: &[&str], has: impl Fn(&str) -> bool) -> Vec<String> {
    let missing = wanted.iter().filter(|wanted| !has(wanted));
    missing.map(|name| format!("{name} is not in it")).collect()
}

pub(super) fn initrd_is_read(facts: &Facts) -> Verdict {
    match &facts.machine.initrd {
        Ok(_) => Verdict::Good("it can be read".to_owned()),
        Err(said) => Verdict::Bad(said.clone()),
    }
}

pub(super) fn initrd_has_programs(facts: &Facts) -> Verdict {
    let cryptsetup = facts.machine.cryptsetup.display().to_string();
    let programs = [
        "/usr/bin/vhsmd",
        "/usr/bin/nitride-agent",
        "/usr/bin/nitride-unlock",
        "/usr/libexec/nitride-quote",
        &cryptsetup,
    ];
    of_initrd(facts, |initrd| {
        verdict(
            lacking(&programs, |path| initrd.has(path)),
            "it has the vault, its helpers and what opens the volume",
        )
    })
}

/// What it has is compared with what it should have: an initrd that expects less of the volume than
/// what is judged here would open what this refuses.
pub(super) fn initrd_has_configuration(facts: &Facts) -> Verdict {
    of_initrd(facts, |initrd| {
        let fault =
            |inside: &str, here: &Result<Vec<u8>, String>| match (initrd.bytes(inside), here) {
                (_, Err(said)) => Some(said.clone()),
                (None, _) if initrd.has(inside) => Some(format!("{inside} in it is not known")),
                (None, _) => Some(format!("{inside} is not in it")),
                (Some(there), Ok(here)) if is_same(initrd, inside, there, here) => None,
                (Some(_), Ok(_)) => Some(format!("{inside} in it says something else")),
            };
        let own = facts.machine.own.iter();
        let faults = own.filter_map(|file| fault(&file.inside, &file.here));
        verdict(faults.collect(), "it has what is configured, to the letter")
    })
}

/// Whether the file is its original, or what initramfs-tools makes of it: without systemd there are no
/// units, and the lines that ask for them are left out.
fn is_same(initrd: &Initrd, inside: &str, there: &[u8], here: &[u8]) -> bool {
    const UNITS: [&[u8]; 2] = [
        b"unit = \"nitride-agent.service\"",
        b"unit = \"vhsmd.service\"",
    ];
    let has_units = inside == "/etc/vhsm/vhsmd.toml" || inside == "/etc/nitride/quote.toml";
    let is_left_out = |line: &&[u8]| UNITS.contains(line);
    match initrd.is_of_scripts() && has_units {
        false => there == here,
        true => {
            let lines = |text| <[u8]>::split(text, |byte| *byte == b'\n');
            let kept = lines(here).filter(|line| !is_left_out(line));
            kept.eq(lines(there))
        }
    }
}

/// Whoever leaves an initrd without that leaves its keys, and its place in the evidence, to whatever
/// comes next.
pub(super) fn initrd_is_left(facts: &Facts) -> Verdict {
    of_initrd(facts, |initrd| {
        let (is_left, by) = match initrd.is_of_scripts() {
            true => (
                initrd.has("/scripts/local-bottom/nitride"),
                "scripts/local-bottom/nitride",
            ),
            false => (
                initrd.may_start("nitride-leave.service"),
                "nitride-leave.service",
            ),
        };
        match is_left {
            true => Verdict::Good("it ends its phase before the system begins".to_owned()),
            false => Verdict::Bad(format!("{by} is not in it")),
        }
    })
}

pub(super) fn initrd_has_crypt(facts: &Facts) -> Verdict {
    let modules: &[&str] = match facts.has_integrity {
        true => &["dm_mod", "dm_crypt", "dm_integrity", "authenc"],
        false => &["dm_mod", "dm_crypt"],
    };
    of_initrd(facts, |initrd| {
        let built_in = &facts.machine.built_in;
        let mut faults = lacking(modules, |module| {
            built_in.contains(module) || initrd.has_module(module)
        });
        let kernels = initrd.kernels();
        if kernels.len() > 1 {
            faults.push(format!("it has modules of {} kernels", kernels.len()));
        }
        verdict(faults, "the kernel can map the volume")
    })
}

pub(super) fn initrd_has_drivers(facts: &Facts) -> Verdict {
    let machine = &facts.machine;
    if machine.drivers.is_empty() {
        return Verdict::Bad("this machine has no network interface with a driver".to_owned());
    }
    of_initrd(facts, |initrd| {
        let drivers: Vec<_> = machine.drivers.iter().map(String::as_str).collect();
        let missing = lacking(&drivers, |module| {
            machine.built_in.contains(&module.replace('-', "_")) || initrd.has_module(module)
        });
        verdict(missing, "it has the drivers of this machine's interfaces")
    })
}

pub(super) fn initrd_resolves(facts: &Facts) -> Verdict {
    let is_name = |service: &Service| {
        let mut hosts = service.endpoints.iter();
        hosts.any(|endpoint| endpoint.host.parse::<IpAddr>().is_err())
    };
    let services = facts.machine.services.as_deref().unwrap_or_default();
    if !services.is_empty() && !services.iter().any(is_name) {
        return Verdict::Good("services are named by address".to_owned());
    }
    of_initrd(facts, |initrd| {
        // Ours makes a resolv.conf of what systemd-networkd was told.
        let has_servers =
            initrd.has("/etc/resolv.conf") || initrd.has("/usr/lib/nitride/name-resolvers");
        let by_library = initrd.has_library("libnss_dns") && has_servers;
        match by_library || initrd.has("/usr/lib/systemd/systemd-resolved") {
            true => Verdict::Good("it has a resolver".to_owned()),
            false => Verdict::Bad("it has no resolver, and a service is named".to_owned()),
        }
    })
}
