//! The message `mac`.

use crate::field::LenOf;
use crate::limits::MAX_TAG_LEN;
use crate::{Call, KeyName, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use std::fmt;

/// `mac`: makes a message authentication code with the newest version that is
/// not destroyed.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Mac<'a> {
    /// The key.
    pub key: KeyName<'a>,
    /// What is authenticated.
    pub data: &'a [u8],
}

impl<'a> Message<'a> for Mac<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        self.key.write(writer)?;
        writer.bytes(self.data)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            key: field::key(reader)?,
            data: field::data(reader, "data")?,
        })
    }
}

impl fmt::Debug for Mac<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mac")
            .field("key", &self.key)
            .field("data", &LenOf(self.data))
            .finish()
    }
}

impl Call for Mac<'_> {
    const OPERATION: u16 = Operation::Mac.to_wire();
    const VERB: &'static str = Operation::Mac.as_str();
    type Reply<'r> = Tag<'r>;
}

/// The answer to [`Mac`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag<'a> {
    /// The version that was used.
    pub version: u32,
    /// The code.
    pub tag: &'a [u8],
}

impl<'a> Message<'a> for Tag<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.u64(self.version.into())?;
        writer.bytes(self.tag)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            version: reader.u32("version")?,
            tag: field::bytes(reader, MAX_TAG_LEN, "tag")?,
        })
    }
}
