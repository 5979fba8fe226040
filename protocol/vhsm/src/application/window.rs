//! What `encrypt-buffer` and `decrypt-buffer` share: where in shared memory they work, and the
//! answer.

use crate::limits::MAX_AAD_LEN;
use crate::{KeyName, Message, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// A piece of work on shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window<'a> {
    /// The key.
    pub key: KeyName<'a>,
    /// A registered buffer; `None` is the one memfd that is attached to this packet.
    pub buffer: Option<u32>,
    /// Where the input begins, in bytes.
    pub input_offset: u64,
    /// How long the input is, in bytes.
    pub input_len: u64,
    /// Where the output goes, in bytes; it may not overlap the input.
    pub output_offset: u64,
    /// Authenticated and not kept in the output.
    pub aad: &'a [u8],
}

impl<'a> Message<'a> for Window<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(6)?;
        self.key.write(writer)?;
        writer.optional(self.buffer, |writer, value| writer.u64(value.into()))?;
        writer.u64(self.input_offset)?;
        writer.u64(self.input_len)?;
        writer.u64(self.output_offset)?;
        writer.bytes(self.aad)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(6)?;
        Ok(Self {
            key: field::key(reader)?,
            buffer: reader.optional(|reader| reader.u32("buffer"))?,
            input_offset: reader.u64()?,
            input_len: reader.u64()?,
            output_offset: reader.u64()?,
            aad: field::bytes(reader, MAX_AAD_LEN, "aad")?,
        })
    }
}

/// The answer to [`EncryptBuffer`](super::EncryptBuffer) and
/// [`DecryptBuffer`](super::DecryptBuffer).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferDone {
    /// How long the output is, in bytes.
    pub output_len: u64,
}

impl<'a> Message<'a> for BufferDone {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        writer.u64(self.output_len)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            output_len: reader.u64()?,
        })
    }
}
