//! The message `decapsulate`.

use crate::limits::{MAX_ENCAPSULATED_LEN, MAX_INFO_LEN};
use crate::{Call, KeyName, KeyType, Message, Operation, OperationSet, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `decapsulate`: makes a key of the shared secret in a ciphertext.
///
/// ML-KEM gives a different key for a ciphertext that is not genuine, and no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decapsulate<'a> {
    /// The key whose private half opens it.
    pub key: KeyName<'a>,
    /// The version; `None` is the newest that is not destroyed.
    pub version: Option<u32>,
    /// What the other side's encapsulation gave.
    pub ciphertext: &'a [u8],
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

impl<'a> Message<'a> for Decapsulate<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(7)?;
        self.key.write(writer)?;
        field::write_version(writer, self.version)?;
        writer.bytes(self.ciphertext)?;
        self.new_key.write(writer)?;
        writer.text(self.key_type.as_str())?;
        field::write_operations(writer, self.operations)?;
        writer.bytes(self.info)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(7)?;
        Ok(Self {
            key: KeyName::read(reader, "key")?,
            version: field::version(reader)?,
            ciphertext: field::bytes(reader, MAX_ENCAPSULATED_LEN, "ciphertext")?,
            new_key: KeyName::read(reader, "new-key")?,
            key_type: KeyType::read(reader)?,
            operations: reader.optional(OperationSet::read)?,
            info: field::bytes(reader, MAX_INFO_LEN, "info")?,
        })
    }
}

impl Call for Decapsulate<'_> {
    const OPERATION: u16 = Operation::Decapsulate.to_wire();
    const VERB: &'static str = Operation::Decapsulate.as_str();
    type Reply<'r> = Decapsulated;
}

/// The answer to [`Decapsulate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decapsulated {
    /// The version that was used.
    pub key_version: u32,
    /// The version that was made.
    pub version: u32,
}

impl<'a> Message<'a> for Decapsulated {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.u64(self.key_version.into())?;
        writer.u64(self.version.into())
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            key_version: reader.u32("key-version")?,
            version: reader.u32("version")?,
        })
    }
}
