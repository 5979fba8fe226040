//! The message `phase`.

use crate::limits::MAX_LABEL_LEN;
use crate::quote::QuoteOperation;
use crate::{Call, Message, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `phase`: has a phase of the boot measured, once, before what belongs to it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseRequest<'a> {
    /// The phase.
    pub name: &'a str,
}

impl<'a> Message<'a> for PhaseRequest<'a> {
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

impl Call for PhaseRequest<'_> {
    const OPERATION: u16 = QuoteOperation::Phase.to_wire();
    const VERB: &'static str = QuoteOperation::Phase.as_str();
    type Reply<'r> = PhaseReply;
}

/// The answer to [`PhaseRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseReply {
    /// Whether it had not begun before.
    pub is_new: bool,
}

impl<'a> Message<'a> for PhaseReply {
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
