//! JSON as this protocol wants it: bounded, and no member named twice.
//!
//! RFC 8259, 4 leaves it to the reader which of two equal names counts, so two readers of one
//! signed or hashed text can see two values. serde's structs refuse a second *known* member; this
//! refuses every second one, at any depth, before anything is taken from the text. Where no member is
//! unknown ([`Closed`]) the two are the same.
//!
//! serde_json keeps names for itself: an object whose member is called
//! `$serde_json::private::RawValue` is read as the JSON that stands in that member's string, with
//! neither these checks nor the bound on depth. No message has such a name, so none may.

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::HashSet;
use std::fmt;
use thiserror::Error;

/// Why bytes are not the JSON that was expected.
#[derive(Debug, Error)]
pub enum JsonError {
    /// More bytes than a message of this kind may have.
    #[error("{what} has {len} bytes, more than {max}")]
    TooLong {
        /// The message.
        what: &'static str,
        /// Bytes found.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Not JSON, a member twice, or not the members that the message has.
    #[error("{what} is malformed")]
    Malformed {
        /// The message.
        what: &'static str,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// A member is well-formed and outside what it may be.
    #[error("{member} of {what} is out of range")]
    OutOfRange {
        /// The message.
        what: &'static str,
        /// The member.
        member: &'static str,
    },
}

/// How the names begin that serde_json reads as something else than a member.
const RESERVED: &str = "$serde_json::private::";

/// A message whose own `Deserialize` refuses an unknown member and a second one of a name, in each
/// object that it reads: structs with `deny_unknown_fields`, and no map but one whose visitor refuses
/// both. Of what it keeps verbatim (`RawValue`) only that it is JSON is known: names, depth and
/// numbers are for its reader to refuse.
pub(crate) trait Closed: DeserializeOwned {}

/// Reads a `T` out of at most `max` bytes; `what` names it in errors.
pub(crate) fn read<T: DeserializeOwned>(
    bytes: &[u8],
    max: usize,
    what: &'static str,
) -> Result<T, JsonError> {
    bounded(bytes, max, what)?;
    serde_json::from_slice::<MembersOnce>(bytes)
        .and_then(|MembersOnce| serde_json::from_slice(bytes))
        .map_err(|source| JsonError::Malformed { what, source })
}

/// The same in one pass, which tells where the message is long.
pub(crate) fn read_closed<T: Closed>(
    bytes: &[u8],
    max: usize,
    what: &'static str,
) -> Result<T, JsonError> {
    bounded(bytes, max, what)?;
    serde_json::from_slice(bytes).map_err(|source| JsonError::Malformed { what, source })
}

fn bounded(bytes: &[u8], max: usize, what: &'static str) -> Result<(), JsonError> {
    let len = bytes.len();
    if len > max {
        return Err(JsonError::TooLong { what, len, max });
    }
    Ok(())
}

/// Any JSON in which no object names a member twice. Depth is bounded by serde_json (128), memory
/// by the text: the names of the objects that are open.
struct MembersOnce;

impl<'de> Deserialize<'de> for MembersOnce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = MembersOnce;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<MembersOnce, E> {
        Ok(MembersOnce)
    }

    fn visit_i64<E>(self, _: i64) -> Result<MembersOnce, E> {
        Ok(MembersOnce)
    }

    fn visit_u64<E>(self, _: u64) -> Result<MembersOnce, E> {
        Ok(MembersOnce)
    }

    fn visit_f64<E>(self, _: f64) -> Result<MembersOnce, E> {
        Ok(MembersOnce)
    }

    fn visit_str<E>(self, _: &str) -> Result<MembersOnce, E> {
        Ok(MembersOnce)
    }

    fn visit_unit<E>(self) -> Result<MembersOnce, E> {
        Ok(MembersOnce)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<MembersOnce, A::Error> {
        while entries.next_element::<MembersOnce>()?.is_some() {}
        Ok(MembersOnce)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<MembersOnce, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if name.starts_with(RESERVED) {
                return Err(serde::de::Error::custom("an object has a reserved name"));
            }
            members.next_value::<MembersOnce>()?;
            if !names.insert(name) {
                return Err(serde::de::Error::custom("an object names a member twice"));
            }
        }
        Ok(MembersOnce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn reads(text: &str) -> bool {
        read::<Value>(text.as_bytes(), 4096, "test").is_ok()
    }

    #[test]
    fn a_member_named_twice_is_refused_at_any_depth() {
        assert!(reads(r#"{"a":{"a":1},"b":[{"a":2}]}"#));
        assert!(!reads(r#"{"a":1,"a":1}"#));
        assert!(!reads(r#"[[{"b":{"a":1,"a":2}}]]"#));
    }

    #[test]
    fn an_escaped_spelling_is_the_same_member() {
        assert!(!reads(r#"{"a":1,"\u0061":2}"#));
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert!(!reads(&deep));
        assert!(matches!(
            read::<Value>(&[b' '; 9], 8, "test"),
            Err(JsonError::TooLong { len: 9, max: 8, .. })
        ));
    }

    #[test]
    fn json_hidden_in_a_string_is_not_read_as_a_value() {
        let hide = |json: &str| {
            format!(
                r#"{{"$serde_json::private::RawValue":{}}}"#,
                Value::from(json)
            )
        };
        let twice = r#"{"a":1,"a":2}"#;
        let deep = (0..3).fold("1".to_owned(), |inner, _| {
            "[".repeat(100) + &hide(&inner) + &"]".repeat(100)
        });
        for text in [hide("1"), hide(twice), format!("[{}]", hide(twice)), deep] {
            assert!(!reads(&text), "{text}");
        }
        assert!(reads(r#"{"$serde_json":1}"#));
    }

    #[test]
    fn bytes_after_the_value_are_refused() {
        assert!(!reads("{} {}"));
        assert!(!reads(""));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_a_named_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = read::<Value>(&bytes, 64, "test");
        }
    }
}
