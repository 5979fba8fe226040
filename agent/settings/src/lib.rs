//! Configuration files of the programs beside vhsmd: nitride-agent, nitride-quote, nitride-unlock.
//!
//! ```text
//! path ──trusted_file::open──> bytes, at most so many ──document──> tables ──each program──> a struct
//!                                                          └──Fault: where, what, remedy──┘
//! ```
//!
//! Whoever can write such a file says whom the program believes, so it is read only where nobody else
//! can write or replace it; once, so that what was judged is what is used; and as a whole, so that
//! nothing is half obeyed. A fault has the file and the line.
#![forbid(unsafe_code)]

use nitride_ipc::trusted_file::{self, TrustError};
use serde::de::DeserializeOwned;
use std::io::Read;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml::Spanned;

/// Why a file cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// It is not there, or cannot be read.
    #[error("cannot read {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// Somebody else can write it, or put another in its place.
    #[error("{}: the file cannot be trusted", .path.display())]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// Who can, or what it is.
        source: TrustError,
    },
    /// It is longer than any configuration.
    #[error("{}: the file is larger than {max_len} bytes", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read, in bytes.
        max_len: u64,
    },
    /// What it says is not what can be said.
    #[error("{}:{line}: {fault}", .path.display())]
    Fault {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong, and its remedy.
        fault: String,
    },
}

/// A fault, and where in the text it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// In bytes.
    pub at: Range<usize>,
    /// What is wrong, and its remedy.
    pub fault: String,
}

impl From<toml::de::Error> for Fault {
    fn from(error: toml::de::Error) -> Self {
        Self {
            at: error.span().unwrap_or(0..0),
            fault: error.message().to_owned(),
        }
    }
}

impl Fault {
    /// The line of `text` in which it is, from 1.
    #[must_use]
    pub fn line(&self, text: &str) -> usize {
        let before = text.bytes().take(self.at.start);
        before.filter(|byte| *byte == b'\n').count() + 1
    }
}

/// An `Err` with what is wrong and its remedy.
///
/// # Errors
/// Always.
pub fn fault<T>(at: Range<usize>, fault: impl Into<String>) -> Result<T, Fault> {
    let fault = fault.into();
    Err(Fault { at, fault })
}

/// Reads the file at `path`, of at most `max_len` bytes, and makes of it what `parse` does.
///
/// # Errors
/// [`SettingsError`].
pub fn load<T>(
    path: &Path,
    max_len: u64,
    parse: impl FnOnce(&str) -> Result<T, Fault>,
) -> Result<T, SettingsError> {
    let unreadable = |source| SettingsError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = trusted_file::open(path).map_err(|error| match error {
        TrustError::Unreadable(source) => unreadable(source),
        source => SettingsError::Untrusted {
            path: path.to_owned(),
            source,
        },
    })?;
    let mut text = String::new();
    file.take(max_len.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > max_len {
        return Err(SettingsError::TooLarge {
            path: path.to_owned(),
            max_len,
        });
    }
    parse(&text).map_err(|found| SettingsError::Fault {
        path: path.to_owned(),
        line: found.line(&text),
        fault: found.fault,
    })
}

/// The tables of a text. They say themselves that unknown keys are faults.
///
/// # Errors
/// What TOML or the tables refuse, where it stands.
pub fn document<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    Ok(toml::from_str(text)?)
}

/// A path from the root: where a program is started says nothing of its files.
///
/// # Errors
/// A relative path.
pub fn absolute(path: Spanned<PathBuf>) -> Result<PathBuf, Fault> {
    match path.get_ref().is_absolute() {
        true => Ok(path.into_inner()),
        false => fault(path.span(), "the path is relative: write it from the root"),
    }
}

/// A number in its range, or what holds where none is stated.
///
/// # Errors
/// A number outside.
pub fn within(
    value: Option<Spanned<u64>>,
    default: u64,
    range: RangeInclusive<u64>,
) -> Result<u64, Fault> {
    match value {
        None => Ok(default),
        Some(value) if range.contains(value.get_ref()) => Ok(value.into_inner()),
        Some(value) => {
            let (least, most) = (range.start(), range.end());
            let said = format!("the value is out of range: give {least} to {most}");
            fault(value.span(), said)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        path: Spanned<PathBuf>,
        secs: Option<Spanned<u64>>,
    }

    fn parse(text: &str) -> Result<(PathBuf, u64), Fault> {
        let table: Table = document(text)?;
        Ok((absolute(table.path)?, within(table.secs, 7, 1..=9)?))
    }

    /// What is said of a file with this text.
    fn loaded(text: &str, mode: u32) -> Result<(PathBuf, u64), SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        load(&path, 64, parse)
    }

    #[test]
    fn what_is_stated_and_what_is_not_is_read() {
        let read = loaded("path = \"/a\"\n", 0o600).unwrap();
        assert_eq!(read, (PathBuf::from("/a"), 7));
        let read = loaded("path = \"/a\"\nsecs = 9", 0o644).unwrap();
        assert_eq!(read.1, 9);
    }

    #[test]
    fn each_fault_has_its_line() {
        for (text, expected) in [
            ("path = \"a\"", 1),
            ("path = \"/a\"\nsecs = 0", 2),
            ("path = \"/a\"\nsecs = 10", 2),
            ("path = \"/a\"\n\nspeed = 1", 3),
            ("path = \"/a\"\npath = \"/b\"", 2),
            ("secs = 1", 1),
            ("path = [", 1),
        ] {
            match loaded(text, 0o600) {
                Err(SettingsError::Fault { line, .. }) => assert_eq!(line, expected, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_file_that_others_write_is_too_long_or_is_not_there_is_named() {
        let text = "path = \"/a\"\n";
        let trust = loaded(text, 0o602).unwrap_err();
        let is_named = matches!(
            trust,
            SettingsError::Untrusted {
                source: TrustError::EverybodyWrites,
                ..
            }
        );
        assert!(is_named, "{trust:?}");
        let longest = format!("{text}{}", "#".repeat(64 - text.len()));
        assert!(loaded(&longest, 0o600).is_ok());
        let long = loaded(&format!("{longest}#"), 0o600).unwrap_err();
        assert!(matches!(long, SettingsError::TooLarge { max_len: 64, .. }));
        let none = load(Path::new("/nonexistent/x.toml"), 64, parse).unwrap_err();
        assert!(matches!(none, SettingsError::Unreadable { .. }));
    }
}
