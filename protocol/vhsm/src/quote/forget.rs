//! The message `forget`.

use crate::field;
use crate::limits::{MAX_LABEL_LEN, MAX_PLATFORM_PARAMS_LEN};
use crate::quote::QuoteOperation;
use crate::{Call, Empty, Message};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `forget`: removes the platform's counter, so that everything counted by it is dead and a new
/// secret may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForgetRequest<'a> {
    /// The platform whose counter it is; the helper refuses any other than its own.
    pub platform: &'a str,
    /// What `platform-key` gave for the file that is to be dead, or empty where there is none:
    /// it says which counter that file counts by, whatever is configured by now.
    pub params: &'a [u8],
}

impl<'a> Message<'a> for ForgetRequest<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.text(self.platform)?;
        writer.bytes(self.params)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            platform: field::label(reader, MAX_LABEL_LEN, "platform")?,
            params: field::bytes(reader, MAX_PLATFORM_PARAMS_LEN, "params")?,
        })
    }
}

impl Call for ForgetRequest<'_> {
    const OPERATION: u16 = QuoteOperation::Forget.to_wire();
    const VERB: &'static str = QuoteOperation::Forget.as_str();
    type Reply<'r> = Empty;
}
