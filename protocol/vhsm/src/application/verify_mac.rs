//! The message `verify-mac`.

use crate::field::LenOf;
use crate::limits::MAX_TAG_LEN;
use crate::{Call, Empty, KeyName, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use std::fmt;

/// `verify-mac`: checks a code. A false one is the status `verification-failed`.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct VerifyMac<'a> {
    /// The key.
    pub key: KeyName<'a>,
    /// The version; `None` is the newest that is not destroyed.
    pub version: Option<u32>,
    /// What is authenticated.
    pub data: &'a [u8],
    /// The code.
    pub tag: &'a [u8],
}

impl<'a> Message<'a> for VerifyMac<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(4)?;
        self.key.write(writer)?;
        field::write_version(writer, self.version)?;
        writer.bytes(self.data)?;
        writer.bytes(self.tag)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(4)?;
        Ok(Self {
            key: field::key(reader)?,
            version: field::version(reader)?,
            data: field::data(reader, "data")?,
            tag: field::bytes(reader, MAX_TAG_LEN, "tag")?,
        })
    }
}

impl fmt::Debug for VerifyMac<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyMac")
            .field("key", &self.key)
            .field("version", &self.version)
            .field("data", &LenOf(self.data))
            .field("tag", &LenOf(self.tag))
            .finish()
    }
}

impl Call for VerifyMac<'_> {
    const OPERATION: u16 = Operation::VerifyMac.to_wire();
    const VERB: &'static str = Operation::VerifyMac.as_str();
    type Reply<'r> = Empty;
}
