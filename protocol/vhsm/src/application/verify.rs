//! The message `verify`.

use crate::field::LenOf;
use crate::limits::MAX_SIGNATURE_LEN;
use crate::{Call, Empty, KeyName, Message, Operation, SignScheme, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use std::fmt;

/// `verify`: checks a signature. A false one is the status `verification-failed`.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Verify<'a> {
    /// The key.
    pub key: KeyName<'a>,
    /// The version; `None` is the newest that is not destroyed.
    pub version: Option<u32>,
    /// How to sign; `None` is the default of the key's type.
    pub scheme: Option<SignScheme>,
    /// What is signed: the message, or its digest where it is `prehashed`.
    pub message: &'a [u8],
    /// Whether `message` is the digest by the scheme's hash; not for Ed25519 and ML-DSA.
    pub prehashed: bool,
    /// The signature in the form of the scheme.
    pub signature: &'a [u8],
}

impl<'a> Message<'a> for Verify<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(6)?;
        self.key.write(writer)?;
        field::write_version(writer, self.version)?;
        field::write_scheme(writer, self.scheme)?;
        writer.bytes(self.message)?;
        writer.bool(self.prehashed)?;
        writer.bytes(self.signature)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(6)?;
        Ok(Self {
            key: field::key(reader)?,
            version: field::version(reader)?,
            scheme: field::scheme(reader)?,
            message: field::data(reader, "message")?,
            prehashed: reader.bool()?,
            signature: field::bytes(reader, MAX_SIGNATURE_LEN, "signature")?,
        })
    }
}

impl fmt::Debug for Verify<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verify")
            .field("key", &self.key)
            .field("version", &self.version)
            .field("scheme", &self.scheme)
            .field("message", &LenOf(self.message))
            .field("prehashed", &self.prehashed)
            .field("signature", &self.signature)
            .finish()
    }
}

impl Call for Verify<'_> {
    const OPERATION: u16 = Operation::Verify.to_wire();
    const VERB: &'static str = Operation::Verify.as_str();
    type Reply<'r> = Empty;
}
