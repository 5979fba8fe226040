//! The message `register-buffer`.

use crate::{Call, Message, Operation};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `register-buffer`: shares memory with vhsmd for this connection. One memfd is attached to the
/// packet, allocated in full and sealed against shrinking and growing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegisterBuffer {
    /// Its length in bytes.
    pub len: u64,
}

impl<'a> Message<'a> for RegisterBuffer {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        writer.u64(self.len)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self { len: reader.u64()? })
    }
}

impl Call for RegisterBuffer {
    const OPERATION: u16 = Operation::RegisterBuffer.to_wire();
    const VERB: &'static str = Operation::RegisterBuffer.as_str();
    type Reply<'r> = Registered;
}

/// The answer to [`RegisterBuffer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// Names the buffer on this connection.
    pub buffer: u32,
}

impl<'a> Message<'a> for Registered {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        writer.u64(self.buffer.into())
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            buffer: reader.u32("buffer")?,
        })
    }
}
