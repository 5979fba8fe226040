//! Over the real cryptsetup and files. Opening under a name takes the device mapper; where the
//! kernel has none, what can be shown is that it is asked with the right header.

use super::*;
use crate::copy::HeaderCopy;
use crate::luks2::tests::{any_volume, rewritten};
use crate::luks2::{self, Kdf, Standing};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};

pub(crate) fn real() -> Cryptsetup {
    let program = ["/usr/sbin/cryptsetup", "/sbin/cryptsetup"];
    let found = program.iter().map(Path::new).find(|path| path.exists());
    Cryptsetup::at(found.expect("install cryptsetup-bin"))
}

pub(crate) fn passphrase(bytes: &[u8]) -> Passphrase {
    Passphrase::read(bytes).unwrap()
}

/// A volume that the real cryptsetup made, of 20 MiB, with one slot.
pub(crate) fn volume(key: &[u8], more: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let file = fs::File::create(&path).unwrap();
    file.set_len(20 << 20).unwrap();
    let mut arguments = words(&["--batch-mode", "--type", "luks2", "--key-file", "-"]);
    arguments.extend(words(&UNSTRETCHED));
    arguments.extend(words(more));
    arguments.push((&path).into());
    let ended = real().call("luksFormat", &arguments, &passphrase(key), &[]);
    assert!(matches!(ended.unwrap(), Ended::Done));
    (folder, path)
}

pub(crate) fn copy_of(device: &Path) -> CheckedCopy {
    HeaderCopy::take(device)
        .and_then(|copy| copy.check(&any_volume()))
        .unwrap()
}

fn numbers(device: &Path) -> Vec<u8> {
    let copy = copy_of(device);
    let slots = copy.header().header().keyslots();
    slots.iter().map(|slot| slot.number).collect()
}

#[test]
fn a_volume_of_cryptsetup_s_passes_and_its_passphrase_unlocks_the_copy() {
    let (_folder, device) = volume(b"first", &[]);
    let copy = copy_of(&device);
    assert_eq!(copy.standing(), Standing::Whole);
    assert!(real().opens(&copy, None, &passphrase(b"first")).unwrap());
    assert!(real().opens(&copy, Some(0), &passphrase(b"first")).unwrap());
    assert!(!real().opens(&copy, None, &passphrase(b"first\n")).unwrap());
    assert!(!real().opens(&copy, None, &passphrase(b"other")).unwrap());
}

#[test]
fn the_copy_unlocks_whatever_becomes_of_the_device() {
    let (_folder, device) = volume(b"first", &[]);
    let copy = copy_of(&device);
    let file = OpenOptions::new().write(true).open(&device).unwrap();
    file.write_all_at(&vec![0; 16 << 20], 0).unwrap();
    assert!(real().opens(&copy, None, &passphrase(b"first")).unwrap());
}

#[test]
fn a_cut_off_update_of_the_device_unlocks_by_the_copy() {
    let (_folder, device) = volume(b"first", &[]);
    let file = OpenOptions::new().write(true).open(&device).unwrap();
    file.write_all_at(&[0; 64], 448).unwrap();
    let copy = copy_of(&device);
    assert!(matches!(copy.standing(), Standing::CutOff { .. }));
    assert!(real().opens(&copy, None, &passphrase(b"first")).unwrap());
}

#[test]
fn a_slot_is_added_and_removed_and_the_last_one_stays() {
    let (_folder, device) = volume(b"first", &[]);
    let strong = passphrase(&[b'x'; 32]);
    real()
        .add_slot(&device, &passphrase(b"first"), &strong)
        .unwrap();
    assert_eq!(numbers(&device), [0, 1]);
    let copy = copy_of(&device);
    let kdf = &copy.header().header().keyslots()[1].kdf;
    assert!(matches!(
        kdf,
        Kdf::Pbkdf2 {
            iterations: 1000,
            ..
        }
    ));
    assert!(real().opens(&copy, Some(1), &strong).unwrap());
    assert!(!real().opens(&copy, Some(0), &strong).unwrap());
    // What would not unlock afterwards removes nothing.
    let refused = real().remove_slot(&device, 0, &passphrase(b"first"));
    assert!(matches!(refused, Err(CryptsetupError::NoSuchKey { .. })));
    real().remove_slot(&device, 0, &strong).unwrap();
    assert_eq!(numbers(&device), [1]);
    let other = real().add_slot(&device, &passphrase(b"first"), &strong);
    assert!(matches!(other, Err(CryptsetupError::NoSuchKey { .. })));
}

#[test]
fn a_new_slot_is_encrypted_as_we_say_whatever_the_segment_says() {
    let (_folder, device) = volume(b"first", &[]);
    let weaker = rewritten(
        &fs::read(&device).unwrap(),
        r#""iv_tweak":"0","encryption":"aes-xts-plain64""#,
        r#""iv_tweak":"0","encryption":"aes-cbc-plain64""#,
    );
    let file = OpenOptions::new().write(true).open(&device).unwrap();
    file.write_all_at(&weaker, 0).unwrap();
    let (old, new) = (passphrase(b"first"), passphrase(&[b'x'; 32]));
    real().add_slot(&device, &old, &new).unwrap();
    let header = luks2::parse(&fs::read(&device).unwrap()).unwrap();
    let area = &header.keyslots()[1].area;
    assert_eq!(
        (area.cipher.as_str(), area.key_len),
        ("aes-xts-plain64", 64)
    );
}

#[test]
fn what_slots_do_leaves_what_is_expected_as_it_was() {
    let (_folder, device) = volume(b"first", &[]);
    let before = copy_of(&device).header().is().clone();
    let strong = passphrase(&[b'x'; 32]);
    real()
        .add_slot(&device, &passphrase(b"first"), &strong)
        .unwrap();
    real().remove_slot(&device, 0, &strong).unwrap();
    assert_eq!(copy_of(&device).header().is(), &before);
    let (_other_folder, other) = volume(b"first", &["--uuid", &before.uuid]);
    let other = copy_of(&other).header().is().clone();
    assert_eq!(other.uuid, before.uuid);
    assert_ne!(other.digest, before.digest);
}

#[test]
fn headers_that_cryptsetup_makes_otherwise_are_named() {
    let refused = |more: &[&str]| {
        let (_folder, device) = volume(b"first", more);
        let copy = HeaderCopy::take(&device).and_then(|copy| copy.check(&any_volume()));
        copy.map_err(|error| error.fault().unwrap().name()).err()
    };
    assert_eq!(refused(&["--sector-size", "512"]), None);
    assert_eq!(refused(&["--key-size", "256"]), None);
    assert_eq!(refused(&["--luks2-metadata-size", "64k"]), None);
    assert_eq!(
        refused(&["--cipher", "aes-cbc-essiv:sha256"]),
        Some("cipher")
    );
    let slot = [
        "--keyslot-cipher",
        "aes-cbc-plain64",
        "--keyslot-key-size",
        "256",
    ];
    assert_eq!(refused(&slot), Some("cipher"));
    assert_eq!(refused(&["--hash", "sha1"]), Some("split"));
}

#[test]
fn a_header_that_cryptsetup_takes_and_that_writes_in_the_clear_is_refused() {
    let (_folder, device) = volume(b"first", &[]);
    let changed = rewritten(
        &fs::read(&device).unwrap(),
        r#""iv_tweak":"0","encryption":"aes-xts-plain64""#,
        r#""iv_tweak":"0","encryption":"cipher_null-ecb""#,
    );
    let file = OpenOptions::new().write(true).open(&device).unwrap();
    file.write_all_at(&changed, 0).unwrap();
    let mut arguments = words(&["--test-passphrase", "--key-file", "-"]);
    arguments.push((&device).into());
    // The right passphrase, to which the host has changed the meaning.
    let ended = real().call("open", &arguments, &passphrase(b"first"), &[]);
    assert!(matches!(ended.unwrap(), Ended::Done));
    let refused = HeaderCopy::take(&device).and_then(|copy| copy.check(&any_volume()));
    assert_eq!(refused.unwrap_err().fault().unwrap().name(), "null-cipher");
}

#[test]
fn a_volume_that_is_being_encrypted_anew_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    fs::File::create(&path).unwrap().set_len(64 << 20).unwrap();
    let mut arguments = words(&[
        "--encrypt",
        "--init-only",
        "--batch-mode",
        "--type",
        "luks2",
    ]);
    arguments.extend(words(&["--reduce-device-size", "32M", "--key-file", "-"]));
    arguments.extend(words(&UNSTRETCHED));
    arguments.push((&path).into());
    let ended = real().call("reencrypt", &arguments, &passphrase(b"first"), &[]);
    assert!(matches!(ended.unwrap(), Ended::Done));
    let error = HeaderCopy::take(&path).unwrap_err();
    assert_eq!(error.fault().unwrap().name(), "reencryption");
}

/// A program in cryptsetup's place that writes down how it was called.
fn recorder(folder: &Path) -> Cryptsetup {
    let program = folder.join("cryptsetup");
    let text = format!(
        "#!/bin/sh\n{{ echo \"$@\"; env; }} >> {0}/seen\ncat > {0}/stdin\n",
        folder.display()
    );
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    Cryptsetup::at(&program)
}

#[test]
fn passphrases_stand_in_neither_arguments_nor_environment() {
    let (_folder, device) = volume(b"first", &[]);
    let copy = copy_of(&device);
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    let (one, two) = (passphrase(b"hunter2-one"), passphrase(b"hunter2-two"));
    assert!(recorder.open(&copy.kept().unwrap(), "root", &one).unwrap());
    assert_eq!(
        fs::read(folder.path().join("stdin")).unwrap(),
        b"hunter2-one"
    );
    recorder.opens(&copy, Some(1), &one).unwrap();
    recorder.add_slot(&device, &one, &two).unwrap();
    recorder.remove_slot(&device, 1, &one).unwrap();
    let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
    assert!(!seen.contains("hunter2"), "{seen}");
    let header = seen.matches("--header /proc/self/fd/").count();
    assert_eq!(header, 2, "{seen}");
    assert!(!seen.contains("CARGO"), "{seen}");
    // Of whatever type the device is by then, and by nobody's token.
    for how in ["--type luks2", "--disable-external-tokens"] {
        assert_eq!(seen.matches(how).count(), 4, "{seen}");
    }
}

#[test]
fn a_program_that_is_not_there_or_fails_is_named() {
    let (_folder, device) = volume(b"first", &[]);
    let copy = copy_of(&device);
    let none = Cryptsetup::at(Path::new("/nonexistent/cryptsetup"));
    let missing = none.open(&copy.kept().unwrap(), "root", &passphrase(b"first"));
    assert!(matches!(missing, Err(CryptsetupError::NotStarted { .. })));
    let failed = real().add_slot(Path::new("/dev/null"), &passphrase(b"a"), &passphrase(b"b"));
    let said = failed.unwrap_err();
    assert!(matches!(said, CryptsetupError::Failed { .. }), "{said}");
    assert!(!said.to_string().contains('\n'));
}
