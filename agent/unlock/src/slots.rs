//! `enroll` and `rotate`: which passphrases are the new and the old ones.

use crate::arguments::{Enroll, Rotate};
use crate::config::{Config, Volume};
use crate::copy::HeaderCopy;
use crate::cryptsetup::Cryptsetup;
use crate::enrol::{self, Disk, Finished, Task};
use crate::failure::Failure;
use crate::key_file;
use crate::passphrase::{Passphrase, PassphraseError};
use nitride_kbs::disk::DiskExpectation;
use std::fmt::Write;
use std::fs::File;
use std::io::stdin;
use std::os::fd::AsFd;
use std::path::Path;

/// Enrols the first of the volume's passphrases, by one that unlocks it now.
pub(crate) fn enroll(config: &Config, asked: &Enroll) -> Result<String, Failure> {
    let volume = config.volume(&asked.volume)?;
    let old: Vec<_> = asked.existing.iter().map(|path| existing(path)).collect();
    let old = old.into_iter().collect::<Result<Vec<_>, _>>()?;
    // The configuration gives every volume one.
    let name = volume.passphrases.first().map_or("", String::as_str);
    let new = key_file::fetch(&config.key_files, name, &disk(volume)?, volume.timeout)?;
    let task = Task {
        new: &new,
        old: &old,
        keep_old: asked.keep_existing,
        remove: &asked.remove_slots,
    };
    Ok(told(&volume.name, &finish(config, volume, &task)?))
}

/// Enrols another of the volume's passphrases, by the others.
///
/// Until it is proved a boot opens by one of those, and then by either: the names are tried in turn.
///
/// The text says what was done; the failure, if there is one, what was not: a slot whose passphrase
/// could not be fetched is still there, and so is whoever has that passphrase.
pub(crate) fn rotate(
    config: &Config,
    asked: &Rotate,
) -> Result<(String, Option<Failure>), Failure> {
    let volume = config.volume(&asked.volume)?;
    if !volume.passphrases.contains(&asked.to) {
        return Err(Failure::NoPassphrase {
            name: asked.to.clone(),
        });
    }
    let disk = disk(volume)?;
    let fetch = |name: &str| key_file::fetch(&config.key_files, name, &disk, volume.timeout);
    let new = fetch(&asked.to)?;
    let (mut old, mut lost) = (Vec::new(), Vec::new());
    for name in volume.passphrases.iter().filter(|name| **name != asked.to) {
        match fetch(name) {
            Ok(passphrase) => old.push(passphrase),
            // After an enrolment that was cut off, it may be gone from the service already.
            Err(error) => {
                tracing::warn!(passphrase = %name, error = %error, "no passphrase");
                lost.push(name.clone());
            }
        }
    }
    let task = Task {
        new: &new,
        old: &old,
        keep_old: false,
        remove: &asked.remove_slots,
    };
    let finished = finish(config, volume, &task)?;
    let failure = not_retired(&lost, &finished.left);
    Ok((told(&volume.name, &finished), failure))
}

/// What is left after a rotation that could not have all of the passphrases.
fn not_retired(lost: &[String], left: &[u8]) -> Option<Failure> {
    let is_done = lost.is_empty() || left.is_empty();
    (!is_done).then(|| Failure::NotRetired {
        lost: lost.join(", "),
        left: left.to_vec(),
    })
}

/// Which disk the volume is on, for the vault, by a copy of its header that is one it may have.
fn disk(volume: &Volume) -> Result<DiskExpectation, Failure> {
    let copy = HeaderCopy::take(&volume.device)?.check(&volume.wanted)?;
    Ok(copy.header().is().clone())
}

fn finish(config: &Config, volume: &Volume, task: &Task<'_>) -> Result<Finished, Failure> {
    let mut disk = Disk {
        cryptsetup: Cryptsetup::at(&config.cryptsetup),
        device: &volume.device,
        wanted: &volume.wanted,
    };
    Ok(enrol::run(&mut disk, task)?)
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
        // Not through the library's own buffer, which is erased by nobody.
        true => stdin()
            .as_fd()
            .try_clone_to_owned()
            .map_err(PassphraseError::Unreadable)
            .and_then(|input| Passphrase::read(File::from(input))),
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

    #[test]
    fn a_slot_that_a_lost_passphrase_may_have_is_a_failure() {
        let lost = ["first".to_owned()];
        assert!(not_retired(&lost, &[]).is_none());
        assert!(not_retired(&[], &[1]).is_none());
        let failure = not_retired(&lost, &[1]).unwrap().to_string();
        assert!(
            failure.contains("first") && failure.contains("[1]"),
            "{failure}"
        );
    }
}
