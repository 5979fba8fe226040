//! The message `public-key`.

use crate::limits::MAX_PUBLIC_KEY_LEN;
use crate::{Call, KeyName, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `public-key`: a key's public half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey<'a> {
    /// The key.
    pub key: KeyName<'a>,
    /// The version; `None` is the newest that is not destroyed.
    pub version: Option<u32>,
}

impl<'a> Message<'a> for PublicKey<'a> {
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

impl Call for PublicKey<'_> {
    const OPERATION: u16 = Operation::PublicKey.to_wire();
    const VERB: &'static str = Operation::PublicKey.as_str();
    type Reply<'r> = PublicKeyDer<'r>;
}

/// The answer to [`PublicKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKeyDer<'a> {
    /// The version that was used.
    pub version: u32,
    /// The SubjectPublicKeyInfo in DER (RFC 5280).
    pub spki: &'a [u8],
}

impl<'a> Message<'a> for PublicKeyDer<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.u64(self.version.into())?;
        writer.bytes(self.spki)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            version: reader.u32("version")?,
            spki: field::bytes(reader, MAX_PUBLIC_KEY_LEN, "spki")?,
        })
    }
}
