//! The newest entry of a vault's audit, as a round carries it to a service that witnesses it: a number and
//! a digest, and nothing of what the entries say.
//!
//! ```text
//!   "17:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
//! ```
//!
//! Evidence binds it ([`crate::report_data::report_data_with_head`]), so that the courier, who carries it, can
//! leave it out and cannot make one. It has one spelling: what is hashed is the text.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Bytes of a digest.
pub const DIGEST_LEN: usize = 32;

/// How far a chain has come: its newest entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// The entry's number; 0 is none yet.
    pub sequence: u64,
    /// Its digest, which that of every entry before it is in; zero is none yet.
    pub digest: [u8; DIGEST_LEN],
}

/// A text that is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an audit's head is a number, a colon and 64 digits of lower-case hexadecimal")]
pub struct AuditHeadError;

impl FromStr for AuditHead {
    type Err = AuditHeadError;

    fn from_str(text: &str) -> Result<Self, AuditHeadError> {
        let (sequence, digits) = text.split_once(':').ok_or(AuditHeadError)?;
        let sequence = sequence.parse().map_err(|_| AuditHeadError)?;
        let mut digest = [0; DIGEST_LEN];
        if digits.len() != 2 * DIGEST_LEN {
            return Err(AuditHeadError);
        }
        for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| AuditHeadError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| AuditHeadError)?;
        }
        let head = Self { sequence, digest };
        // Signs, leading zeros and capitals are other spellings of it, and other bytes to hash.
        match head.to_string() == text {
            true => Ok(head),
            false => Err(AuditHeadError),
        }
    }
}

impl fmt::Display for AuditHead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:", self.sequence)?;
        let mut digits = self.digest.iter();
        digits.try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl Serialize for AuditHead {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AuditHead {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_head_has_one_spelling() {
        let digits = "0a".repeat(DIGEST_LEN);
        let head: AuditHead = format!("17:{digits}").parse().unwrap();
        assert_eq!((head.sequence, head.digest), (17, [10; DIGEST_LEN]));
        for other in [
            format!("017:{digits}"),
            format!("+17:{digits}"),
            format!("17:{}", digits.to_uppercase()),
            format!("17: {digits}"),
            format!("17:{digits}0"),
            format!("17:+a{}", "0a".repeat(DIGEST_LEN - 1)),
            format!("17{digits}"),
            format!("-1:{digits}"),
            format!("18446744073709551616:{digits}"),
            String::new(),
        ] {
            assert_eq!(other.parse::<AuditHead>(), Err(AuditHeadError), "{other}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(sequence: u64, digest: [u8; DIGEST_LEN]) {
            let head = AuditHead { sequence, digest };
            prop_assert_eq!(head.to_string().parse(), Ok(head));
        }

        #[test]
        fn any_text_is_a_head_in_its_one_spelling_or_none(text in "[0-9]{0,3}:?[0-9a-fA-F]{60,66}|\\PC{0,80}") {
            if let Ok(head) = text.parse::<AuditHead>() {
                prop_assert_eq!(head.to_string(), text);
            }
        }
    }
}
