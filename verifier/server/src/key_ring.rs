//! Several keys for one use, so that a new one takes over while what the old one made still counts.
//!
//! ```text
//!   the only key                 is used
//!   of several, by age:  oldest … │ previous: taken back │ current: used │ newest: published
//! ```
//!
//! The newest of several is not used yet. It is on every replica, and with everybody who pins it,
//! before the next rotation makes it the current one: replicas that are one rotation apart take back
//! what each other made.

use crate::atomic_file;
use crate::config::KeyFiles;
use crate::key_file::KeyFileError;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use thiserror::Error;

/// More keys than any rotation needs.
const MAX_KEYS: usize = 8;
/// What a rotation leaves: the one that was current, the one that is, and the newest.
const KEPT: usize = 3;
/// The end of a key file's name in a folder, after its number.
const SUFFIX: &str = ".key";
/// What may lie beside a key, under its number: its public half, and its certificates.
const BESIDE: [&str; 2] = ["pub", "crt"];

/// Keys by age.
#[derive(Debug)]
pub(crate) struct KeyRing<T> {
    previous: Vec<T>,
    current: T,
    newest: Option<T>,
}

/// Why there are no keys.
#[derive(Debug, Error)]
pub(crate) enum KeyRingError {
    #[error(transparent)]
    File(#[from] KeyFileError),
    #[error("list the keys in {}", folder.display())]
    Unlistable {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not named as keys in a folder are: 1.key, 2.key, … and 1.pub, 1.crt", path.display())]
    NotNumbered { path: PathBuf },
    #[error("{} has no keys; make them with `rotate`", folder.display())]
    Empty { folder: PathBuf },
    #[error("{found} keys for one use, more than {MAX_KEYS}; remove the oldest")]
    TooMany { found: usize },
    #[error(
        "the newest key in {} is {age_secs} s old, and what the key before it made may still count, \
         on replicas that do not have the newest yet; rotate again when it is {needed_secs} s old",
        folder.display()
    )]
    TooSoon {
        folder: PathBuf,
        age_secs: u64,
        needed_secs: u64,
    },
}

impl<T> KeyRing<T> {
    /// Keys by age; `None` if there are none.
    pub(crate) fn of(oldest_first: Vec<T>) -> Option<Self> {
        let mut previous = oldest_first;
        let last = previous.pop()?;
        let (current, newest) = match previous.pop() {
            None => (last, None),
            Some(current) => (current, Some(last)),
        };
        Some(Self {
            previous,
            current,
            newest,
        })
    }

    /// Reads what a configuration names: one file, several by age, or a folder of numbered ones.
    pub(crate) fn read(
        files: &KeyFiles,
        read: impl Fn(&Path) -> Result<T, KeyFileError>,
    ) -> Result<Self, KeyRingError> {
        let (paths, named) = match files.paths() {
            [folder] if folder.is_dir() => (numbered(folder)?, folder.as_path()),
            paths => (
                paths.to_vec(),
                paths.first().map_or(Path::new(""), PathBuf::as_path),
            ),
        };
        if paths.len() > MAX_KEYS {
            return Err(KeyRingError::TooMany { found: paths.len() });
        }
        let keys: Vec<T> = paths
            .iter()
            .map(|path| read(path))
            .collect::<Result<_, _>>()?;
        Self::of(keys).ok_or_else(|| KeyRingError::Empty {
            folder: named.to_owned(),
        })
    }

    /// The one that is used.
    pub(crate) fn current(&self) -> &T {
        &self.current
    }

    /// Every one of them, the oldest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.previous
            .iter()
            .chain([&self.current])
            .chain(&self.newest)
    }
}

/// The key files of a folder, by their numbers.
pub(crate) fn numbered(folder: &Path) -> Result<Vec<PathBuf>, KeyRingError> {
    let unlistable = |source| KeyRingError::Unlistable {
        folder: folder.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unlistable)? {
        let path = entry.map_err(unlistable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // A leftover of a write that did not finish, or of whoever copies files here.
        if name.starts_with('.') {
            continue;
        }
        let as_key = path.with_extension("key");
        let as_key = as_key.file_name().unwrap_or_default().to_string_lossy();
        let is_beside = BESIDE
            .iter()
            .any(|end| path.extension().is_some_and(|found| found == *end));
        match number_of(&name) {
            Some(number) => found.push((number, path)),
            None if is_beside && number_of(&as_key).is_some() => {}
            None => return Err(KeyRingError::NotNumbered { path }),
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// One spelling a number: no sign, no zero in front.
fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(SUFFIX)?;
    let number: u32 = digits.parse().ok()?;
    (number > 0 && number.to_string() == digits).then_some(number)
}

/// Makes the next key of a folder by `make`, which is given its path, and removes those that nothing
/// needs any more. A new folder gets its first two. `lifetime_secs` is how long what a key made
/// counts: no rotation is sooner after the one before it.
///
/// One file appears, or none; whatever dies here leaves a ring that is whole.
pub(crate) fn rotate(
    folder: &Path,
    lifetime_secs: u64,
    now: SystemTime,
    make: &mut dyn FnMut(&Path) -> Result<(), KeyFileError>,
) -> Result<Vec<PathBuf>, KeyRingError> {
    atomic_file::ensure_folder(folder).map_err(|source| KeyRingError::Unlistable {
        folder: folder.to_owned(),
        source,
    })?;
    let mut paths = numbered(folder)?;
    if let Some(newest) = paths.last() {
        check_age(folder, newest, lifetime_secs, now)?;
    }
    let newest = paths.last().and_then(|path| path.file_name());
    let mut number = newest
        .and_then(|name| number_of(&name.to_string_lossy()))
        .unwrap_or(0);
    let wanted = if paths.is_empty() { 2 } else { 1 };
    for _ in 0..wanted {
        number = number.saturating_add(1);
        let path = folder.join(format!("{number}{SUFFIX}"));
        make(&path)?;
        paths.push(path);
    }
    let dead = paths.len().saturating_sub(KEPT);
    for path in paths.drain(..dead) {
        remove(path)?;
    }
    Ok(paths)
}

/// The key first: what is left beside it harms nobody.
fn remove(path: PathBuf) -> Result<(), KeyFileError> {
    let removed = atomic_file::remove(&path);
    for end in BESIDE {
        let _ = atomic_file::remove(&path.with_extension(end));
    }
    removed.map_err(|source| KeyFileError::Unwritable { path, source })
}

fn check_age(
    folder: &Path,
    newest: &Path,
    needed_secs: u64,
    now: SystemTime,
) -> Result<(), KeyRingError> {
    let made = fs::metadata(newest).and_then(|metadata| metadata.modified());
    let made = made.map_err(|source| KeyRingError::Unlistable {
        folder: folder.to_owned(),
        source,
    })?;
    // A file from the future is as young as can be.
    let age = now.duration_since(made).unwrap_or(Duration::ZERO);
    if age.as_secs() < needed_secs {
        return Err(KeyRingError::TooSoon {
            folder: folder.to_owned(),
            age_secs: age.as_secs(),
            needed_secs,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_file::write_secret;
    use proptest::prelude::*;

    fn make(path: &Path) -> Result<(), KeyFileError> {
        write_secret(path, path.as_os_str().as_encoded_bytes())
    }

    fn names(paths: &[PathBuf]) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        paths.iter().map(name).collect()
    }

    fn in_secs(secs: u64) -> SystemTime {
        SystemTime::now() + Duration::from_secs(secs)
    }

    fn ring(folder: &Path) -> Result<KeyRing<String>, KeyRingError> {
        KeyRing::read(&KeyFiles::of(vec![folder.to_owned()]), |path| {
            Ok(names(&[path.to_owned()]).remove(0))
        })
    }

    #[test]
    fn the_newest_of_several_is_not_used_yet() {
        assert!(KeyRing::<u8>::of(vec![]).is_none());
        assert_eq!(KeyRing::of(vec![1]).unwrap().current(), &1);
        assert_eq!(KeyRing::of(vec![1, 2]).unwrap().current(), &1);
        let three = KeyRing::of(vec![1, 2, 3]).unwrap();
        assert_eq!(three.current(), &2);
        assert_eq!(three.all().count(), 3);
    }

    #[test]
    fn a_rotation_makes_one_key_and_uses_the_one_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("keys");
        assert_eq!(
            names(&rotate(&folder, 60, SystemTime::now(), &mut make).unwrap()),
            ["1.key", "2.key"]
        );
        assert_eq!(ring(&folder).unwrap().current(), "1.key");
        for (left, current) in [
            (&["1.key", "2.key", "3.key"][..], "2.key"),
            (&["2.key", "3.key", "4.key"], "3.key"),
            (&["3.key", "4.key", "5.key"], "4.key"),
        ] {
            let rotated = rotate(&folder, 60, in_secs(100), &mut make).unwrap();
            assert_eq!(names(&rotated), left);
            assert_eq!(names(&numbered(&folder).unwrap()), left);
            assert_eq!(ring(&folder).unwrap().current(), current);
        }
    }

    #[test]
    fn a_rotation_waits_for_what_the_old_key_made() {
        let folder = tempfile::tempdir().unwrap();
        rotate(folder.path(), 60, SystemTime::now(), &mut make).unwrap();
        for now in [in_secs(0), in_secs(50), SystemTime::UNIX_EPOCH] {
            let refused = rotate(folder.path(), 60, now, &mut make);
            assert!(matches!(refused, Err(KeyRingError::TooSoon { .. })));
        }
        assert_eq!(numbered(folder.path()).unwrap().len(), 2);
        assert!(rotate(folder.path(), 60, in_secs(61), &mut make).is_ok());
    }

    #[test]
    fn numbers_and_not_letters_order_the_files() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["10.key", "9.key", "2.key", ".new-0123"] {
            make(&folder.path().join(name)).unwrap();
        }
        let found = numbered(folder.path()).unwrap();
        assert_eq!(names(&found), ["2.key", "9.key", "10.key"]);
    }

    #[test]
    fn a_file_of_another_name_is_no_key_and_stops_all() {
        for name in [
            "key",
            "0.key",
            "01.key",
            "+1.key",
            "1.pem",
            "-1.key",
            "1 .key",
            "1.key.pub",
            "01.crt",
        ] {
            let folder = tempfile::tempdir().unwrap();
            make(&folder.path().join("1.key")).unwrap();
            make(&folder.path().join(name)).unwrap();
            let error = ring(folder.path()).unwrap_err();
            assert!(
                matches!(error, KeyRingError::NotNumbered { .. }),
                "{name}: {error}"
            );
        }
    }

    #[test]
    fn what_lies_beside_a_key_is_none_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut with_public = |path: &Path| {
            make(&path.with_extension("pub"))?;
            make(path)
        };
        rotate(folder.path(), 0, SystemTime::now(), &mut with_public).unwrap();
        make(&at("1.crt")).unwrap();
        for _ in 0..2 {
            rotate(folder.path(), 0, in_secs(1), &mut with_public).unwrap();
        }
        assert_eq!(ring(folder.path()).unwrap().all().count(), 3);
        assert!(!at("1.pub").exists() && !at("1.crt").exists() && at("2.pub").exists());
        make(&at("a.pub")).unwrap();
        assert!(ring(folder.path()).is_err());
    }

    #[test]
    fn an_empty_folder_and_one_with_too_many_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = ring(folder.path()).unwrap_err();
        assert!(matches!(error, KeyRingError::Empty { .. }), "{error}");
        for number in 1..=MAX_KEYS + 1 {
            make(&folder.path().join(format!("{number}.key"))).unwrap();
        }
        let error = ring(folder.path()).unwrap_err();
        assert!(matches!(error, KeyRingError::TooMany { .. }), "{error}");
    }

    #[test]
    fn a_rotation_that_cannot_make_its_key_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        rotate(folder.path(), 0, SystemTime::now(), &mut make).unwrap();
        let mut failing = |path: &Path| {
            Err(KeyFileError::NotAFile {
                path: path.to_owned(),
            })
        };
        assert!(rotate(folder.path(), 0, SystemTime::now(), &mut failing).is_err());
        assert_eq!(names(&numbered(folder.path()).unwrap()), ["1.key", "2.key"]);
    }

    proptest! {
        #[test]
        fn only_the_plain_spelling_of_a_number_is_one(name in "[0-9+-. ]{0,4}\\.?(key)?") {
            if let Some(number) = number_of(&name) {
                prop_assert_eq!(format!("{number}.key"), name);
            }
        }
    }
}
