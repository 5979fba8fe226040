use super::*;
use crate::luks2::tests::{JSON, any_volume, both};
use std::fs;
use std::path::PathBuf;

/// A device of 32 MiB with a header of our own making.
fn device(both: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let file = File::create(&path).unwrap();
    file.set_len(32 << 20).unwrap();
    file.write_all_at(both, 0).unwrap();
    (folder, path)
}

fn refused(path: &Path) -> &'static str {
    let copy = HeaderCopy::take(path).and_then(|copy| copy.check(&any_volume()));
    copy.unwrap_err().fault().unwrap().name()
}

#[test]
fn the_copy_has_the_header_and_the_keyslots() {
    let (_folder, path) = device(&both(JSON));
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"slot", 32_768).unwrap();
    file.write_all_at(b"last", (16 << 20) - 4).unwrap();
    file.write_all_at(b"data", 16 << 20).unwrap();
    let copy = HeaderCopy::take(&path)
        .unwrap()
        .check(&any_volume())
        .unwrap();
    let copied = fs::read(format!("/proc/self/fd/{}", fd(&copy))).unwrap();
    assert_eq!(copied, fs::read(&path).unwrap()[..16 << 20]);
    assert_eq!(copy.standing(), Standing::Whole);
}

fn fd(copy: &CheckedCopy) -> i32 {
    use std::os::fd::AsRawFd;
    copy.memory().as_raw_fd()
}

#[test]
fn the_copy_cannot_be_changed() {
    let (_folder, path) = device(&both(JSON));
    let copy = HeaderCopy::take(&path).unwrap();
    assert!(copy.memory.write_at(b"x", 0).is_err());
    assert!(copy.memory.set_len(0).is_err());
    assert!(copy.memory.set_len(64 << 20).is_err());
}

#[test]
fn a_copy_that_is_not_what_was_checked_is_not_used() {
    let (_folder, path) = device(&both(JSON));
    let taken = || HeaderCopy::take(&path).unwrap();
    let mut copy = taken().check(&any_volume()).unwrap();
    copy.kept().unwrap();
    // As if pages had come back from a disk of the host's: a byte of a slot, far from the header.
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"x", (16 << 20) - 1).unwrap();
    copy.copy.memory = taken().memory;
    assert!(matches!(copy.kept(), Err(CopyError::NotKept)));
}

#[test]
fn a_header_that_changes_after_the_check_is_named_and_the_copy_stays() {
    let (_folder, path) = device(&both(JSON));
    let copy = HeaderCopy::take(&path)
        .unwrap()
        .check(&any_volume())
        .unwrap();
    copy.check_unchanged().unwrap();
    let null = JSON.replace(
        "\"0\",\"encryption\":\"aes-xts-plain64\"",
        "\"0\",\"encryption\":\"cipher_null-ecb\"",
    );
    assert_ne!(null, JSON);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&both(&null), 0).unwrap();
    let fault = copy.check_unchanged().unwrap_err();
    assert_eq!(fault.fault(), Some(&HeaderFault::Changed));
    assert_eq!(copy.copy.header().unwrap(), *copy.header().header());
    assert_eq!(refused(&path), "null-cipher");
}

#[test]
fn an_update_that_was_cut_off_is_whole_in_the_copy() {
    let mut torn = both(JSON);
    torn[448..512].fill(0);
    let (_folder, path) = device(&torn);
    let copy = HeaderCopy::take(&path)
        .unwrap()
        .check(&any_volume())
        .unwrap();
    assert!(matches!(copy.standing(), Standing::CutOff { .. }));
    assert_eq!(copy.header().header().standing(), Standing::Whole);
    copy.check_unchanged().unwrap();
}

#[test]
fn what_is_shorter_than_its_header_is_refused() {
    let (_folder, path) = device(&both(JSON));
    for len in [0, 511, 4096, 32_767, 32_768, (16 << 20) - 1] {
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(len).unwrap();
        file.write_all_at(&both(JSON)[..usize::try_from(len.min(32_768)).unwrap()], 0)
            .unwrap();
        assert_eq!(refused(&path), "too-short", "{len}");
    }
}

#[test]
fn what_is_no_device_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = HeaderCopy::take(&folder.path().join("none")).unwrap_err();
    assert!(matches!(error, CopyError::Unreadable { .. }));
    assert!(HeaderCopy::take(folder.path()).is_err());
}
