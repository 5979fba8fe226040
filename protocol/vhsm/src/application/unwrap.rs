//! The message `unwrap`.

use crate::limits::MAX_WRAPPED_LEN;
use crate::{Call, KeyName, KeyType, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `unwrap`: makes a key of what `wrap` gave, under the policy that travelled with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwrap<'a> {
    /// The key that wrapped.
    pub wrapping_key: KeyName<'a>,
    /// What `wrap` gave.
    pub wrapped: &'a [u8],
    /// The name it gets here; must be free.
    pub new_key: KeyName<'a>,
    /// What it must be.
    pub key_type: KeyType,
}

impl<'a> Message<'a> for Unwrap<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(4)?;
        self.wrapping_key.write(writer)?;
        writer.bytes(self.wrapped)?;
        self.new_key.write(writer)?;
        writer.text(self.key_type.as_str())
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(4)?;
        Ok(Self {
            wrapping_key: KeyName::read(reader, "wrapping-key")?,
            wrapped: field::bytes(reader, MAX_WRAPPED_LEN, "wrapped")?,
            new_key: KeyName::read(reader, "new-key")?,
            key_type: KeyType::read(reader)?,
        })
    }
}

impl Call for Unwrap<'_> {
    const OPERATION: u16 = Operation::Unwrap.to_wire();
    const VERB: &'static str = Operation::Unwrap.as_str();
    type Reply<'r> = Unwrapped;
}

/// The answer to [`Unwrap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwrapped {
    /// The version that was made.
    pub version: u32,
}

impl<'a> Message<'a> for Unwrapped {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        writer.u64(self.version.into())
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            version: reader.u32("version")?,
        })
    }
}
