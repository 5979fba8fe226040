//! The message `finish`.

use crate::agent::AgentOperation;
use crate::limits::ROUND_ID_LEN;
use crate::{Call, Empty, Message, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `finish`: ends a round; what was delivered counts, what was not has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finish {
    /// The round.
    pub round: [u8; ROUND_ID_LEN],
}

impl<'a> Message<'a> for Finish {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        writer.bytes(&self.round)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            round: field::round(reader)?,
        })
    }
}

impl Call for Finish {
    const OPERATION: u16 = AgentOperation::Finish.to_wire();
    const VERB: &'static str = AgentOperation::Finish.as_str();
    type Reply<'r> = Empty;
}
