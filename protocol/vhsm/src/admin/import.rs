//! The message `import`.

use crate::field::LenOf;
use crate::limits::MAX_SECRET_LEN;
use crate::{Call, KeyName, KeyType, Message, Operation, OperationSet, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use std::fmt;

/// `import`: gives the vault a key's material.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Import<'a> {
    /// The key.
    pub key: KeyName<'a>,
    /// What the material is.
    pub key_type: KeyType,
    /// What the key may be used for; `None` is all that its type can do. Policy narrows it.
    pub operations: Option<OperationSet>,
    /// The key itself: the bytes of an AES or HMAC key, a P-256 scalar of 32 bytes, an Ed25519 seed of
    /// 32 bytes, or a secret's bytes.
    pub material: &'a [u8],
}

impl<'a> Message<'a> for Import<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(4)?;
        self.key.write(writer)?;
        writer.text(self.key_type.as_str())?;
        writer.optional(self.operations, |writer, operations| {
            operations.write(writer)
        })?;
        writer.bytes(self.material)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(4)?;
        Ok(Self {
            key: field::key(reader)?,
            key_type: KeyType::read(reader)?,
            operations: reader.optional(OperationSet::read)?,
            material: field::bytes(reader, MAX_SECRET_LEN, "material")?,
        })
    }
}

impl fmt::Debug for Import<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Import")
            .field("key", &self.key)
            .field("key_type", &self.key_type)
            .field("operations", &self.operations)
            .field("material", &LenOf(self.material))
            .finish()
    }
}

impl Call for Import<'_> {
    const OPERATION: u16 = Operation::Import.to_wire();
    const VERB: &'static str = Operation::Import.as_str();
    type Reply<'r> = Imported;
}

/// The answer to [`Import`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// The version that was made.
    pub version: u32,
}

impl<'a> Message<'a> for Imported {
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
