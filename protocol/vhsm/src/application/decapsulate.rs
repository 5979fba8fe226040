//! The message `decapsulate`.

use super::{Child, ChildMade};
use crate::limits::MAX_ENCAPSULATED_LEN;
use crate::{Call, KeyName, Message, Operation, field};
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
    /// The key that is made of it.
    pub child: Child<'a>,
}

impl<'a> Message<'a> for Decapsulate<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(7)?;
        field::write_key_and_version(writer, self.key, self.version)?;
        writer.bytes(self.ciphertext)?;
        self.child.write(writer)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(7)?;
        let (key, version) = field::key_and_version(reader)?;
        Ok(Self {
            key,
            version,
            ciphertext: field::bytes(reader, MAX_ENCAPSULATED_LEN, "ciphertext")?,
            child: Child::read(reader)?,
        })
    }
}

impl Call for Decapsulate<'_> {
    const OPERATION: u16 = Operation::Decapsulate.to_wire();
    const VERB: &'static str = Operation::Decapsulate.as_str();
    type Reply<'r> = ChildMade;
}
