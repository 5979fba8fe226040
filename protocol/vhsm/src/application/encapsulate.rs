//! The message `encapsulate`.

use super::Child;
use crate::limits::MAX_ENCAPSULATED_LEN;
use crate::{Call, KeyName, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `encapsulate`: makes a key of a fresh shared secret under a key's public half, and the ciphertext
/// from which `decapsulate` makes the same key again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encapsulate<'a> {
    /// The key whose public half is used.
    pub key: KeyName<'a>,
    /// The version; `None` is the newest that is not destroyed.
    pub version: Option<u32>,
    /// The key that is made of it.
    pub child: Child<'a>,
}

impl<'a> Message<'a> for Encapsulate<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(6)?;
        field::write_key_and_version(writer, self.key, self.version)?;
        self.child.write(writer)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(6)?;
        let (key, version) = field::key_and_version(reader)?;
        Ok(Self {
            key,
            version,
            child: Child::read(reader)?,
        })
    }
}

impl Call for Encapsulate<'_> {
    const OPERATION: u16 = Operation::Encapsulate.to_wire();
    const VERB: &'static str = Operation::Encapsulate.as_str();
    type Reply<'r> = Encapsulated<'r>;
}

/// The answer to [`Encapsulate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encapsulated<'a> {
    /// The version that was used.
    pub key_version: u32,
    /// For `decapsulate`.
    pub ciphertext: &'a [u8],
    /// The version that was made.
    pub version: u32,
}

impl<'a> Message<'a> for Encapsulated<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(3)?;
        writer.u64(self.key_version.into())?;
        writer.bytes(self.ciphertext)?;
        writer.u64(self.version.into())
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(3)?;
        Ok(Self {
            key_version: reader.u32("key-version")?,
            ciphertext: field::bytes(reader, MAX_ENCAPSULATED_LEN, "ciphertext")?,
            version: reader.u32("version")?,
        })
    }
}
