//! The message `forget`.

use crate::field;
use crate::limits::MAX_LABEL_LEN;
use crate::quote::QuoteOperation;
use crate::{Call, Empty, Message};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `forget`: removes the platform's counter, so that everything counted by it is dead and a new
/// secret may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForgetRequest<'a> {
    /// The platform whose counter it is; the helper refuses any other than its own.
    pub platform: &'a str,
}

impl<'a> Message<'a> for ForgetRequest<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        writer.text(self.platform)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            platform: field::label(reader, MAX_LABEL_LEN, "platform")?,
        })
    }
}

impl Call for ForgetRequest<'_> {
    const OPERATION: u16 = QuoteOperation::Forget.to_wire();
    const VERB: &'static str = QuoteOperation::Forget.as_str();
    type Reply<'r> = Empty;
}
