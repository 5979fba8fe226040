//! The message `import`.

use crate::field::LenOf;
use crate::limits::MAX_SECRET_LEN;
use crate::{Call, KeyName, KeyType, MaterialFormat, Message, Operation, OperationSet, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use std::fmt;

/// `import`: gives the vault a key's material.
#[derive(Clone)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Import<'a> {
    /// The key.
    pub key: KeyName<'a>,
    /// What the material is.
    pub key_type: KeyType,
    /// What the key may be used for; `None` is all that its type can do. Policy narrows it.
    pub operations: Option<OperationSet>,
    /// The key itself, in the form of `format`; wrapped, where there is a `wrapping_key`.
    pub material: &'a [u8],
    /// In which form the material is.
    pub format: MaterialFormat,
    /// The vault's key under which the material is wrapped (AES-KWP, RFC 5649); `None` is plain.
    /// A `secret` does not come wrapped.
    pub wrapping_key: Option<KeyName<'a>>,
    /// The wrapping keys that may wrap it again; none: it cannot be wrapped.
    pub wrappable_by: Vec<KeyName<'a>>,
}

impl<'a> Message<'a> for Import<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(7)?;
        self.key.write(writer)?;
        writer.text(self.key_type.as_str())?;
        field::write_operations(writer, self.operations)?;
        writer.bytes(self.material)?;
        writer.text(self.format.as_str())?;
        writer.optional(self.wrapping_key, |writer, key| key.write(writer))?;
        field::write_key_names(writer, &self.wrappable_by)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(7)?;
        Ok(Self {
            key: field::key(reader)?,
            key_type: KeyType::read(reader)?,
            operations: reader.optional(OperationSet::read)?,
            material: field::bytes(reader, MAX_SECRET_LEN, "material")?,
            format: MaterialFormat::read(reader)?,
            wrapping_key: reader.optional(|reader| KeyName::read(reader, "wrapping-key"))?,
            wrappable_by: field::key_names(reader, "wrappable-by")?,
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
            .field("format", &self.format)
            .field("wrapping_key", &self.wrapping_key)
            .field("wrappable_by", &self.wrappable_by)
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
