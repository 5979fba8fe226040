//! The message `rotate`.

use crate::{Call, KeyName, Message, Operation};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `rotate`: adds a version, which protects from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotate<'a> {
    /// The key.
    pub key: KeyName<'a>,
}

impl<'a> Message<'a> for Rotate<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        self.key.write(writer)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            key: KeyName::read(reader, "key")?,
        })
    }
}

impl Call for Rotate<'_> {
    const OPERATION: u16 = Operation::Rotate.to_wire();
    const VERB: &'static str = Operation::Rotate.as_str();
    type Reply<'r> = Rotated;
}

/// The answer to [`Rotate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// The version that was made.
    pub version: u32,
}

impl<'a> Message<'a> for Rotated {
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
