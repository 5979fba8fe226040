//! The message `measure-release`.

use crate::quote::QuoteOperation;
use crate::{Call, KeyName, Message, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `measure-release`: has the release of a key measured, before its secret is given away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasureReleaseRequest<'a> {
    /// The key.
    pub key: KeyName<'a>,
}

impl<'a> Message<'a> for MeasureReleaseRequest<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        self.key.write(writer)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            key: field::key(reader)?,
        })
    }
}

impl Call for MeasureReleaseRequest<'_> {
    const OPERATION: u16 = QuoteOperation::MeasureRelease.to_wire();
    const VERB: &'static str = QuoteOperation::MeasureRelease.as_str();
    type Reply<'r> = MeasureReleaseReply;
}

/// The answer to [`MeasureReleaseRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasureReleaseReply {
    /// Whether it had not been measured before in this boot.
    pub is_new: bool,
}

impl<'a> Message<'a> for MeasureReleaseReply {
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
