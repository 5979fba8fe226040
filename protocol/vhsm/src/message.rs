use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// One `params` or `result` array.
///
/// A message without borrowed fields implements this for any `'a`.
pub trait Message<'a>: Sized {
    /// Writes the array.
    ///
    /// Lengths are not checked against [`limits`](crate::limits) here, only against the buffer:
    /// the receiver's decoder is the guard, and refuses what is over a limit.
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError>;

    /// Reads the array and leaves the reader after it.
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError>;

    /// Reads the array as the last item of its packet: bytes after it are an error.
    fn decode_last(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let message = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(message)
    }
}

/// A request, with its operation's number and what answers it.
pub trait Call {
    /// The operation's number on its socket.
    const OPERATION: u16;
    /// The operation's verb, for errors and logs.
    const VERB: &'static str;
    /// The result of an `ok` reply.
    type Reply<'r>: Message<'r>;
}

/// The empty array: an operation without parameters or without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Empty;

impl<'a> Message<'a> for Empty {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(0)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(0).map(|()| Self)
    }
}
