//! The message `restore`.

use crate::limits::MAX_SEALED_LEN;
use crate::{Call, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `restore`: takes a part of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restore<'a> {
    /// The part, as `backup` gave it.
    pub sealed: &'a [u8],
}

impl<'a> Message<'a> for Restore<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        writer.bytes(self.sealed)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            sealed: field::bytes(reader, MAX_SEALED_LEN, "sealed")?,
        })
    }
}

impl Call for Restore<'_> {
    const OPERATION: u16 = Operation::Restore.to_wire();
    const VERB: &'static str = Operation::Restore.as_str();
    type Reply<'r> = Restored;
}

/// The answer to [`Restore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Keys that came back by it.
    pub keys: u64,
}

impl<'a> Message<'a> for Restored {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        writer.u64(self.keys)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            keys: reader.u64()?,
        })
    }
}
