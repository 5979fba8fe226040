//! The message `resource`.

use crate::agent::AgentOperation;
use crate::limits::{MAX_JWE_LEN, MAX_PATH_LEN, ROUND_ID_LEN};
use crate::{Call, Empty, Message, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `resource`: delivers one resource, still encrypted to the round's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    /// The round.
    pub round: [u8; ROUND_ID_LEN],
    /// The path that was asked for, as `repository/type/tag`.
    pub resource: &'a str,
    /// The JWE as the service sent it.
    pub jwe: &'a [u8],
}

impl<'a> Message<'a> for Resource<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(3)?;
        writer.bytes(&self.round)?;
        writer.text(self.resource)?;
        writer.bytes(self.jwe)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(3)?;
        Ok(Self {
            round: field::round(reader)?,
            resource: field::label(reader, MAX_PATH_LEN, "resource")?,
            jwe: field::bytes(reader, MAX_JWE_LEN, "jwe")?,
        })
    }
}

impl Call for Resource<'_> {
    const OPERATION: u16 = AgentOperation::Resource.to_wire();
    const VERB: &'static str = AgentOperation::Resource.as_str();
    type Reply<'r> = Empty;
}
