//! The message `set-policy`.

use crate::{Call, Empty, KeyName, KeyPolicy, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `set-policy`: changes a key's own policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetPolicy<'a> {
    /// The key.
    pub key: KeyName<'a>,
    /// What changes.
    pub policy: KeyPolicy<'a>,
}

impl<'a> Message<'a> for SetPolicy<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        self.key.write(writer)?;
        self.policy.encode(writer)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            key: field::key(reader)?,
            policy: KeyPolicy::decode(reader)?,
        })
    }
}

impl Call for SetPolicy<'_> {
    const OPERATION: u16 = Operation::SetPolicy.to_wire();
    const VERB: &'static str = Operation::SetPolicy.as_str();
    type Reply<'r> = Empty;
}
