//! The message `release`.

use crate::field::LenOf;
use crate::limits::MAX_SECRET_LEN;
use crate::{Call, KeyName, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use std::fmt;

/// `release`: a `secret` key's bytes, where policy names the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release<'a> {
    /// The key.
    pub key: KeyName<'a>,
    /// The version; `None` is the newest that is not destroyed.
    pub version: Option<u32>,
}

impl<'a> Message<'a> for Release<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        field::write_key_and_version(writer, self.key, self.version)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        let (key, version) = field::key_and_version(reader)?;
        Ok(Self { key, version })
    }
}

impl Call for Release<'_> {
    const OPERATION: u16 = Operation::Release.to_wire();
    const VERB: &'static str = Operation::Release.as_str();
    type Reply<'r> = Released<'r>;
}

/// The answer to [`Release`].
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Released<'a> {
    /// The version that was released.
    pub version: u32,
    /// The bytes.
    pub secret: &'a [u8],
}

impl<'a> Message<'a> for Released<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.u64(self.version.into())?;
        writer.bytes(self.secret)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            version: reader.u32("version")?,
            secret: field::bytes(reader, MAX_SECRET_LEN, "secret")?,
        })
    }
}

impl fmt::Debug for Released<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Released")
            .field("version", &self.version)
            .field("secret", &LenOf(self.secret))
            .finish()
    }
}
