//! What a store has places for: resources, which clients ask for by name, and records, which the
//! service keeps for itself. They are different types, so that no request can name a record.

use nitride_kbs::resource::ResourcePath;
use std::fmt;
use thiserror::Error;

/// A record's name has at most so many bytes,
const MAX_NAME_LEN: usize = 512;
/// so many parts,
const MAX_PARTS: usize = 4;
/// and so many bytes in each: what a file system takes, less a suffix.
const MAX_PART_LEN: usize = 200;

/// Where something is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    /// What is served to guests.
    Resource(ResourcePath),
    /// What only the service reads.
    Record(RecordName),
}

/// The name of a record: one to four parts of `[a-zA-Z0-9_-][a-zA-Z0-9_.-]*`, such as
/// `policy/attestation`. No part ends in `.sealed`, which a folder's files do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RecordName(Box<str>);

/// A text that names no record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{name:?} is no record's name: one to four parts of [a-zA-Z0-9_-][a-zA-Z0-9_.-]*")]
pub(crate) struct RecordNameError {
    name: String,
}

/// What is listed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Under<'a> {
    /// Every resource.
    Resources,
    /// Every record there is.
    AllRecords,
    /// Every record whose name begins with these parts; itself, if it is one, is not among them.
    Records(&'a RecordName),
}

impl RecordName {
    pub(crate) fn parse(name: &str) -> Result<Self, RecordNameError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let is_part = |part: &str| {
            !part.is_empty()
                && part.len() <= MAX_PART_LEN
                && !part.starts_with('.')
                && !part.ends_with(super::SUFFIX)
                && part.bytes().all(fits)
        };
        if name.len() <= MAX_NAME_LEN
            && name.split('/').count() <= MAX_PARTS
            && name.split('/').all(is_part)
        {
            Ok(Self(name.into()))
        } else {
            Err(RecordNameError {
                name: name.chars().take(MAX_NAME_LEN).collect(),
            })
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it begins with all parts of `folder`, and has more.
    pub(crate) fn is_under(&self, folder: &Self) -> bool {
        let rest = self.0.strip_prefix(folder.as_str());
        rest.is_some_and(|rest| rest.starts_with('/'))
    }
}

impl From<&ResourcePath> for Place {
    fn from(path: &ResourcePath) -> Self {
        Self::Resource(path.clone())
    }
}

impl From<&RecordName> for Place {
    fn from(name: &RecordName) -> Self {
        Self::Record(name.clone())
    }
}

impl Place {
    /// Whether a listing of `under` has it.
    pub(crate) fn is_under(&self, under: Under<'_>) -> bool {
        match (self, under) {
            (Self::Resource(_), Under::Resources) => true,
            (Self::Record(_), Under::AllRecords) => true,
            (Self::Record(name), Under::Records(folder)) => name.is_under(folder),
            _ => false,
        }
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Different for any two places: what is sealed for one opens for no other.
impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource(path) => write!(formatter, "resource {path}"),
            Self::Record(name) => write!(formatter, "record {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_s_name_can_leave_no_folder() {
        for name in ["policy/attestation", "a", "revoked/image/0a.b/x-_"] {
            assert_eq!(RecordName::parse(name).unwrap().as_str(), name);
        }
        let long = "a".repeat(MAX_PART_LEN + 1);
        for name in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "..",
            "a/..",
            ".a",
            "a/.b",
            "a b",
            "a/b/c/d/e",
            "ü",
            "a.sealed/b",
            "a%2fb",
            &long,
        ] {
            assert!(RecordName::parse(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_folder_has_what_is_below_it_and_nothing_beside() {
        let name = |text| RecordName::parse(text).unwrap();
        assert!(name("a/b").is_under(&name("a")));
        assert!(name("a/b/c").is_under(&name("a")));
        assert!(!name("a").is_under(&name("a")));
        assert!(!name("ab/c").is_under(&name("a")));
    }

    #[test]
    fn a_resource_is_not_the_record_of_its_name() {
        let resource = Place::from(&ResourcePath::parse("a/b/c").unwrap());
        let record = Place::from(&RecordName::parse("a/b/c").unwrap());
        assert_ne!(resource.to_string(), record.to_string());
        assert!(!resource.is_under(Under::Records(&RecordName::parse("a").unwrap())));
        assert!(!record.is_under(Under::Resources));
        assert!(record.is_under(Under::AllRecords));
        assert!(!resource.is_under(Under::AllRecords));
    }
}
