//! `enroll` and `rotate`: which passphrases are the new and the old ones.

use crate::arguments::{Enroll, Rotate};
use crate::config::{Config, Volume};
use crate::cryptsetup::Cryptsetup;
use crate::enrol::{self, Disk, Finished, Task};
use crate::failure::Failure;
use crate::key_file;
use crate::passphrase::{Passphrase, PassphraseError};
use std::fmt::Write;
use std::fs::File;
use std::io::stdin;
use std::path::Path;

/// Enrols the first of the volume's passphrases, by one that unlocks it now.
pub(crate) fn enroll(config: &Config, asked: &Enroll) -> Result<String, Failure> {
    let volume = config.volume(&asked.volume)?;
    let old: Vec<_> = asked.existing.iter().map(|path| existing(path)).collect();
    let old = old.into_iter().collect::<Result<Vec<_>, _>>()?;
    // The configuration gives every volume one.
    let name = volume.passphrases.first().map_or("", String::as_str);
    let new = key_file::fetch(&config.key_files, name, volume.timeout)?;
    let task = Task {
        new: &new,
        old: &old,
        keep_old: asked.keep_existing,
        remove: &asked.remove_slots,
    };
    finish(config, volume, &task)
}

/// Enrols another of the volume's passphrases, by the others.
///
/// Until it is proved a boot opens by one of those, and then by either: the names are tried in turn.
pub(crate) fn rotate(config: &Config, asked: &Rotate) -> Result<String, Failure> {
    let volume = config.volume(&asked.volume)?;
    if !volume.passphrases.contains(&asked.to) {
        return Err(Failure::NoPassphrase {
            name: asked.to.clone(),
        });
    }
    let fetch = |name: &str| key_file::fetch(&config.key_files, name, volume.timeout);
    let new = fetch(&asked.to)?;
    let mut old = Vec::new();
    for name in volume.passphrases.iter().filter(|name| **name != asked.to) {
        match fetch(name) {
            Ok(passphrase) => old.push(passphrase),
            // After an enrolment that was cut off, it may be gone from the service already.
            Err(error) => tracing::warn!(passphrase = %name, error = %error, "no passphrase"),
        }
    }
    let task = Task {
        new: &new,
        old: &old,
        keep_old: false,
        remove: &asked.remove_slots,
    };
    finish(config, volume, &task)
}

fn finish(config: &Config, volume: &Volume, task: &Task<'_>) -> Result<String, Failure> {
    let mut disk = Disk {
        cryptsetup: Cryptsetup::at(&config.cryptsetup),
        device: &volume.device,
        wanted: &volume.wanted,
    };
    let finished = enrol::run(&mut disk, task)?;
    Ok(told(&volume.name, &finished))
}

fn told(volume: &str, finished: &Finished) -> String {
    let Finished {
        slot,
        removed,
        left,
    } = finished;
    let mut text = format!("volume {volume}: slot {slot} unlocks by the vault's passphrase\n");
    // Writing to a text does not fail.
    for slot in removed {
        let _ = writeln!(text, "volume {volume}: slot {slot} was removed");
    }
    for slot in left {
        let _ = writeln!(
            text,
            "volume {volume}: slot {slot} is still there, and unlocks without attestation if \
             anybody has its passphrase; --remove-slot {slot} removes it"
        );
    }
    text
}

/// Reads a passphrase to the end of a file, or of standard input.
fn existing(path: &Path) -> Result<Passphrase, Failure> {
    let read = match path == Path::new("-") {
        true => Passphrase::read(stdin().lock()),
        false => File::open(path)
            .map_err(PassphraseError::Unreadable)
            .and_then(Passphrase::read),
    };
    read.map_err(|source| Failure::Existing {
        from: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_with_what_removes_it() {
        let told = told(
            "root",
            &Finished {
                slot: 2,
                removed: vec![0],
                left: vec![1],
            },
        );
        assert!(told.contains("slot 2 unlocks"));
        assert!(told.contains("slot 0 was removed"));
        assert!(told.contains("--remove-slot 1 removes it"));
    }
}
