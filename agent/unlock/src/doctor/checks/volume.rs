//! The volume, and who opens it.

use super::{Verdict, is_off, of_initrd, verdict};
use crate::doctor::facts::{Expectation, Facts};
use crate::luks2::Standing;

pub(super) fn volume_is_expected(facts: &Facts) -> Verdict {
    match facts.expectation {
        Expectation::Stated => {
            Verdict::Good("the configuration says which volume it is".to_owned())
        }
        Expectation::ByVault => {
            Verdict::Good("the vault gives no passphrase to another volume".to_owned())
        }
        Expectation::Any => Verdict::Bad("any sound header would be taken".to_owned()),
    }
}

/// systemd-cryptsetup and its like read the header that the host wrote, and take the passphrase from
/// the very socket that is there for us.
pub(super) fn nobody_else_opens(facts: &Facts) -> Verdict {
    of_initrd(facts, |initrd| {
        let line = facts.machine.command_line.as_str();
        let has = |generator: &str| {
            let path = format!("/usr/lib/systemd/system-generators/{generator}");
            initrd.has(&path)
        };
        let mut faults = Vec::new();
        let is_luks_off = is_off(line, "luks");
        let is_initrd_off = is_luks_off || is_off(line, "rd.luks");
        if has("systemd-cryptsetup-generator") && !is_initrd_off {
            faults.push("systemd-cryptsetup-generator is in the initrd".to_owned());
        }
        if has("systemd-gpt-auto-generator") && !is_off(line, "systemd.gpt_auto") {
            faults.push("systemd-gpt-auto-generator is in the initrd".to_owned());
        }
        // luks.* is the system's generator's as well, which has our sockets too.
        for word in line.split_whitespace() {
            let name = word.split('=').next().unwrap_or(word);
            let is_ours = name.starts_with("rd.luks.") && !is_initrd_off;
            if is_ours || name.starts_with("luks.") && !is_luks_off {
                faults.push(format!("{name} is said"));
            }
        }
        for path in ["/etc/crypttab", "/cryptroot/crypttab"] {
            let is_empty = initrd.text(path).map(|text| entries(text).next().is_none());
            if initrd.has(path) && is_empty != Some(true) {
                faults.push(format!("{path} of the initrd opens something"));
            }
        }
        let own = facts.machine.crypttab.as_deref().unwrap_or_default();
        if entries(own).any(|(name, source)| facts.is_the_volume(name, source)) {
            faults.push("/etc/crypttab has the volume".to_owned());
        }
        verdict(faults, "nobody else opens the volume")
    })
}

/// Names and sources of the volumes in a crypttab(5).
fn entries(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next().filter(|name| !name.starts_with('#'))?;
        Some((name, words.next().unwrap_or_default()))
    })
}

pub(super) fn header_is_sound(facts: &Facts) -> Verdict {
    match &facts.header {
        Ok(Standing::Whole) => Verdict::Good("it is sound, and both copies agree".to_owned()),
        Ok(Standing::CutOff { good }) => {
            Verdict::Bad(format!("an update was cut off: the {good} copy counts"))
        }
        Err(said) => Verdict::Bad(said.clone()),
    }
}

pub(super) fn round_unlocks(facts: &Facts) -> Verdict {
    match &facts.round {
        Ok(round) if !round.unlocks.is_empty() => Verdict::Good(format!(
            "the volume unlocks by {}",
            round.unlocks.join(" and ")
        )),
        Ok(_) => Verdict::Bad("no slot has any of the vault's passphrases".to_owned()),
        Err(said) => Verdict::Bad(said.clone()),
    }
}

pub(super) fn slots_are_the_vaults(facts: &Facts) -> Verdict {
    match &facts.round {
        Ok(round) => {
            let (others, recovery) = (&round.other_slots, &round.recovery_slots);
            let strange = others.iter().filter(|slot| !recovery.contains(slot));
            let strange =
                strange.map(|slot| format!("slot {slot} has a passphrase that the vault has not"));
            let absent = recovery.iter().filter(|slot| !others.contains(slot));
            let absent = absent.map(|slot| format!("slot {slot} is no recovery"));
            let good = if recovery.is_empty() {
                "every slot has a passphrase of the vault's"
            } else {
                "every slot has a passphrase of the vault's, or is your recovery"
            };
            verdict(strange.chain(absent).collect(), good)
        }
        Err(_) => Verdict::Bad("no passphrase came, so no slot was tried".to_owned()),
    }
}
