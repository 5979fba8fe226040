//! The message `wrap`.

use crate::limits::MAX_WRAPPED_LEN;
use crate::{Call, KeyName, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `wrap`: a key, encrypted under another one that wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrap<'a> {
    /// The `aes-256-kwp` key that wraps.
    pub wrapping_key: KeyName<'a>,
    /// The key that is wrapped; its `wrappable-by` must name the wrapping key.
    pub key: KeyName<'a>,
    /// The version of the wrapped key; `None` is the newest that is not destroyed.
    pub version: Option<u32>,
}

impl<'a> Message<'a> for Wrap<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(3)?;
        self.wrapping_key.write(writer)?;
        self.key.write(writer)?;
        field::write_version(writer, self.version)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(3)?;
        Ok(Self {
            wrapping_key: KeyName::read(reader, "wrapping-key")?,
            key: KeyName::read(reader, "key")?,
            version: field::version(reader)?,
        })
    }
}

impl Call for Wrap<'_> {
    const OPERATION: u16 = Operation::Wrap.to_wire();
    const VERB: &'static str = Operation::Wrap.as_str();
    type Reply<'r> = Wrapped<'r>;
}

/// The answer to [`Wrap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrapped<'a> {
    /// The version that wrapped.
    pub wrapping_version: u32,
    /// The key with the policy that travels with it, for `unwrap` alone.
    pub wrapped: &'a [u8],
}

impl<'a> Message<'a> for Wrapped<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.u64(self.wrapping_version.into())?;
        writer.bytes(self.wrapped)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            wrapping_version: reader.u32("wrapping-version")?,
            wrapped: field::bytes(reader, MAX_WRAPPED_LEN, "wrapped")?,
        })
    }
}
