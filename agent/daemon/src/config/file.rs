use std::fs::File;
use std::io::Read;
use std::ops::{Range, RangeInclusive};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml::Spanned;

/// Longest configuration file in bytes.
const MAX_FILE_LEN: u64 = 262_144;

/// Why the configuration cannot be used.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    #[error("cannot read {}", .path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: the file can be written by everybody: take that right away", .path.display())]
    EverybodyWrites { path: PathBuf },
    #[error("{}: the file is larger than {MAX_FILE_LEN} bytes", .path.display())]
    TooLarge { path: PathBuf },
    #[error("{}:{line}: {fault}", .path.display())]
    Fault {
        path: PathBuf,
        line: usize,
        fault: String,
    },
}

/// A fault and where in the text it is.
#[derive(Debug)]
pub(super) struct Fault {
    at: Range<usize>,
    fault: String,
}

impl From<toml::de::Error> for Fault {
    fn from(error: toml::de::Error) -> Self {
        Self {
            at: error.span().unwrap_or(0..0),
            fault: error.message().to_owned(),
        }
    }
}

/// An `Err` with what is wrong and its remedy.
pub(super) fn fault<T>(at: Range<usize>, fault: impl Into<String>) -> Result<T, Fault> {
    let fault = fault.into();
    Err(Fault { at, fault })
}

pub(super) fn load<T>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, Fault>,
) -> Result<T, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    // Who can write it chooses the services, and whom to trust as one.
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & 0o002 != 0 {
        return Err(ConfigError::EverybodyWrites {
            path: path.to_owned(),
        });
    }
    file.take(MAX_FILE_LEN + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE_LEN {
        return Err(ConfigError::TooLarge {
            path: path.to_owned(),
        });
    }
    parse(&text).map_err(|Fault { at, fault }| ConfigError::Fault {
        path: path.to_owned(),
        line: text
            .bytes()
            .take(at.start)
            .filter(|byte| *byte == b'\n')
            .count()
            + 1,
        fault,
    })
}

pub(super) fn absolute(path: Spanned<PathBuf>) -> Result<PathBuf, Fault> {
    match path.get_ref().is_absolute() {
        true => Ok(path.into_inner()),
        false => fault(path.span(), "the path is relative: write it from the root"),
    }
}

pub(super) fn within(
    value: Option<Spanned<u64>>,
    default: u64,
    range: RangeInclusive<u64>,
) -> Result<u64, Fault> {
    match value {
        None => Ok(default),
        Some(value) if range.contains(value.get_ref()) => Ok(value.into_inner()),
        Some(value) => {
            let (least, most) = (range.start(), range.end());
            let fault_text = format!("the value is out of range: give {least} to {most}");
            fault(value.span(), fault_text)
        }
    }
}
