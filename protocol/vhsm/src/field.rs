//! Fields that several messages have: bounded texts and bytes, and how secrets show in `Debug`.

use crate::limits::{
    MAX_INLINE_LEN, MAX_NAME_LEN, MAX_REASON_LEN, MAX_REASONS_LEN, MAX_WRAPPABLE_BY_LEN,
    ROUND_ID_LEN,
};
use crate::{EncryptionScheme, KeyName, OperationSet, SignScheme};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use std::fmt;

/// Writes the members that a question may have: what its answer is to have beside what every answer
/// of its kind has.
pub(crate) fn write_also<const N: usize>(
    writer: &mut Writer<'_>,
    asked: [(bool, &str); N],
) -> Result<(), EncodeError> {
    let words = || asked.iter().filter(|(is_asked, _)| *is_asked);
    writer.array(words().count())?;
    words().try_for_each(|(_, word)| writer.text(word))
}

/// Which of these members a question has; they stand in this order.
pub(crate) fn also<const N: usize>(
    reader: &mut Reader<'_>,
    words: [&str; N],
    field: &'static str,
) -> Result<[bool; N], DecodeError> {
    let most = u64::try_from(N).unwrap_or(u64::MAX);
    let len = reader.clone().array()?.min(most);
    reader.array_of(len)?;
    let mut asked = [false; N];
    let mut places = asked.iter_mut().zip(words);
    for _ in 0..len {
        let at = reader.position();
        let word = reader.text()?;
        match places.find(|(_, known)| *known == word) {
            Some((place, _)) => *place = true,
            None => return Err(DecodeError::OutOfRange { at, field }),
        }
    }
    Ok(asked)
}

/// Begins what has `len` entries, and one more where it is marked.
pub(crate) fn write_marked_array(
    writer: &mut Writer<'_>,
    len: usize,
    is_marked: bool,
) -> Result<(), EncodeError> {
    writer.array(len + usize::from(is_marked))
}

/// Its last entry.
pub(crate) fn write_mark(writer: &mut Writer<'_>, is_marked: bool) -> Result<(), EncodeError> {
    match is_marked {
        true => writer.bool(true),
        false => Ok(()),
    }
}

/// Whether what begins here has the entry of a mark after `len` others.
pub(crate) fn marked_array(reader: &mut Reader<'_>, len: u64) -> Result<bool, DecodeError> {
    let is_marked = reader.clone().array()? == len + 1;
    reader.array_of(len + u64::from(is_marked))?;
    Ok(is_marked)
}

/// That entry, which is `true` or not there: a mark has one spelling.
pub(crate) fn mark(
    reader: &mut Reader<'_>,
    is_marked: bool,
    field: &'static str,
) -> Result<bool, DecodeError> {
    let at = reader.position();
    if is_marked && !reader.bool()? {
        return Err(DecodeError::OutOfRange { at, field });
    }
    Ok(is_marked)
}

/// At most `max` bytes, borrowed.
pub(crate) fn bytes<'a>(
    reader: &mut Reader<'a>,
    max: usize,
    field: &'static str,
) -> Result<&'a [u8], DecodeError> {
    let at = reader.position();
    let bytes = reader.bytes()?;
    if bytes.len() > max {
        return Err(DecodeError::OutOfRange { at, field });
    }
    Ok(bytes)
}

/// Data to work on, at most [`MAX_INLINE_LEN`] bytes.
pub(crate) fn data<'a>(
    reader: &mut Reader<'a>,
    field: &'static str,
) -> Result<&'a [u8], DecodeError> {
    bytes(reader, MAX_INLINE_LEN, field)
}

/// At most `max` bytes of text, whatever its characters.
pub(crate) fn text<'a>(
    reader: &mut Reader<'a>,
    max: usize,
    field: &'static str,
) -> Result<&'a str, DecodeError> {
    let at = reader.position();
    let text = reader.text()?;
    if text.len() > max {
        return Err(DecodeError::OutOfRange { at, field });
    }
    Ok(text)
}

/// At most `max` bytes of text without control characters.
///
/// These are the texts that reach logs and terminals: a peer must not be able to forge a line there.
pub(crate) fn line<'a>(
    reader: &mut Reader<'a>,
    max: usize,
    field: &'static str,
) -> Result<&'a str, DecodeError> {
    let at = reader.position();
    let text = text(reader, max, field)?;
    if text.chars().any(char::is_control) {
        return Err(DecodeError::OutOfRange { at, field });
    }
    Ok(text)
}

/// A [`line`] of 1 to `max` bytes: a name cannot be empty.
pub(crate) fn label<'a>(
    reader: &mut Reader<'a>,
    max: usize,
    field: &'static str,
) -> Result<&'a str, DecodeError> {
    let at = reader.position();
    let label = line(reader, max, field)?;
    if label.is_empty() {
        return Err(DecodeError::OutOfRange { at, field });
    }
    Ok(label)
}

/// A [`label`] that names a gate or a service.
pub(crate) fn name<'a>(
    reader: &mut Reader<'a>,
    field: &'static str,
) -> Result<&'a str, DecodeError> {
    label(reader, MAX_NAME_LEN, field)
}

/// A round's id.
pub(crate) fn round(reader: &mut Reader<'_>) -> Result<[u8; ROUND_ID_LEN], DecodeError> {
    reader.byte_array("round").copied()
}

/// A version's number, or `null`.
pub(crate) fn version(reader: &mut Reader<'_>) -> Result<Option<u32>, DecodeError> {
    reader.optional(|reader| reader.u32("version"))
}

/// Writes an optional version's number.
pub(crate) fn write_version(
    writer: &mut Writer<'_>,
    version: Option<u32>,
) -> Result<(), EncodeError> {
    writer.optional(version, |writer, version| writer.u64(version.into()))
}

/// A signature scheme, or `null`.
pub(crate) fn scheme(reader: &mut Reader<'_>) -> Result<Option<SignScheme>, DecodeError> {
    reader.optional(SignScheme::read)
}

/// Writes an optional signature scheme.
pub(crate) fn write_scheme(
    writer: &mut Writer<'_>,
    scheme: Option<SignScheme>,
) -> Result<(), EncodeError> {
    writer.optional(scheme, |writer, scheme| writer.text(scheme.as_str()))
}

/// An encryption scheme, or `null`.
pub(crate) fn encryption_scheme(
    reader: &mut Reader<'_>,
) -> Result<Option<EncryptionScheme>, DecodeError> {
    reader.optional(EncryptionScheme::read)
}

/// Writes an optional encryption scheme.
pub(crate) fn write_encryption_scheme(
    writer: &mut Writer<'_>,
    scheme: Option<EncryptionScheme>,
) -> Result<(), EncodeError> {
    writer.optional(scheme, |writer, scheme| writer.text(scheme.as_str()))
}

/// Writes an optional set of operations.
pub(crate) fn write_operations(
    writer: &mut Writer<'_>,
    operations: Option<OperationSet>,
) -> Result<(), EncodeError> {
    writer.optional(operations, |writer, operations| operations.write(writer))
}

/// The names of wrapping keys.
pub(crate) fn key_names<'a>(
    reader: &mut Reader<'a>,
    field: &'static str,
) -> Result<Vec<KeyName<'a>>, DecodeError> {
    list(reader, MAX_WRAPPABLE_BY_LEN, field, |reader| {
        KeyName::read(reader, field)
    })
}

/// Writes the names of keys.
pub(crate) fn write_key_names(
    writer: &mut Writer<'_>,
    names: &[KeyName<'_>],
) -> Result<(), EncodeError> {
    write_list(writer, names, |writer, name| name.write(writer))
}

/// Reasons for people.
pub(crate) fn reasons<'a>(
    reader: &mut Reader<'a>,
    field: &'static str,
) -> Result<Vec<&'a str>, DecodeError> {
    list(reader, MAX_REASONS_LEN, field, |reader| {
        line(reader, MAX_REASON_LEN, field)
    })
}

/// A key's name in the field `key`.
pub(crate) fn key<'a>(reader: &mut Reader<'a>) -> Result<KeyName<'a>, DecodeError> {
    KeyName::read(reader, "key")
}

/// A key and its version, or `null` for the version: what many params begin with.
pub(crate) fn key_and_version<'a>(
    reader: &mut Reader<'a>,
) -> Result<(KeyName<'a>, Option<u32>), DecodeError> {
    Ok((key(reader)?, version(reader)?))
}

/// Writes a key and its version.
pub(crate) fn write_key_and_version(
    writer: &mut Writer<'_>,
    key: KeyName<'_>,
    version: Option<u32>,
) -> Result<(), EncodeError> {
    key.write(writer)?;
    write_version(writer, version)
}

/// An array of at most `max` entries, each read by `read`.
///
/// The announced count is checked first, so what is reserved is bounded by `max`, not by the peer.
pub(crate) fn list<'a, T>(
    reader: &mut Reader<'a>,
    max: usize,
    field: &'static str,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let len = reader.array_up_to(max, field)?;
    let mut entries = Vec::with_capacity(len);
    for _ in 0..len {
        entries.push(read(reader)?);
    }
    Ok(entries)
}

/// Writes an array, each entry by `write`.
pub(crate) fn write_list<T>(
    writer: &mut Writer<'_>,
    entries: &[T],
    mut write: impl FnMut(&mut Writer<'_>, &T) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    writer.array(entries.len())?;
    entries.iter().try_for_each(|entry| write(writer, entry))
}

/// Stands for bytes in `Debug`: their number, never their value.
pub(crate) struct LenOf<'a>(pub(crate) &'a [u8]);

impl fmt::Debug for LenOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}
