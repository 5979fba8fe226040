//! The message `why`.

use crate::{Call, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `why`: why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Why {
    /// The connection's number, as the log and the audit have it.
    pub connection: u64,
    /// The request's id on that connection.
    pub request: u32,
}

impl<'a> Message<'a> for Why {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.u64(self.connection)?;
        writer.u64(self.request.into())
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            connection: reader.u64()?,
            request: reader.u32("request")?,
        })
    }
}

impl Call for Why {
    const OPERATION: u16 = Operation::Why.to_wire();
    const VERB: &'static str = Operation::Why.as_str();
    type Reply<'r> = Reasons<'r>;
}

/// The answer to [`Why`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reasons<'a> {
    /// The reasons; empty where nothing is known of the request any more.
    pub because: Vec<&'a str>,
}

impl<'a> Message<'a> for Reasons<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        field::write_list(writer, &self.because, |writer, entry| writer.text(entry))
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            because: field::reasons(reader, "because")?,
        })
    }
}
