//! The message `phase-end`.

use crate::limits::MAX_LABEL_LEN;
use crate::quote::QuoteOperation;
use crate::{Call, Message, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `phase-end`: has the end of a phase measured, before anything runs that is not of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseEndRequest<'a> {
    /// The phase.
    pub name: &'a str,
}

impl<'a> Message<'a> for PhaseEndRequest<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        writer.text(self.name)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            name: field::label(reader, MAX_LABEL_LEN, "name")?,
        })
    }
}

impl Call for PhaseEndRequest<'_> {
    const OPERATION: u16 = QuoteOperation::PhaseEnd.to_wire();
    const VERB: &'static str = QuoteOperation::PhaseEnd.as_str();
    type Reply<'r> = PhaseEndReply;
}

/// The answer to [`PhaseEndRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseEndReply {
    /// Whether it had not ended before.
    pub is_new: bool,
}

impl<'a> Message<'a> for PhaseEndReply {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        writer.bool(self.is_new)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            is_new: reader.bool()?,
        })
    }
}
