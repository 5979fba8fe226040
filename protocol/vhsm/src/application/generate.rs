//! The message `generate`.

use crate::{Call, KeyName, KeyType, Message, Operation, OperationSet, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `generate`: the vault draws a new key. Its name must be free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generate<'a> {
    /// The key.
    pub key: KeyName<'a>,
    /// What to make.
    pub key_type: KeyType,
    /// What the key may be used for; `None` is all that its type can do. Policy narrows it.
    pub operations: Option<OperationSet>,
    /// The wrapping keys that may wrap it; none: it cannot be wrapped.
    pub wrappable_by: Vec<KeyName<'a>>,
}

impl<'a> Message<'a> for Generate<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(4)?;
        self.key.write(writer)?;
        writer.text(self.key_type.as_str())?;
        field::write_operations(writer, self.operations)?;
        field::write_key_names(writer, &self.wrappable_by)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(4)?;
        Ok(Self {
            key: field::key(reader)?,
            key_type: KeyType::read(reader)?,
            operations: reader.optional(OperationSet::read)?,
            wrappable_by: field::key_names(reader, "wrappable-by")?,
        })
    }
}

impl Call for Generate<'_> {
    const OPERATION: u16 = Operation::Generate.to_wire();
    const VERB: &'static str = Operation::Generate.as_str();
    type Reply<'r> = Generated;
}

/// The answer to [`Generate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generated {
    /// The version that was made.
    pub version: u32,
}

impl<'a> Message<'a> for Generated {
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
