//! The message `derive`.

use crate::limits::{MAX_INFO_LEN, MAX_SALT_LEN};
use crate::{Call, KeyName, KeyType, Message, Operation, OperationSet, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `derive`: makes a key of another one by HKDF, as a handle: no bytes leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derive<'a> {
    /// The parent.
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
    /// HKDF's salt; may be empty.
    pub salt: &'a [u8],
    /// What tells this new key from others of the same parent (HKDF's `info`).
    pub info: &'a [u8],
}

impl<'a> Message<'a> for Derive<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(7)?;
        self.key.write(writer)?;
        field::write_version(writer, self.version)?;
        self.new_key.write(writer)?;
        writer.text(self.key_type.as_str())?;
        field::write_operations(writer, self.operations)?;
        writer.bytes(self.salt)?;
        writer.bytes(self.info)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(7)?;
        Ok(Self {
            key: KeyName::read(reader, "key")?,
            version: field::version(reader)?,
            new_key: KeyName::read(reader, "new-key")?,
            key_type: KeyType::read(reader)?,
            operations: reader.optional(OperationSet::read)?,
            salt: field::bytes(reader, MAX_SALT_LEN, "salt")?,
            info: field::bytes(reader, MAX_INFO_LEN, "info")?,
        })
    }
}

impl Call for Derive<'_> {
    const OPERATION: u16 = Operation::Derive.to_wire();
    const VERB: &'static str = Operation::Derive.as_str();
    type Reply<'r> = Derived;
}

/// The answer to [`Derive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derived {
    /// The parent's version that was used.
    pub parent_version: u32,
    /// The version that was made.
    pub version: u32,
}

impl<'a> Message<'a> for Derived {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.u64(self.parent_version.into())?;
        writer.u64(self.version.into())
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            parent_version: reader.u32("parent-version")?,
            version: reader.u32("version")?,
        })
    }
}
