//! The message `random`.

use crate::field::LenOf;
use crate::limits::MAX_RANDOM_LEN;
use crate::{Call, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use std::fmt;

/// `random`: random bytes from the vault's generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Random {
    /// How many, at most [`MAX_RANDOM_LEN`].
    pub len: u32,
}

impl<'a> Message<'a> for Random {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        writer.u64(self.len.into())
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self { len: len(reader)? })
    }
}

impl Call for Random {
    const OPERATION: u16 = Operation::Random.to_wire();
    const VERB: &'static str = Operation::Random.as_str();
    type Reply<'r> = RandomBytes<'r>;
}

/// The answer to [`Random`].
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct RandomBytes<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
}

impl<'a> Message<'a> for RandomBytes<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        writer.bytes(self.bytes)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            bytes: field::bytes(reader, MAX_RANDOM_LEN, "bytes")?,
        })
    }
}

impl fmt::Debug for RandomBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RandomBytes")
            .field("bytes", &LenOf(self.bytes))
            .finish()
    }
}

fn len(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let at = reader.position();
    let len = reader.u32("len")?;
    match usize::try_from(len) {
        Ok(asked) if asked <= MAX_RANDOM_LEN => Ok(len),
        _ => Err(DecodeError::OutOfRange { at, field: "len" }),
    }
}
