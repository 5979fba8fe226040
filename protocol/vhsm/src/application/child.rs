//! What `derive`, `agree`, `encapsulate` and `decapsulate` share: the key that they make of another
//! one, and the answer of those that give nothing else.

use crate::limits::{MAX_INFO_LEN, MAX_SALT_LEN};
use crate::{KeyName, KeyType, Message, OperationSet, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// A key that is to be made of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child<'a> {
    /// Its name, which must be free.
    pub name: KeyName<'a>,
    /// What it is.
    pub key_type: KeyType,
    /// What it may be used for; `None` is all that its type can do. It can never do more than its
    /// parent allows.
    pub operations: Option<OperationSet>,
    /// What tells it from others of the same parent (HKDF's `info`).
    pub info: &'a [u8],
}

impl<'a> Child<'a> {
    /// Writes the four fields, which are the last of their array.
    pub(super) fn write(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        self.write_named(writer)?;
        writer.bytes(self.info)
    }

    /// The same, with HKDF's salt before the info.
    pub(super) fn write_salted(
        &self,
        writer: &mut Writer<'_>,
        salt: &[u8],
    ) -> Result<(), EncodeError> {
        self.write_named(writer)?;
        writer.bytes(salt)?;
        writer.bytes(self.info)
    }

    /// Reads what [`write`](Self::write) wrote.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let child = Self::read_named(reader)?;
        child.with_info(reader)
    }

    /// Reads what [`write_salted`](Self::write_salted) wrote; the salt comes second.
    pub(super) fn read_salted(reader: &mut Reader<'a>) -> Result<(Self, &'a [u8]), DecodeError> {
        let child = Self::read_named(reader)?;
        let salt = field::bytes(reader, MAX_SALT_LEN, "salt")?;
        Ok((child.with_info(reader)?, salt))
    }

    fn write_named(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        self.name.write(writer)?;
        writer.text(self.key_type.as_str())?;
        field::write_operations(writer, self.operations)
    }

    fn read_named(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: KeyName::read(reader, "new-key")?,
            key_type: KeyType::read(reader)?,
            operations: reader.optional(OperationSet::read)?,
            info: &[],
        })
    }

    fn with_info(self, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let info = field::bytes(reader, MAX_INFO_LEN, "info")?;
        Ok(Self { info, ..self })
    }
}

/// The answer to [`Derive`](super::Derive), [`Agree`](super::Agree) and
/// [`Decapsulate`](super::Decapsulate).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildMade {
    /// The parent's version that was used.
    pub parent_version: u32,
    /// The version that was made.
    pub version: u32,
}

impl<'a> Message<'a> for ChildMade {
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
