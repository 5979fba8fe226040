//! The message `encrypt-buffer`.

use super::{BufferDone, Window};
use crate::{Call, Message, Operation};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `encrypt-buffer`: encrypts shared memory in the chunked format (see the CDDL).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncryptBuffer<'a>(
    /// The key, and where the data is.
    pub Window<'a>,
);

impl<'a> Message<'a> for EncryptBuffer<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        self.0.encode(writer)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Window::decode(reader).map(Self)
    }
}

impl Call for EncryptBuffer<'_> {
    const OPERATION: u16 = Operation::EncryptBuffer.to_wire();
    const VERB: &'static str = Operation::EncryptBuffer.as_str();
    type Reply<'r> = BufferDone;
}
