use crate::EncodeError;
use minicbor::encode::write::Cursor;
use minicbor::encode::{Encoder, Error};
use std::fmt;

/// Writes items into a slice that the caller owns, so that a secret is never copied elsewhere.
pub struct Writer<'b> {
    encoder: Encoder<Cursor<&'b mut [u8]>>,
    capacity: usize,
}

impl<'b> Writer<'b> {
    /// A writer at the start of `buffer`.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        let capacity = buffer.len();
        Self {
            encoder: Encoder::new(Cursor::new(buffer)),
            capacity,
        }
    }

    /// Bytes written so far.
    pub fn position(&self) -> usize {
        self.encoder.writer().position()
    }

    /// An unsigned integer in its shortest form.
    pub fn u64(&mut self, value: u64) -> Result<(), EncodeError> {
        let result = self.encoder.u64(value).map(drop);
        self.named(result)
    }

    /// A signed integer in its shortest form.
    pub fn i64(&mut self, value: i64) -> Result<(), EncodeError> {
        let result = self.encoder.i64(value).map(drop);
        self.named(result)
    }

    /// `true` or `false`.
    pub fn bool(&mut self, value: bool) -> Result<(), EncodeError> {
        let result = self.encoder.bool(value).map(drop);
        self.named(result)
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) -> Result<(), EncodeError> {
        let result = self.encoder.bytes(value).map(drop);
        self.named(result)
    }

    /// The head of a byte string whose `len` bytes are written with [`Writer::raw`].
    pub fn bytes_head(&mut self, len: usize) -> Result<(), EncodeError> {
        let result = self.encoder.bytes_len(len as u64).map(drop);
        self.named(result)
    }

    /// Bytes that are already CBOR, or the body announced by [`Writer::bytes_head`].
    pub fn raw(&mut self, value: &[u8]) -> Result<(), EncodeError> {
        use minicbor::encode::Write;
        let result = self.encoder.writer_mut().write_all(value);
        result.map_err(|_| EncodeError::BufferFull {
            capacity: self.capacity,
        })
    }

    /// A text string.
    pub fn text(&mut self, value: &str) -> Result<(), EncodeError> {
        let result = self.encoder.str(value).map(drop);
        self.named(result)
    }

    /// The head of an array of `len` entries.
    pub fn array(&mut self, len: usize) -> Result<(), EncodeError> {
        let result = self.encoder.array(len as u64).map(drop);
        self.named(result)
    }

    /// The head of a map of `len` pairs.
    pub fn map(&mut self, len: usize) -> Result<(), EncodeError> {
        let result = self.encoder.map(len as u64).map(drop);
        self.named(result)
    }

    /// A tag; the tagged item follows.
    pub fn tag(&mut self, tag: u64) -> Result<(), EncodeError> {
        let result = self.encoder.tag(minicbor::data::Tag::new(tag)).map(drop);
        self.named(result)
    }

    /// `null`.
    pub fn null(&mut self) -> Result<(), EncodeError> {
        let result = self.encoder.null().map(drop);
        self.named(result)
    }

    /// `null` for `None`, else what `write` writes.
    pub fn optional<T>(
        &mut self,
        value: Option<T>,
        write: impl FnOnce(&mut Self, T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        match value {
            None => self.null(),
            Some(value) => write(self, value),
        }
    }

    /// The only fault of writing into a slice is that the slice is full.
    fn named<E>(&self, result: Result<(), Error<E>>) -> Result<(), EncodeError> {
        result.map_err(|_| EncodeError::BufferFull {
            capacity: self.capacity,
        })
    }
}

/// How far it got, and nothing of the buffer: that may hold a secret.
impl fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("position", &self.position())
            .field("capacity", &self.capacity)
            .finish()
    }
}

/// Writes a message that holds no secret into a fresh vector of at most `max_len` bytes.
pub fn encode_to_vec(
    max_len: usize,
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<Vec<u8>, EncodeError> {
    let mut buffer = vec![0; max_len];
    let mut writer = Writer::new(&mut buffer);
    write(&mut writer)?;
    let len = writer.position();
    buffer.truncate(len);
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_buffer_is_named() {
        let mut buffer = [0; 2];
        assert_eq!(
            Writer::new(&mut buffer).bytes(b"abc"),
            Err(EncodeError::BufferFull { capacity: 2 })
        );
    }

    #[test]
    fn debug_shows_no_byte_of_the_buffer() {
        let mut buffer = [171; 4];
        let mut writer = Writer::new(&mut buffer);
        writer.bytes(&[172, 173]).unwrap();
        assert_eq!(format!("{writer:?}"), "Writer { position: 3, capacity: 4 }");
    }

    #[test]
    fn items_take_their_shortest_form() {
        let written = encode_to_vec(64, |w| {
            w.array(4)?;
            w.u64(23)?;
            w.u64(24)?;
            w.text("a")?;
            w.null()
        });
        assert_eq!(written.unwrap(), [0x84, 0x17, 0x18, 0x18, 0x61, b'a', 0xf6]);
    }
}
