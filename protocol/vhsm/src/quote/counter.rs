//! The message `counter`.

use crate::field;
use crate::limits::{MAX_LABEL_LEN, MAX_PLATFORM_PARAMS_LEN};
use crate::quote::QuoteOperation;
use crate::{Call, Message};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `counter`: reads the platform's counter, or steps it by one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterRequest<'a> {
    /// The platform whose counter it is; the helper refuses any other than its own.
    pub platform: &'a str,
    /// What `platform-key` gave: it says which counter.
    pub params: &'a [u8],
    /// Whether it goes up by one.
    pub increment: bool,
}

impl<'a> Message<'a> for CounterRequest<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(3)?;
        writer.text(self.platform)?;
        writer.bytes(self.params)?;
        writer.bool(self.increment)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(3)?;
        Ok(Self {
            platform: field::label(reader, MAX_LABEL_LEN, "platform")?,
            params: field::bytes(reader, MAX_PLATFORM_PARAMS_LEN, "params")?,
            increment: reader.bool()?,
        })
    }
}

impl Call for CounterRequest<'_> {
    const OPERATION: u16 = QuoteOperation::Counter.to_wire();
    const VERB: &'static str = QuoteOperation::Counter.as_str();
    type Reply<'r> = CounterReply;
}

/// The answer to [`CounterRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterReply {
    /// Where the counter is now. It never goes back.
    pub value: u64,
}

impl<'a> Message<'a> for CounterReply {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        writer.u64(self.value)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            value: reader.u64()?,
        })
    }
}
