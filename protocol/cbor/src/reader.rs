use crate::DecodeError;
use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};
use std::fmt;

/// Reads items one after the other out of a borrowed buffer.
///
/// Every method reads exactly one item of the named type in its shortest, definite form, or
/// returns a [`DecodeError`] that names the item's offset; after an error the reader is spent.
#[derive(Clone)]
pub struct Reader<'b> {
    decoder: Decoder<'b>,
}

impl<'b> Reader<'b> {
    /// A reader at the start of `input`.
    pub fn new(input: &'b [u8]) -> Self {
        Self {
            decoder: Decoder::new(input),
        }
    }

    /// Offset of the next item in bytes.
    pub fn position(&self) -> usize {
        self.decoder.position()
    }

    /// An unsigned integer.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        let at = self.head("an unsigned integer")?;
        self.decoder
            .u64()
            .map_err(|error| name_fault(&error, at, "an unsigned integer"))
    }

    /// An unsigned integer of at most 32 bits; `field` names it in the error.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let at = self.position();
        u32::try_from(self.u64()?).map_err(|_| DecodeError::OutOfRange { at, field })
    }

    /// An unsigned integer of at most 16 bits; `field` names it in the error.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        let at = self.position();
        u16::try_from(self.u64()?).map_err(|_| DecodeError::OutOfRange { at, field })
    }

    /// A signed integer.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        let at = self.head("an integer")?;
        self.decoder
            .i64()
            .map_err(|error| name_fault(&error, at, "an integer"))
    }

    /// `true` or `false`.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        let at = self.head("a boolean")?;
        self.decoder
            .bool()
            .map_err(|error| name_fault(&error, at, "a boolean"))
    }

    /// A byte string, borrowed from the input.
    pub fn bytes(&mut self) -> Result<&'b [u8], DecodeError> {
        let at = self.head("a byte string")?;
        self.decoder
            .bytes()
            .map_err(|error| name_fault(&error, at, "a byte string"))
    }

    /// A byte string of exactly `N` bytes; `field` names it in the error.
    pub fn byte_array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<&'b [u8; N], DecodeError> {
        let at = self.position();
        self.bytes()?
            .try_into()
            .map_err(|_| DecodeError::OutOfRange { at, field })
    }

    /// A text string, borrowed from the input.
    pub fn text(&mut self) -> Result<&'b str, DecodeError> {
        let at = self.head("a text string")?;
        self.decoder
            .str()
            .map_err(|error| name_fault(&error, at, "a text string"))
    }

    /// The head of an array of any length; its entries follow.
    ///
    /// The length is the sender's word: check it against a limit before reserving anything for it.
    pub fn array(&mut self) -> Result<u64, DecodeError> {
        let at = self.head("an array")?;
        let len = self
            .decoder
            .array()
            .map_err(|error| name_fault(&error, at, "an array"))?;
        len.ok_or(DecodeError::Indefinite { at })
    }

    /// The head of an array of exactly `expected` entries.
    pub fn array_of(&mut self, expected: u64) -> Result<(), DecodeError> {
        let at = self.position();
        match self.array()? {
            found if found == expected => Ok(()),
            found => Err(DecodeError::WrongLength {
                at,
                expected,
                found,
            }),
        }
    }

    /// The head of an array of at most `max` entries; `field` names it in the error.
    pub fn array_up_to(&mut self, max: usize, field: &'static str) -> Result<usize, DecodeError> {
        let at = self.position();
        usize::try_from(self.array()?)
            .ok()
            .filter(|len| *len <= max)
            .ok_or(DecodeError::OutOfRange { at, field })
    }

    /// The head of a map of exactly `expected` pairs.
    pub fn map_of(&mut self, expected: u64) -> Result<(), DecodeError> {
        let at = self.head("a map")?;
        let len = self
            .decoder
            .map()
            .map_err(|error| name_fault(&error, at, "a map"))?;
        match len.ok_or(DecodeError::Indefinite { at })? {
            found if found == expected => Ok(()),
            found => Err(DecodeError::WrongLength {
                at,
                expected,
                found,
            }),
        }
    }

    /// The tag `expected`; the tagged item follows.
    pub fn tag(&mut self, expected: u64, field: &'static str) -> Result<(), DecodeError> {
        let at = self.head("a tag")?;
        let tag = self
            .decoder
            .tag()
            .map_err(|error| name_fault(&error, at, "a tag"))?;
        if tag.as_u64() == expected {
            Ok(())
        } else {
            Err(DecodeError::OutOfRange { at, field })
        }
    }

    /// `null`, or what `read` reads.
    pub fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.decoder.datatype() {
            Ok(Type::Null) => {
                let at = self.position();
                self.decoder
                    .null()
                    .map_err(|error| name_fault(&error, at, "null"))?;
                Ok(None)
            }
            // Anything else, the end of the input included, is for `read` to name.
            _ => read(self).map(Some),
        }
    }

    /// Ends the message: anything after it is an error.
    pub fn finish(self) -> Result<(), DecodeError> {
        let at = self.decoder.position();
        if at == self.decoder.input().len() {
            Ok(())
        } else {
            Err(DecodeError::TrailingBytes { at })
        }
    }

    /// Refuses a head that is not in its shortest, definite form, and returns its offset.
    ///
    /// RFC 8949, 3: the low five bits of the initial byte are the argument itself below 24; 24 to
    /// 27 announce 1, 2, 4 or 8 bytes of it; 28 to 30 are reserved and 31 is indefinite.
    fn head(&self, expected: &'static str) -> Result<usize, DecodeError> {
        let at = self.decoder.position();
        let rest = self.decoder.input().get(at..).unwrap_or_default();
        let (&initial, follow) = rest.split_first().ok_or(DecodeError::Truncated { at })?;
        let (len, least) = match initial & 0x1f {
            0..=23 => return Ok(at),
            24 => (1, 24),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            _ => return Err(DecodeError::Indefinite { at }),
        };
        // Major type 7 holds floats and simple values under the same low bits; no message has any
        // of them past `null`, and the argument of a float is not a length.
        if initial >> 5 == 7 {
            return Err(DecodeError::WrongType { at, expected });
        }
        let argument = follow
            .get(..len)
            .ok_or(DecodeError::Truncated { at })?
            .iter()
            .fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        if argument < least {
            return Err(DecodeError::NotShortest { at });
        }
        Ok(at)
    }
}

/// Where it stands, and nothing of the input: that may be a key.
impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("position", &self.position())
            .field("len", &self.decoder.input().len())
            .finish()
    }
}

fn name_fault(error: &Error, at: usize, expected: &'static str) -> DecodeError {
    if error.is_end_of_input() {
        DecodeError::Truncated { at }
    } else if error.is_type_mismatch() {
        DecodeError::WrongType { at, expected }
    } else if expected == "a text string" {
        DecodeError::NotUtf8 { at }
    } else {
        // What is left is an integer that does not fit the type that was asked for.
        DecodeError::OutOfRange {
            at,
            field: expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_longer_integer_than_needed_is_refused() {
        for longer in [
            &[0x18, 23][..],
            &[0x19, 0, 255],
            &[0x1a, 0, 0, 255, 255],
            &[0x1b, 0, 0, 0, 0, 255, 255, 255, 255],
        ] {
            assert_eq!(
                Reader::new(longer).u64(),
                Err(DecodeError::NotShortest { at: 0 })
            );
        }
        assert_eq!(Reader::new(&[0x18, 24]).u64(), Ok(24));
    }

    #[test]
    fn a_longer_length_than_needed_is_refused() {
        assert_eq!(
            Reader::new(&[0x58, 1, 7]).bytes(),
            Err(DecodeError::NotShortest { at: 0 })
        );
        assert_eq!(
            Reader::new(&[0x98, 1, 7]).array(),
            Err(DecodeError::NotShortest { at: 0 })
        );
    }

    #[test]
    fn indefinite_lengths_are_refused() {
        assert_eq!(
            Reader::new(&[0x9f, 0xff]).array(),
            Err(DecodeError::Indefinite { at: 0 })
        );
        assert_eq!(
            Reader::new(&[0x5f, 0x41, 1, 0xff]).bytes(),
            Err(DecodeError::Indefinite { at: 0 })
        );
    }

    #[test]
    fn bytes_after_the_message_are_refused() {
        let mut reader = Reader::new(&[0x01, 0x02]);
        assert_eq!(reader.u64(), Ok(1));
        assert_eq!(reader.finish(), Err(DecodeError::TrailingBytes { at: 1 }));
    }

    #[test]
    fn a_length_beyond_the_input_is_truncated_not_allocated() {
        assert_eq!(
            Reader::new(&[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).bytes(),
            Err(DecodeError::Truncated { at: 0 })
        );
    }

    #[test]
    fn text_that_is_not_utf8_is_named() {
        assert_eq!(
            Reader::new(&[0x61, 0xff]).text(),
            Err(DecodeError::NotUtf8 { at: 0 })
        );
    }

    #[test]
    fn null_is_absent_and_anything_else_is_read() {
        assert_eq!(Reader::new(&[0xf6]).optional(Reader::u64), Ok(None));
        assert_eq!(Reader::new(&[0x07]).optional(Reader::u64), Ok(Some(7)));
        assert_eq!(
            Reader::new(&[]).optional(Reader::u64),
            Err(DecodeError::Truncated { at: 0 })
        );
    }

    #[test]
    fn debug_shows_no_byte_of_the_input() {
        let mut reader = Reader::new(&[0x43, 171, 172, 173]);
        assert_eq!(format!("{reader:?}"), "Reader { position: 0, len: 4 }");
        reader.bytes().unwrap();
        assert_eq!(format!("{reader:?}"), "Reader { position: 4, len: 4 }");
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_a_named_error(input in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Reader::new(&input).u64();
            let _ = Reader::new(&input).i64();
            let _ = Reader::new(&input).bool();
            let _ = Reader::new(&input).bytes();
            let _ = Reader::new(&input).text();
            let _ = Reader::new(&input).array();
            let _ = Reader::new(&input).map_of(1);
            let _ = Reader::new(&input).tag(18, "tag");
            let _ = Reader::new(&input).optional(Reader::text);
        }

        #[test]
        fn what_reads_is_the_only_spelling(input in proptest::collection::vec(any::<u8>(), 1..12)) {
            let mut reader = Reader::new(&input);
            if let Ok(value) = reader.u64() {
                let len = reader.position();
                let spelled = crate::encode_to_vec(16, |writer| writer.u64(value)).unwrap();
                prop_assert_eq!(&spelled[..], &input[..len]);
            }
        }
    }
}
