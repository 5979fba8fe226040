use nitride_ipc::trusted_file::{self, TrustError};
use serde::de::DeserializeOwned;
use std::fmt;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Longest configuration or policy file, in bytes.
const MAX_FILE_LEN: u64 = 1 << 20;

/// What is wrong in a configuration file, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {reason}; {remedy}")]
pub(crate) struct ConfigError {
    place: Place,
    reason: String,
    remedy: String,
}

#[derive(Debug)]
struct Place {
    file: PathBuf,
    line: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match self.line {
            Some(line) => write!(f, ":{line}"),
            None => Ok(()),
        }
    }
}

impl ConfigError {
    /// A fault of a whole file or folder.
    pub(crate) fn of_file(
        file: &Path,
        reason: impl fmt::Display,
        remedy: impl fmt::Display,
    ) -> Self {
        Self {
            place: Place {
                file: file.to_owned(),
                line: None,
            },
            reason: reason.to_string(),
            remedy: remedy.to_string(),
        }
    }
}

/// One file, read whole, that knows which line a byte of it is on.
#[derive(Debug)]
pub(crate) struct Document {
    path: PathBuf,
    text: String,
}

impl Document {
    /// Reads a file that nobody but root and we can write.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let mut file = trusted_file::open(path).map_err(|error| untrusted(path, &error))?;
        let unreadable = |error| untrusted(path, &TrustError::Unreadable(error));
        let mut bytes = Vec::new();
        let read = Read::by_ref(&mut file)
            .take(MAX_FILE_LEN + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        if read as u64 > MAX_FILE_LEN {
            return Err(ConfigError::of_file(
                path,
                format_args!("is longer than {MAX_FILE_LEN} bytes"),
                "split it",
            ));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Self::of(path, text).plain(),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let good = error.into_bytes().into_iter().take(valid).collect();
                let document = Self::of(path, String::from_utf8(good).unwrap_or_default());
                Err(document.fault(valid..valid, "is not UTF-8", "save it as UTF-8"))
            }
        }
    }

    /// The same document, if it is text as every editor shows it: what a person does not see must
    /// not mean anything.
    pub(crate) fn plain(self) -> Result<Self, ConfigError> {
        if self.text.starts_with('\u{feff}') {
            let reason = "begins with a byte order mark";
            return Err(self.fault(0..0, reason, "save it as UTF-8 without one"));
        }
        // What turns the order of what is shown, as in bidirectional text.
        let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let hidden = |c: char| (c.is_control() && !matches!(c, '\n' | '\r' | '\t')) || turns(c);
        match self.text.find(hidden) {
            None => Ok(self),
            Some(at) => Err(self.fault(
                at..at,
                "has a character that is not shown, such as NUL",
                "remove it",
            )),
        }
    }

    /// A document whose text is already at hand.
    pub(crate) fn of(path: &Path, text: String) -> Self {
        Self {
            path: path.to_owned(),
            text,
        }
    }

    /// Where it was read from.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The text as it stands in the file.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Reads it as `T`, refusing what `T` does not have.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        toml::from_str(&self.text).map_err(|error| {
            // A message about several keys goes over several lines; an error of ours is one.
            let reason = error.message().lines().collect::<Vec<_>>().join(", ");
            let remedy = remedy_of(&reason);
            ConfigError {
                place: Place {
                    file: self.path.clone(),
                    line: error.span().map(|span| self.line_of(span.start)),
                },
                reason,
                remedy: remedy.to_owned(),
            }
        })
    }

    /// A fault at the bytes `span`.
    pub(crate) fn fault(
        &self,
        span: Range<usize>,
        reason: impl fmt::Display,
        remedy: impl fmt::Display,
    ) -> ConfigError {
        ConfigError {
            place: Place {
                file: self.path.clone(),
                line: Some(self.line_of(span.start)),
            },
            reason: reason.to_string(),
            remedy: remedy.to_string(),
        }
    }

    /// Counted from 1.
    fn line_of(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }
}

/// The fault of a file or folder that cannot be read, or that the wrong people can write: whoever
/// can write the policy is the policy.
pub(super) fn untrusted(path: &Path, error: &TrustError) -> ConfigError {
    let remedy = match error {
        TrustError::Unreadable(_) => "check that it exists and that vhsmd's user may read it",
        TrustError::NotAFile => "name a file",
        TrustError::EverybodyWrites => "take that right away (chmod o-w)",
        TrustError::GroupWrites { .. } => "take that right away (chmod g-w)",
        TrustError::ForeignOwner { .. } => "give it to root (chown root)",
        TrustError::Replaceable => "take the right to write that folder away (chmod o-w)",
        TrustError::ForeignFolder { .. } => "give that folder to root (chown root)",
        TrustError::GroupReplaces { .. } => "take the right to write that folder away (chmod g-w)",
    };
    match error {
        TrustError::Unreadable(why) => {
            ConfigError::of_file(path, format_args!("{error} ({why})"), remedy)
        }
        error => ConfigError::of_file(path, error, remedy),
    }
}

fn remedy_of(reason: &str) -> &'static str {
    if reason.starts_with("unknown field") {
        "remove it or correct its spelling"
    } else if reason.starts_with("missing field") {
        "add it"
    } else if reason.starts_with("duplicate") {
        "keep one of the two"
    } else {
        "correct it as the manual says"
    }
}
