//! The message `reload`.

use crate::{Call, Empty, Message, Operation};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `reload`: reads the policy anew, as a whole or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reload;

impl<'a> Message<'a> for Reload {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        Empty.encode(writer)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Empty::decode(reader).map(|Empty| Self)
    }
}

impl Call for Reload {
    const OPERATION: u16 = Operation::Reload.to_wire();
    const VERB: &'static str = Operation::Reload.as_str();
    type Reply<'r> = Reloaded;
}

/// The answer to [`Reload`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reloaded {
    /// The generation that is in force now.
    pub policy_generation: u64,
}

impl<'a> Message<'a> for Reloaded {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        writer.u64(self.policy_generation)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            policy_generation: reader.u64()?,
        })
    }
}
