//! What a volume's header is, for people.

use crate::config::{Config, Volume};
use crate::copy::{CheckedCopy, CopyError, HeaderCopy};
use crate::failure::Failure;
use crate::luks2::{Expected, Keyslot, Standing, Wanted};
use std::fmt::Write;

/// The volume's status. A header that is sound and not the expected one is told of as both.
pub(crate) fn run(config: &Config, name: &str) -> Result<String, Failure> {
    let volume = config.volume(name)?;
    let wanted = HeaderCopy::take(&volume.device).and_then(|copy| copy.check(&volume.wanted));
    match wanted {
        Ok(copy) => Ok(told(volume, &copy, None)),
        Err(error) => match HeaderCopy::take(&volume.device)
            .and_then(|copy| copy.check(&any(&volume.wanted)))
        {
            Ok(copy) => Ok(told(volume, &copy, Some(&error))),
            Err(_) => Err(Failure::Copy(error)),
        },
    }
}

fn any(wanted: &Wanted) -> Wanted {
    Wanted {
        expected: Expected::DangerAny,
        ..wanted.clone()
    }
}

fn told(volume: &Volume, copy: &CheckedCopy, refused: Option<&CopyError>) -> String {
    let header = copy.header().header();
    let judged = match (refused, &volume.wanted.expected) {
        (Some(error), _) => match error.fault() {
            Some(fault) => format!("REFUSED: {fault} ({})", fault.name()),
            None => format!("REFUSED: {error}"),
        },
        (None, Expected::DangerAny) => "sound; DANGER: any header would be taken".to_owned(),
        (None, Expected::These(_)) => "sound, and the expected one".to_owned(),
    };
    let standing = match copy.standing() {
        Standing::Whole => "agree".to_owned(),
        Standing::CutOff { good } => {
            format!("an update was cut off, and the {good} one counts: enrol again")
        }
    };
    let mut text = String::new();
    let rows = [
        ("volume", volume.name.clone()),
        ("device", volume.device.display().to_string()),
        ("header", judged),
        ("copies", standing),
        ("update", header.sequence().to_string()),
        ("expect", copy.header().is().to_string()),
    ];
    // Writing to a text does not fail.
    for (name, value) in rows {
        let _ = writeln!(text, "{name:8} {value}");
    }
    for slot in header.keyslots() {
        let _ = writeln!(text, "{:8} {}", "slot", of_slot(slot));
    }
    text
}

fn of_slot(slot: &Keyslot) -> String {
    let ignored = if slot.is_ignored { ", ignored" } else { "" };
    format!("{}: {}{ignored}", slot.number, slot.kdf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cryptsetup::tests::{copy_of, volume};
    use crate::luks2::tests::any_volume;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    fn config(device: &Path, wanted: Wanted) -> Config {
        Config {
            cryptsetup: PathBuf::from("/usr/sbin/cryptsetup"),
            key_files: PathBuf::from("/nonexistent"),
            admin: PathBuf::from("/nonexistent"),
            agent: PathBuf::from("/nonexistent"),
            danger_any_root: false,
            root_hashes: Vec::new(),
            volumes: vec![Volume {
                name: "root".to_owned(),
                device: device.to_owned(),
                wanted,
                passphrases: vec!["root".to_owned()],
                timeout: Duration::from_secs(1),
            }],
        }
    }

    #[test]
    fn what_it_prints_is_what_is_expected_afterwards() {
        let (_folder, device) = volume(b"first", &[]);
        let told = run(&config(&device, any_volume()), "root").unwrap();
        assert!(told.contains("DANGER"), "{told}");
        let line = told.lines().find_map(|line| line.strip_prefix("expect   "));
        let expected = Expected::These(vec![line.unwrap().parse().unwrap()]);
        let wanted = Wanted {
            expected,
            ..any_volume()
        };
        let told = run(&config(&device, wanted), "root").unwrap();
        assert!(told.contains("sound, and the expected one"), "{told}");
        assert!(
            told.contains("slot     0: pbkdf2 of 1000 iterations of sha256"),
            "{told}"
        );
    }

    #[test]
    fn another_volume_is_told_of_as_refused() {
        let (_folder, device) = volume(b"first", &[]);
        let (_other_folder, other) = volume(b"first", &[]);
        let wanted = Wanted {
            expected: Expected::These(vec![copy_of(&other).header().is().clone()]),
            ..any_volume()
        };
        let told = run(&config(&device, wanted), "root").unwrap();
        assert!(
            told.contains("REFUSED") && told.contains("(other-uuid)"),
            "{told}"
        );
    }
}
