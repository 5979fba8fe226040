//! Opening a volume: check a copy of its header, fetch its passphrase, open with that copy.

use crate::config::{Config, Volume};
use crate::copy::{CheckedCopy, CopyError, HeaderCopy};
use crate::cryptsetup::Cryptsetup;
use crate::failure::Failure;
use crate::hardening::{self, HardeningError};
use crate::key_file::{self, KeyFileError};
use crate::luks2::{Expected, Standing};
use crate::opened::{self, Opened};
use crate::passphrase::Passphrase;
use nitride_kbs::disk::DiskExpectation;
use std::io::ErrorKind;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a device is looked for.
const LOOK_UP: Duration = Duration::from_millis(200);

/// Opens the volume, or, dry, tries whether it would be.
pub(crate) fn run(config: &Config, name: &str, dry_run: bool) -> Result<(), Failure> {
    let volume = config.volume(name)?;
    let keeps_copies = || match dry_run {
        true => Ok(()),
        false => hardening::check_swap(),
    };
    keeps_copies()?;
    let is_open = |name| is_open(Path::new("/sys"), Path::new(opened::FOLDER), name);
    if !dry_run && is_open(name)? {
        tracing::info!(volume = name, "it is open already, by this program");
        return Ok(());
    }
    let cryptsetup = Cryptsetup::at(&config.cryptsetup);
    let fetch = |name: &str, disk: &DiskExpectation| {
        key_file::fetch(&config.key_files, name, disk, volume.timeout)
    };
    open(volume, &cryptsetup, dry_run, keeps_copies, fetch).map_err(|failure| {
        match is_open(name) {
            // Whoever was faster is what matters, and not that the name was taken.
            Err(mapped) if !dry_run => mapped,
            _ => failure,
        }
    })?;
    let done = if dry_run { "would open" } else { "opened" };
    tracing::info!(volume = name, "{done} by the vault's passphrase");
    Ok(())
}

/// Whether the volume is open by our own doing.
fn is_open(sys: &Path, notes: &Path, name: &str) -> Result<bool, Failure> {
    let Ok(Some((device, uuid))) = opened::mapping(sys, name) else {
        return Ok(false);
    };
    let notes = opened::all(notes);
    let is_it = |one: &Opened| one.device == device && one.uuid == uuid;
    match notes.iter().any(is_it) {
        true => Ok(true),
        false => Err(Failure::AlreadyMapped {
            name: name.to_owned(),
        }),
    }
}

fn open(
    volume: &Volume,
    cryptsetup: &Cryptsetup,
    dry_run: bool,
    keeps_copies: impl Fn() -> Result<(), HardeningError>,
    mut fetch: impl FnMut(&str, &DiskExpectation) -> Result<Passphrase, KeyFileError>,
) -> Result<(), Failure> {
    let patience = if dry_run {
        Duration::ZERO
    } else {
        volume.timeout
    };
    let copy = wait_for(&volume.device, patience)?.check(&volume.wanted)?;
    warn_of(volume, &copy);
    let mut refused = None;
    for name in &volume.passphrases {
        tracing::info!(volume = %volume.name, passphrase = %name, "asking the vault");
        let passphrase = match fetch(name, copy.header().is()) {
            Ok(passphrase) => passphrase,
            // The next one may be there.
            Err(error) => {
                tracing::warn!(passphrase = %name, error = %error, "no passphrase");
                refused = Some(error);
                continue;
            }
        };
        copy.check_unchanged()?;
        // Again: minutes may have passed, and swap may have come up in them.
        keeps_copies()?;
        let opened = match dry_run {
            true => cryptsetup.opens(&copy, None, &passphrase)?,
            false => cryptsetup.open(&copy.kept()?, &volume.name, &passphrase)?,
        };
        if opened {
            if !dry_run {
                note(&volume.name, copy.header().is());
            }
            return Ok(());
        }
        tracing::warn!(passphrase = %name, "no slot has this passphrase");
        refused = None;
    }
    Err(refused.map_or(Failure::NoneUnlocks, Failure::KeyFile))
}

/// Leaves word of it for `leave`, which without it takes the volume for one that nothing protects.
fn note(name: &str, volume: &DiskExpectation) {
    let noted = Opened::now(Path::new("/sys"), name, volume)
        .and_then(|opened| opened.note(Path::new(opened::FOLDER), name));
    if let Err(error) = noted {
        tracing::warn!(volume = name, error = %error, "what was opened could not be noted");
    }
}

/// The copy of a header, once its device is there: at boot it may come later than we do.
fn wait_for(device: &Path, patience: Duration) -> Result<HeaderCopy, CopyError> {
    let deadline = Instant::now() + patience;
    let mut is_told = false;
    loop {
        match HeaderCopy::take(device) {
            // The kernel makes a node that is root's, and then udev gives it to its group.
            Err(CopyError::Unreadable { source, .. })
                if matches!(
                    source.kind(),
                    ErrorKind::NotFound | ErrorKind::PermissionDenied
                ) && Instant::now() < deadline =>
            {
                if !is_told {
                    tracing::info!(device = %device.display(), "waiting for the device");
                    is_told = true;
                }
                sleep(LOOK_UP);
            }
            taken => return taken,
        }
    }
}

fn warn_of(volume: &Volume, copy: &CheckedCopy) {
    if volume.wanted.expected == Expected::DangerAny {
        tracing::warn!(
            volume = %volume.name,
            "DANGER: any sound header is taken, so whoever holds the disk can put another volume in \
             its place, or keep this one's key and take its integrity away or move its data"
        );
    }
    if let Standing::CutOff { good } = copy.standing() {
        tracing::warn!(
            volume = %volume.name,
            "an update of the header was cut off, and its {good} copy is taken: enrol again"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cryptsetup::tests::{copy_of, passphrase, real, volume};
    use crate::luks2::HeaderFault;
    use crate::luks2::tests::{any_volume, disk, rewritten};
    use std::cell::Cell;
    use std::fs::OpenOptions;
    use std::os::unix::fs::FileExt;
    use std::thread::spawn;

    fn configured(device: &Path, passphrases: &[&str]) -> Volume {
        Volume {
            name: "nitride-test".to_owned(),
            device: device.to_owned(),
            wanted: any_volume(),
            passphrases: passphrases.iter().map(|name| (*name).to_owned()).collect(),
            timeout: Duration::from_secs(1),
        }
    }

    /// The passphrase is its name.
    fn named(name: &str, _: &DiskExpectation) -> Result<Passphrase, KeyFileError> {
        Ok(passphrase(name.as_bytes()))
    }

    /// Tries on the copy, as `--dry-run` does.
    fn dry(
        volume: &Volume,
        fetch: impl FnMut(&str, &DiskExpectation) -> Result<Passphrase, KeyFileError>,
    ) -> Result<(), Failure> {
        open(volume, &real(), true, || Ok(()), fetch)
    }

    #[test]
    fn a_copy_is_used_only_while_nothing_swaps() {
        let (_folder, device) = volume(b"b", &[]);
        // Swap comes up while the second passphrase is waited for.
        let asked = Cell::new(0);
        let keeps_copies = || {
            asked.set(asked.get() + 1);
            match asked.get() {
                1 => Ok(()),
                _ => Err(HardeningError::Swap),
            }
        };
        let volume = configured(&device, &["a", "b"]);
        let refused = open(&volume, &real(), true, keeps_copies, named);
        let swap = HardeningError::Swap;
        assert!(
            matches!(refused, Err(Failure::Hardening(error)) if error.remedy() == swap.remedy())
        );
        assert_eq!(asked.get(), 2);
    }

    #[test]
    fn a_mapping_that_somebody_else_made_is_no_volume_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let (sys, notes) = (folder.path(), folder.path().join("notes"));
        let mapping = sys.join("block/dm-0");
        std::fs::create_dir_all(mapping.join("dm")).unwrap();
        std::fs::write(mapping.join("dev"), "253:0\n").unwrap();
        std::fs::write(mapping.join("dm/name"), "root\n").unwrap();
        std::fs::write(mapping.join("dm/uuid"), "CRYPT-LUKS2-0a-root\n").unwrap();
        assert!(!is_open(sys, &notes, "home").unwrap());
        let foreign = is_open(sys, &notes, "root");
        assert!(matches!(foreign, Err(Failure::AlreadyMapped { .. })));
        let ours = Opened::now(sys, "root", &disk()).unwrap();
        ours.note(&notes, "root").unwrap();
        assert!(is_open(sys, &notes, "root").unwrap());
        // Another one since, by the same name.
        std::fs::write(mapping.join("dev"), "253:1\n").unwrap();
        let foreign = is_open(sys, &notes, "root");
        assert!(matches!(foreign, Err(Failure::AlreadyMapped { .. })));
    }

    #[test]
    fn each_passphrase_is_tried_in_its_order() {
        let (_folder, device) = volume(b"b", &[]);
        let mut asked = Vec::new();
        let mut fetch = |name: &str, disk: &DiskExpectation| {
            asked.push((name.to_owned(), disk.clone()));
            named(name, disk)
        };
        dry(&configured(&device, &["a", "b", "c"]), &mut fetch).unwrap();
        let disk = copy_of(&device).header().is().clone();
        let expected = ["a", "b"].map(|name| (name.to_owned(), disk.clone()));
        assert_eq!(asked, expected);
        let none = dry(&configured(&device, &["a", "c"]), named);
        assert!(matches!(none, Err(Failure::NoneUnlocks)));
    }

    #[test]
    fn a_passphrase_that_is_not_to_be_had_does_not_hide_the_next() {
        let (_folder, device) = volume(b"b", &[]);
        let fetch = |name: &str, disk: &DiskExpectation| match name {
            "a" => key_file::fetch(Path::new("/nonexistent"), name, disk, Duration::ZERO),
            name => named(name, disk),
        };
        dry(&configured(&device, &["a", "b"]), fetch).unwrap();
        let refused = dry(&configured(&device, &["b2", "a"]), fetch);
        assert!(matches!(refused, Err(Failure::KeyFile(_))));
    }

    #[test]
    fn a_device_that_comes_later_is_waited_for_and_one_that_is_wrong_is_not() {
        let (_folder, device) = volume(b"b", &[]);
        let later = device.with_extension("later");
        let path = later.clone();
        let udev = spawn(move || {
            sleep(Duration::from_millis(300));
            std::os::unix::fs::symlink(device, path).unwrap();
        });
        assert!(wait_for(&later, Duration::from_secs(20)).is_ok());
        udev.join().unwrap();
        let none = wait_for(&later.with_extension("none"), Duration::from_millis(10));
        assert!(matches!(none, Err(CopyError::Unreadable { .. })));
        let refused = wait_for(Path::new("/dev/null"), Duration::from_secs(3600));
        assert!(refused.unwrap_err().fault().is_some());
    }

    #[test]
    fn nothing_is_fetched_for_a_header_that_is_refused() {
        let (_folder, device) = volume(b"b", &[]);
        let head = std::fs::read(&device).unwrap();
        let changed = rewritten(&head, r#""type":"crypt""#, r#""type":"linear""#);
        let file = OpenOptions::new().write(true).open(&device).unwrap();
        file.write_all_at(&changed, 0).unwrap();
        let fetch = |_: &str, _: &DiskExpectation| panic!("a passphrase was fetched");
        let refused = dry(&configured(&device, &["b"]), fetch);
        let Err(Failure::Copy(error)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(error.fault().unwrap().name(), "segment-type");
    }

    #[test]
    fn a_header_that_changes_while_the_passphrase_is_fetched_is_refused() {
        let (_folder, device) = volume(b"b", &[]);
        let (_other_folder, other) = volume(b"b", &[]);
        let fetch = |name: &str, disk: &DiskExpectation| {
            let head = std::fs::read(&other).unwrap();
            let file = OpenOptions::new().write(true).open(&device).unwrap();
            file.write_all_at(&head, 0).unwrap();
            named(name, disk)
        };
        let refused = dry(&configured(&device, &["b"]), fetch);
        let Err(Failure::Copy(error)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(error.fault(), Some(&HeaderFault::Changed));
    }
}
