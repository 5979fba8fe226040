//! A field of a secret as its owner wrote it, for who is given secrets that nobody sealed.

use super::{AnswerError, Class, Envelope, MAX_ANSWER_LEN, absent, check_len, malformed, parse};
use base64ct::{Base64, Encoding as _};
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// The custom metadata of a secret that says for how many seconds it may be kept.
pub const LEASE_METADATA: &str = "nitride-lease-secs";

/// How a field holds bytes: KV holds texts alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Standard, padded; spaces and ends of lines do not count.
    Base64,
    /// The text is the bytes.
    Text,
}

/// One version of a secret, as far as it is asked for. Wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct FieldRead {
    /// From 1.
    pub version: u64,
    /// The field's bytes.
    pub bytes: Zeroizing<Vec<u8>>,
    /// For how long it may be kept, where the secret's metadata says so.
    pub lease_secs: Option<u64>,
}

impl fmt::Debug for FieldRead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FieldRead")
            .field("version", &self.version)
            .field("len", &self.bytes.len())
            .field("lease_secs", &self.lease_secs)
            .finish()
    }
}

#[derive(Deserialize)]
struct Secret<'a> {
    #[serde(borrow)]
    data: Option<Fields<'a>>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
    #[serde(default)]
    custom_metadata: Option<BTreeMap<String, String>>,
}

/// In their order; names that stand twice stand here twice.
struct Fields<'a>(Vec<(String, Value<'a>)>);

enum Value<'a> {
    Text(Cow<'a, str>),
    Other,
}

/// Reads the field `name` of a secret; `None` where there never was such a secret, or its newest version
/// was deleted.
///
/// # Errors
/// [`AnswerError`]. `status` is one of [`Class::Done`] or [`Class::NotFound`].
pub fn field(
    status: u16,
    body: &[u8],
    name: &str,
    encoding: Encoding,
) -> Result<Option<FieldRead>, AnswerError> {
    check_len(body, MAX_ANSWER_LEN)?;
    let found = parse::<Envelope<Secret<'_>>>(body);
    if Class::of(status) == Class::NotFound {
        return match found {
            Ok(Envelope { data: Some(secret) }) if secret.data.is_none() => Ok(None),
            _ => absent(body).map(|()| None),
        };
    }
    let Some(secret) = found?.data else {
        return Err(malformed("there is no data"));
    };
    let version = match secret.metadata.version {
        0 => return Err(AnswerError::NoVersion),
        version => version,
    };
    let lease_secs = match &secret.metadata.custom_metadata {
        Some(stated) => stated.get(LEASE_METADATA).map(|text| lease(text)),
        None => None,
    };
    let fields = secret.data.map_or(Vec::new(), |Fields(fields)| fields);
    let mut named = fields.into_iter().filter(|(stated, _)| stated == name);
    let (Some((_, Value::Text(text))), None) = (named.next(), named.next()) else {
        return Err(AnswerError::NoField {
            name: name.to_owned(),
        });
    };
    let bytes = match encoding {
        Encoding::Text => Zeroizing::new(text.into_owned().into_bytes()),
        Encoding::Base64 => decoded(&text).ok_or_else(|| AnswerError::NotBase64 {
            name: name.to_owned(),
        })?,
    };
    Ok(Some(FieldRead {
        version,
        bytes,
        lease_secs: lease_secs.transpose()?,
    }))
}

fn decoded(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut packed = Zeroizing::new(String::with_capacity(text.len()));
    packed.extend(text.chars().filter(|c| !c.is_ascii_whitespace()));
    Base64::decode_vec(&packed).ok().map(Zeroizing::new)
}

/// A lease that nobody understands is no reason to keep a secret for ever.
fn lease(text: &str) -> Result<u64, AnswerError> {
    let secs = text.parse().ok().filter(|secs| *secs > 0);
    secs.ok_or(AnswerError::LeaseMalformed)
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a secret's fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Value::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Value::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENT: &[u8] = br#"{"errors":[]}"#;
    const DELETED: &[u8] = br#"{"request_id":"3799888b","data":{"data":null,"metadata":{"created_time":"2026-11-23T00:26:00Z","custom_metadata":null,"deletion_time":"2026-11-23T00:26:00Z","destroyed":false,"version":2}},"auth":null}"#;

    fn body(data: &str, metadata: &str) -> String {
        format!(
            r#"{{"request_id":"1","lease_id":"","renewable":false,"lease_duration":0,"data":{{"data":{data},"metadata":{metadata}}},"wrap_info":null,"warnings":null,"auth":null}}"#
        )
    }

    fn read(data: &str, metadata: &str, encoding: Encoding) -> Result<FieldRead, AnswerError> {
        let body = body(data, metadata);
        field(200, body.as_bytes(), "value", encoding).map(Option::unwrap)
    }

    const PLAIN: &str = r#"{"created_time":"2026-11-23T00:26:00Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":7}"#;

    #[test]
    fn a_field_is_read_among_others_as_text_or_as_base64() {
        let data = r#"{"user":"a","n":[1,{"x":null}],"value":"aHVu\ndGVy Mg==","t":true,"f":-1.5}"#;
        let read_as = |encoding| read(data, PLAIN, encoding).unwrap();
        assert_eq!(read_as(Encoding::Base64).bytes.as_slice(), b"hunter2");
        let text = read_as(Encoding::Text);
        assert_eq!(text.bytes.as_slice(), b"aHVu\ndGVy Mg==");
        assert_eq!((text.version, text.lease_secs), (7, None));
        assert!(!format!("{text:?}").contains("aHVu"));
    }

    #[test]
    fn the_metadata_says_for_how_long_a_secret_may_be_kept() {
        let with = |lease: &str| {
            let metadata =
                format!(r#"{{"custom_metadata":{{"nitride-lease-secs":{lease}}},"version":1}}"#);
            read(r#"{"value":"x"}"#, &metadata, Encoding::Text)
        };
        assert_eq!(with(r#""3600""#).unwrap().lease_secs, Some(3600));
        for malformed in [
            r#""0""#,
            r#""""#,
            r#""-1""#,
            r#""1h""#,
            r#""99999999999999999999""#,
        ] {
            assert_eq!(with(malformed), Err(AnswerError::LeaseMalformed));
        }
        assert!(matches!(with("3600"), Err(AnswerError::Malformed { .. })));
    }

    #[test]
    fn what_is_not_there_is_told_from_what_is_deleted_wrong_or_somebody_elses() {
        let none = |status, body| field(status, body, "value", Encoding::Text);
        assert_eq!(none(404, ABSENT), Ok(None));
        assert_eq!(none(404, DELETED), Ok(None));
        for page in [&b"<html>"[..], b"", b"{}", br#"{"errors":["no handler"]}"#] {
            assert!(none(404, page).is_err());
        }
        let name = || "value".to_owned();
        for data in [
            r#"{"other":"x"}"#,
            r#"{"value":5}"#,
            r#"{"value":null}"#,
            r#"{"value":{"value":"x"}}"#,
            r#"{"value":"x","value":"y"}"#,
            "null",
        ] {
            let found = read(data, PLAIN, Encoding::Text);
            assert_eq!(found, Err(AnswerError::NoField { name: name() }), "{data}");
        }
        let wrong = read(r#"{"value":"a.b"}"#, PLAIN, Encoding::Base64);
        assert_eq!(wrong, Err(AnswerError::NotBase64 { name: name() }));
        let wrong = read(r#"{"value":"x"}"#, r#"{"version":0}"#, Encoding::Text);
        assert_eq!(wrong, Err(AnswerError::NoVersion));
        let long = body(
            &format!(r#"{{"value":"{}"}}"#, "x".repeat(MAX_ANSWER_LEN)),
            PLAIN,
        );
        assert!(matches!(
            none(200, long.as_bytes()),
            Err(AnswerError::TooLong { .. })
        ));
    }

    #[test]
    fn no_error_repeats_what_was_read() {
        for body in [
            r#"{"data":{"data":{"value":"hunter2"},"metadata":{"version":"hunter2"}}}"#,
            r#"{"data":{"data":{"value":"hunter2"},"metadata":{"version":0}}}"#,
            r#"{"data":{"data":{"value":"hunter2.","metadata":{"version":1}}}"#,
            r#"{"data":{"data":{"value":"hunter2."},"metadata":{"version":1}}}"#,
        ] {
            let error = field(200, body.as_bytes(), "value", Encoding::Base64).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
