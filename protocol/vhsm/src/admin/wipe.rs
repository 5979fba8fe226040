//! The message `wipe`.

use crate::{Call, Empty, Message, Operation};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `wipe`: erases every key for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wipe;

impl<'a> Message<'a> for Wipe {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        Empty.encode(writer)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Empty::decode(reader).map(|Empty| Self)
    }
}

impl Call for Wipe {
    const OPERATION: u16 = Operation::Wipe.to_wire();
    const VERB: &'static str = Operation::Wipe.as_str();
    type Reply<'r> = Empty;
}
