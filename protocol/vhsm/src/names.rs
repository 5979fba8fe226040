//! Names of keys.

use crate::limits::MAX_NAME_LEN;
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// A key's name, checked and borrowed: segments of letters, digits, `_`, `.` and `-` between
/// slashes, none empty, none starting with `.` or `-`; 1 to 255 bytes.
///
/// No segment can be `.` or `..`, so a name means the same wherever paths are made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName<'a>(&'a str);

/// Why a text is not a key's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// No characters.
    #[error("key name is empty")]
    Empty,
    /// More than [`MAX_NAME_LEN`] bytes.
    #[error("key name has {len} bytes, more than {MAX_NAME_LEN}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A slash at the beginning or the end, or two together.
    #[error("key name has an empty segment at byte {at}")]
    EmptySegment {
        /// Offset of the segment.
        at: usize,
    },
    /// A segment that starts with `.` or `-`.
    #[error("key name has a segment at byte {at} that does not start with a letter, digit or '_'")]
    BadStart {
        /// Offset of the segment.
        at: usize,
    },
    /// A character that names do not have.
    #[error(
        "key name has a character at byte {at} that is not a letter, digit, '_', '.', '-' or '/'"
    )]
    BadCharacter {
        /// Offset of the character.
        at: usize,
    },
}

impl<'a> KeyName<'a> {
    /// Checks a text.
    pub fn parse(text: &'a str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_NAME_LEN {
            return Err(NameError::TooLong { len: text.len() });
        }
        let mut at_start = true;
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                b'/' if at_start => return Err(NameError::EmptySegment { at }),
                b'/' => at_start = true,
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => at_start = false,
                b'.' | b'-' if at_start => return Err(NameError::BadStart { at }),
                b'.' | b'-' => {}
                _ => return Err(NameError::BadCharacter { at }),
            }
        }
        if at_start {
            return Err(NameError::EmptySegment { at: text.len() });
        }
        Ok(Self(text))
    }

    /// The name as text.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The name with memory of its own.
    pub fn to_owned(self) -> KeyNameBuf {
        KeyNameBuf(self.0.into())
    }

    /// Reads a name; `field` names it in the error.
    pub fn read(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, DecodeError> {
        let at = reader.position();
        Self::parse(reader.text()?).map_err(|_| DecodeError::OutOfRange { at, field })
    }

    /// Writes the name.
    pub fn write(self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.text(self.0)
    }
}

impl fmt::Display for KeyName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A [`KeyName`] with memory of its own.
///
/// It hashes and compares as its text, so that maps keyed by it can be asked by `&str`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyNameBuf(Box<str>);

impl KeyNameBuf {
    /// The name, borrowed.
    pub fn as_name(&self) -> KeyName<'_> {
        KeyName(&self.0)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyNameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyNameBuf {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        KeyName::parse(text).map(KeyName::to_owned)
    }
}

impl From<KeyName<'_>> for KeyNameBuf {
    fn from(name: KeyName<'_>) -> Self {
        name.to_owned()
    }
}

impl Borrow<str> for KeyNameBuf {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_paths_of_plain_segments() {
        for good in ["a", "disk/root", "app/tls/2024.key", "A_b-c.d", "_x", "0"] {
            assert_eq!(KeyName::parse(good).map(KeyName::as_str), Ok(good));
        }
    }

    #[test]
    fn each_fault_of_a_name_is_named() {
        assert_eq!(KeyName::parse(""), Err(NameError::Empty));
        assert_eq!(
            KeyName::parse(&"a".repeat(256)),
            Err(NameError::TooLong { len: 256 })
        );
        assert!(KeyName::parse(&"a".repeat(255)).is_ok());
        for (bad, at) in [("/a", 0), ("a//b", 2), ("a/", 2), ("/", 0)] {
            assert_eq!(KeyName::parse(bad), Err(NameError::EmptySegment { at }));
        }
        for (bad, at) in [(".", 0), ("..", 0), ("a/../b", 2), ("a/-b", 2)] {
            assert_eq!(KeyName::parse(bad), Err(NameError::BadStart { at }));
        }
        for (bad, at) in [
            ("a b", 1),
            ("a\0", 1),
            ("a/\u{e4}", 2),
            ("a\n", 1),
            ("a*", 1),
        ] {
            assert_eq!(KeyName::parse(bad), Err(NameError::BadCharacter { at }));
        }
    }

    #[test]
    fn an_owned_name_is_found_by_its_text() {
        let mut names = std::collections::HashSet::new();
        names.insert("a/b".parse::<KeyNameBuf>().unwrap());
        assert!(names.contains("a/b"));
        assert!(!names.contains("a"));
    }
}
