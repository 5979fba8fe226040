//! The message `sign`.

use crate::field::LenOf;
use crate::limits::MAX_SIGNATURE_LEN;
use crate::{Call, KeyName, Message, Operation, SignScheme, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use std::fmt;

/// `sign`: signs with the newest version that is not destroyed.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Sign<'a> {
    /// The key.
    pub key: KeyName<'a>,
    /// How to sign; `None` is the default of the key's type.
    pub scheme: Option<SignScheme>,
    /// What is signed: the message, or its digest where it is `prehashed`.
    pub message: &'a [u8],
    /// Whether `message` is the digest by the scheme's hash; not for Ed25519 and ML-DSA.
    pub prehashed: bool,
}

impl<'a> Message<'a> for Sign<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(4)?;
        self.key.write(writer)?;
        field::write_scheme(writer, self.scheme)?;
        writer.bytes(self.message)?;
        writer.bool(self.prehashed)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(4)?;
        Ok(Self {
            key: field::key(reader)?,
            scheme: field::scheme(reader)?,
            message: field::data(reader, "message")?,
            prehashed: reader.bool()?,
        })
    }
}

impl fmt::Debug for Sign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sign")
            .field("key", &self.key)
            .field("scheme", &self.scheme)
            .field("message", &LenOf(self.message))
            .field("prehashed", &self.prehashed)
            .finish()
    }
}

impl Call for Sign<'_> {
    const OPERATION: u16 = Operation::Sign.to_wire();
    const VERB: &'static str = Operation::Sign.as_str();
    type Reply<'r> = Signature<'r>;
}

/// The answer to [`Sign`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature<'a> {
    /// The version that was used.
    pub version: u32,
    /// The signature in the form of the scheme.
    pub signature: &'a [u8],
}

impl<'a> Message<'a> for Signature<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.u64(self.version.into())?;
        writer.bytes(self.signature)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            version: reader.u32("version")?,
            signature: field::bytes(reader, MAX_SIGNATURE_LEN, "signature")?,
        })
    }
}
