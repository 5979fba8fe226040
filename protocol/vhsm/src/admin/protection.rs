//! What keeps a root file system from being changed.

use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// What keeps a root file system from being changed by whoever holds its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protection {
    /// Nothing.
    None,
    /// Each sector carries a tag under the volume's own key (dm-integrity).
    Integrity,
    /// It is read-only, under a digest that was measured (dm-verity).
    Verity,
}

/// A text that names no protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("unknown protection")]
pub struct UnknownProtection;

impl Protection {
    /// Every protection.
    pub const ALL: [Self; 3] = [Self::None, Self::Integrity, Self::Verity];

    /// The protection's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Integrity => "integrity",
            Self::Verity => "verity",
        }
    }
}

impl FromStr for Protection {
    type Err = UnknownProtection;

    fn from_str(text: &str) -> Result<Self, UnknownProtection> {
        Self::ALL
            .into_iter()
            .find(|protection| protection.as_str() == text)
            .ok_or(UnknownProtection)
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
