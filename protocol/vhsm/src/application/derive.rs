//! The message `derive`.

use super::{Child, ChildMade};
use crate::{Call, KeyName, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `derive`: makes a key of another one by HKDF, as a handle: no bytes leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derive<'a> {
    /// The parent.
    pub key: KeyName<'a>,
    /// The version; `None` is the newest that is not destroyed.
    pub version: Option<u32>,
    /// The key that is made of it.
    pub child: Child<'a>,
    /// HKDF's salt; may be empty.
    pub salt: &'a [u8],
}

impl<'a> Message<'a> for Derive<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(7)?;
        field::write_key_and_version(writer, self.key, self.version)?;
        self.child.write_salted(writer, self.salt)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(7)?;
        let (key, version) = field::key_and_version(reader)?;
        let (child, salt) = Child::read_salted(reader)?;
        Ok(Self {
            key,
            version,
            child,
            salt,
        })
    }
}

impl Call for Derive<'_> {
    const OPERATION: u16 = Operation::Derive.to_wire();
    const VERB: &'static str = Operation::Derive.as_str();
    type Reply<'r> = ChildMade;
}
