//! The message `encapsulate`.

use crate::limits::{MAX_ENCAPSULATED_LEN, MAX_INFO_LEN};
use crate::{Call, KeyName, KeyType, Message, Operation, OperationSet, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `encapsulate`: makes a key of a fresh shared secret under a key's public half, and the ciphertext
/// from which `decapsulate` makes the same key again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encapsulate<'a> {
    /// The key whose public half is used.
    pub key: KeyName<'a>,
    /// The version; `None` is the newest that is not destroyed.
    pub version: Option<u32>,
    /// The key that is made of it; its name must be free.
    pub new_key: KeyName<'a>,
    /// What the new key is.
    pub key_type: KeyType,
    /// What the new key may be used for; `None` is all that its type can do. It can never do more
    /// than its parent allows.
    pub operations: Option<OperationSet>,
    /// What tells this new key from others of the same parent (HKDF's `info`).
    pub info: &'a [u8],
}

impl<'a> Message<'a> for Encapsulate<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(6)?;
        self.key.write(writer)?;
        field::write_version(writer, self.version)?;
        self.new_key.write(writer)?;
        writer.text(self.key_type.as_str())?;
        field::write_operations(writer, self.operations)?;
        writer.bytes(self.info)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(6)?;
        Ok(Self {
            key: KeyName::read(reader, "key")?,
            version: field::version(reader)?,
            new_key: KeyName::read(reader, "new-key")?,
            key_type: KeyType::read(reader)?,
            operations: reader.optional(OperationSet::read)?,
            info: field::bytes(reader, MAX_INFO_LEN, "info")?,
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
