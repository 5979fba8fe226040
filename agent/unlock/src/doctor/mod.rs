//! What would keep this machine from unlocking at its next boot, or would let somebody in if it
//! does not: found before the reboot.
//!
//! ```text
//! facts::gather ──Facts──> CHECKS, each a judgement of facts ──> findings
//! ```
//!
//! The checks are a table; a check has a name, says what it found, and has a remedy. What could not
//! be found out is not good.

mod archive;
mod checks;
mod facts;
mod initrd;
mod own;
#[cfg(test)]
mod tests;

use crate::arguments::Doctor;
use crate::config::Config;
use crate::failure::Failure;
use checks::{CHECKS, Check, Verdict};
use std::io::Write;
use std::path::Path;

/// Checks one volume, or all of the configuration, and writes what was found.
///
/// `path` is where the configuration was read.
pub(crate) fn run(
    config: &Config,
    path: &Path,
    asked: &Doctor,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let volumes: Vec<_> = match &asked.volume {
        Some(name) => vec![config.volume(name)?],
        None => config.volumes.iter().collect(),
    };
    let machine = facts::machine(config, path, asked);
    let recovery_slots = &asked.recovery_slots;
    let (mut asked, mut found) = (0, 0);
    for volume in volumes {
        let facts = facts::of_volume(config, volume, machine.clone(), recovery_slots);
        for check in CHECKS {
            let verdict = (check.judge)(&facts);
            asked += 1;
            found += usize::from(verdict.is_bad());
            write(out, &volume.name, check, &verdict).map_err(Failure::Output)?;
        }
    }
    match (asked, found) {
        (0, _) => Err(Failure::NoVolumes),
        (_, 0) => Ok(()),
        _ => Err(Failure::Doctor { found, asked }),
    }
}

fn write(
    out: &mut impl Write,
    volume: &str,
    check: &Check,
    verdict: &Verdict,
) -> std::io::Result<()> {
    let name = check.name;
    match verdict {
        Verdict::Good(said) => writeln!(out, "ok    {volume} {name}: {said}"),
        Verdict::Bad(said) => {
            writeln!(out, "FAIL  {volume} {name}: {said}")?;
            writeln!(out, "      {}", check.remedy)
        }
    }
}
