//! The message `result`.

use crate::agent::AgentOperation;
use crate::limits::{MAX_TOKEN_LEN, ROUND_ID_LEN};
use crate::{Call, Empty, Message, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `result`: delivers the attestation result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttestationResult<'a> {
    /// The round.
    pub round: [u8; ROUND_ID_LEN],
    /// The token as the service sent it.
    pub token: &'a str,
}

impl<'a> Message<'a> for AttestationResult<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.bytes(&self.round)?;
        writer.text(self.token)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            round: field::round(reader)?,
            token: field::text(reader, MAX_TOKEN_LEN, "token")?,
        })
    }
}

impl Call for AttestationResult<'_> {
    const OPERATION: u16 = AgentOperation::Result.to_wire();
    const VERB: &'static str = AgentOperation::Result.as_str();
    type Reply<'r> = Empty;
}
