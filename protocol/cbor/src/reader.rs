use crate::DecodeError;
use std::fmt;

// The major types of RFC 8949, 3.1.
const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;

// Simple values (RFC 8949, 3.3), and `null` as the byte that it is.
const FALSE: u64 = 20;
const TRUE: u64 = 21;
const NULL: u8 = 0xf6;

/// Reads items one after the other out of a borrowed buffer.
///
/// Every method reads exactly one item of the named type in its shortest, definite form, or
/// returns a [`DecodeError`] that names the item's offset; after an error the reader is spent.
#[derive(Clone)]
pub struct Reader<'b> {
    input: &'b [u8],
    at: usize,
}

/// What an item begins with, in its shortest, definite form.
struct Head {
    major: u8,
    argument: u64,
    /// How many bytes it takes.
    len: usize,
}

impl<'b> Reader<'b> {
    /// A reader at the start of `input`.
    pub fn new(input: &'b [u8]) -> Self {
        Self { input, at: 0 }
    }

    /// Offset of the next item in bytes.
    pub fn position(&self) -> usize {
        self.at
    }

    /// An unsigned integer.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.argument(UNSIGNED, "an unsigned integer")
    }

    /// An unsigned integer of at most 32 bits; `field` names it in the error.
    #[inline]
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let at = self.at;
        u32::try_from(self.u64()?).map_err(|_| DecodeError::OutOfRange { at, field })
    }

    /// An unsigned integer of at most 16 bits; `field` names it in the error.
    #[inline]
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        let at = self.at;
        u16::try_from(self.u64()?).map_err(|_| DecodeError::OutOfRange { at, field })
    }

    /// A signed integer.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        const EXPECTED: &str = "an integer";
        let at = self.at;
        let head = self.head(EXPECTED)?;
        let value = match head.major {
            UNSIGNED => i64::try_from(head.argument),
            // -1 - n, which fits wherever n does.
            NEGATIVE => i64::try_from(head.argument).map(|n| -1 - n),
            _ => {
                let expected = EXPECTED;
                return Err(DecodeError::WrongType { at, expected });
            }
        };
        self.at += head.len;
        let field = EXPECTED;
        value.map_err(|_| DecodeError::OutOfRange { at, field })
    }

    /// `true` or `false`.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        let expected = "a boolean";
        let at = self.at;
        match self.argument(SIMPLE, expected)? {
            FALSE => Ok(false),
            TRUE => Ok(true),
            _ => Err(DecodeError::WrongType { at, expected }),
        }
    }

    /// A byte string, borrowed from the input.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'b [u8], DecodeError> {
        self.string(BYTES, "a byte string")
    }

    /// A byte string of exactly `N` bytes; `field` names it in the error.
    pub fn byte_array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<&'b [u8; N], DecodeError> {
        let at = self.at;
        self.bytes()?
            .try_into()
            .map_err(|_| DecodeError::OutOfRange { at, field })
    }

    /// A text string, borrowed from the input.
    #[inline]
    pub fn text(&mut self) -> Result<&'b str, DecodeError> {
        let at = self.at;
        let bytes = self.string(TEXT, "a text string")?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8 { at })
    }

    /// The head of an array of any length; its entries follow.
    ///
    /// The length is the sender's word: check it against a limit before reserving anything for it.
    #[inline]
    pub fn array(&mut self) -> Result<u64, DecodeError> {
        self.argument(ARRAY, "an array")
    }

    /// The head of an array of exactly `expected` entries.
    #[inline]
    pub fn array_of(&mut self, expected: u64) -> Result<(), DecodeError> {
        let at = self.at;
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
        let at = self.at;
        usize::try_from(self.array()?)
            .ok()
            .filter(|len| *len <= max)
            .ok_or(DecodeError::OutOfRange { at, field })
    }

    /// The head of a map of exactly `expected` pairs.
    pub fn map_of(&mut self, expected: u64) -> Result<(), DecodeError> {
        let at = self.at;
        match self.argument(MAP, "a map")? {
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
        let at = self.at;
        if self.argument(TAG, "a tag")? == expected {
            Ok(())
        } else {
            Err(DecodeError::OutOfRange { at, field })
        }
    }

    /// `null`, or what `read` reads.
    #[inline]
    pub fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.input.get(self.at) == Some(&NULL) {
            self.at += 1;
            return Ok(None);
        }
        // Anything else, the end of the input included, is for `read` to name.
        read(self).map(Some)
    }

    /// Ends the message: anything after it is an error.
    pub fn finish(self) -> Result<(), DecodeError> {
        let at = self.at;
        if at == self.input.len() {
            Ok(())
        } else {
            Err(DecodeError::TrailingBytes { at })
        }
    }

    /// What is between the head of a string, of major type `major`, and the next item.
    #[inline]
    fn string(&mut self, major: u8, expected: &'static str) -> Result<&'b [u8], DecodeError> {
        let at = self.at;
        // The length is the sender's word.
        let len = self.argument(major, expected)?;
        let rest = self.input.get(self.at..).unwrap_or_default();
        let bytes = usize::try_from(len).ok().and_then(|len| rest.get(..len));
        let bytes = bytes.ok_or(DecodeError::Truncated { at })?;
        self.at += bytes.len();
        Ok(bytes)
    }

    /// Takes a head of major type `major`, and returns its argument.
    #[inline]
    fn argument(&mut self, major: u8, expected: &'static str) -> Result<u64, DecodeError> {
        let at = self.at;
        let head = self.head(expected)?;
        if head.major != major {
            return Err(DecodeError::WrongType { at, expected });
        }
        self.at += head.len;
        Ok(head.argument)
    }

    /// Refuses a head that is not in its shortest, definite form.
    ///
    /// RFC 8949, 3: the low five bits of the initial byte are the argument itself below 24; 24 to
    /// 27 announce 1, 2, 4 or 8 bytes of it; 28 to 30 are reserved and 31 is indefinite.
    #[inline]
    fn head(&self, expected: &'static str) -> Result<Head, DecodeError> {
        let at = self.at;
        let rest = self.input.get(at..).unwrap_or_default();
        let (&initial, follow) = rest.split_first().ok_or(DecodeError::Truncated { at })?;
        let (major, low) = (initial >> 5, initial & 0x1f);
        if low < 24 {
            return Ok(Head {
                major,
                argument: low.into(),
                len: 1,
            });
        }
        let (argument, len, least) = match low {
            24 => (follow.first().map(|byte| (*byte).into()), 2, 24),
            25 => (
                follow
                    .first_chunk()
                    .map(|it| u16::from_be_bytes(*it).into()),
                3,
                1 << 8,
            ),
            26 => (
                follow
                    .first_chunk()
                    .map(|it| u32::from_be_bytes(*it).into()),
                5,
                1 << 16,
            ),
            27 => (
                follow.first_chunk().map(|it| u64::from_be_bytes(*it)),
                9,
                1 << 32,
            ),
            _ => return Err(DecodeError::Indefinite { at }),
        };
        // Major type 7 holds floats and simple values under the same low bits; no message has any
        // of them past `null`, and the argument of a float is not a length.
        if major == SIMPLE {
            return Err(DecodeError::WrongType { at, expected });
        }
        let argument = argument.ok_or(DecodeError::Truncated { at })?;
        if argument < least {
            return Err(DecodeError::NotShortest { at });
        }
        Ok(Head {
            major,
            argument,
            len,
        })
    }
}

/// Where it stands, and nothing of the input: that may be a key.
impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("position", &self.at)
            .field("len", &self.input.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minicbor::Decoder;
    use proptest::prelude::*;

    /// Whatever reads here reads the same there, and ends at the same place.
    macro_rules! agree {
        ($input:ident, $method:ident, |$theirs:ident| $read:expr) => {
            let (mut ours, mut decoder) = (Reader::new(&$input), Decoder::new(&$input));
            if let Ok(value) = ours.$method() {
                let $theirs = &mut decoder;
                prop_assert_eq!(Some(value), $read);
                prop_assert_eq!(ours.position(), decoder.position());
            }
        };
    }

    /// Bytes of which about half begin with an item of ours: drawn evenly, few do.
    fn items() -> impl Strategy<Value = Vec<u8>> {
        let byte = any::<u8>();
        let head = (0..8u8, 0..28u8).prop_map(|(major, low)| major << 5 | low);
        let small = (
            head,
            proptest::collection::vec(prop_oneof![Just(0u8), byte], 0..64),
        );
        small.prop_map(|(head, mut rest)| {
            rest.insert(0, head);
            rest
        })
    }

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
    fn integers_below_what_fits_are_refused_and_not_wrapped() {
        let head = |low: [u8; 8]| [&[0x3b][..], &low].concat();
        let least = head(i64::MAX.to_be_bytes());
        assert_eq!(Reader::new(&least).i64(), Ok(i64::MIN));
        let field = "an integer";
        let at = 0;
        for below in [1 << 63, u64::MAX] {
            let below = head(u64::to_be_bytes(below));
            let refused = Err(DecodeError::OutOfRange { at, field });
            assert_eq!(Reader::new(&below).i64(), refused);
        }
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
        fn what_reads_is_what_another_reader_reads(input in items()) {
            agree!(input, u64, |theirs| theirs.u64().ok());
            agree!(input, i64, |theirs| theirs.i64().ok());
            agree!(input, bool, |theirs| theirs.bool().ok());
            agree!(input, bytes, |theirs| theirs.bytes().ok());
            agree!(input, text, |theirs| theirs.str().ok());
            agree!(input, array, |theirs| theirs.array().ok().flatten());
        }

        #[test]
        fn what_is_spelled_shortest_is_read_by_both(value: u64, wide in 0u32..64, text: String) {
            // Of every length, which numbers drawn evenly are not.
            let value = value >> wide;
            let spelled = crate::encode_to_vec(600, |writer| {
                writer.u64(value)?;
                writer.i64(-1 - (value >> 1) as i64)?;
                writer.text(&text)
            });
            prop_assume!(spelled.is_ok());
            let spelled = spelled.unwrap();
            let (mut ours, mut theirs) = (Reader::new(&spelled), Decoder::new(&spelled));
            prop_assert_eq!(ours.u64().unwrap(), theirs.u64().unwrap());
            prop_assert_eq!(ours.i64().unwrap(), theirs.i64().unwrap());
            prop_assert_eq!(ours.text().unwrap(), theirs.str().unwrap());
            prop_assert_eq!(ours.finish(), Ok(()));
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
