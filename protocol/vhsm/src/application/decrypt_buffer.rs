//! The message `decrypt-buffer`.

use super::{BufferDone, Window};
use crate::{Call, Message, Operation};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `decrypt-buffer`: decrypts what `encrypt-buffer` made. The output holds nothing that is not
/// authentic: where a chunk is not, it is zeroed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecryptBuffer<'a>(
    /// The key, and where the data is.
    pub Window<'a>,
);

impl<'a> Message<'a> for DecryptBuffer<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        self.0.encode(writer)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Window::decode(reader).map(Self)
    }
}

impl Call for DecryptBuffer<'_> {
    const OPERATION: u16 = Operation::DecryptBuffer.to_wire();
    const VERB: &'static str = Operation::DecryptBuffer.as_str();
    type Reply<'r> = BufferDone;
}
