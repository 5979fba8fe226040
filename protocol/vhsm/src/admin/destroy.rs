//! The message `destroy`.

use crate::{Call, Empty, KeyName, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `destroy`: erases a key's or a version's material for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destroy<'a> {
    /// The key.
    pub key: KeyName<'a>,
    /// The version; `None` is the key as a whole.
    pub version: Option<u32>,
}

impl<'a> Message<'a> for Destroy<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        field::write_key_and_version(writer, self.key, self.version)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        let (key, version) = field::key_and_version(reader)?;
        Ok(Self { key, version })
    }
}

impl Call for Destroy<'_> {
    const OPERATION: u16 = Operation::Destroy.to_wire();
    const VERB: &'static str = Operation::Destroy.as_str();
    type Reply<'r> = Empty;
}
