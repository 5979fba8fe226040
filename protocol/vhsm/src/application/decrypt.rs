//! The message `decrypt`.

use crate::field::LenOf;
use crate::limits::{MAX_AAD_LEN, MAX_CIPHERTEXT_LEN};
use crate::{Call, KeyName, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use std::fmt;

/// `decrypt`: decrypts what `encrypt` made; the ciphertext's header names the version.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Decrypt<'a> {
    /// The key.
    pub key: KeyName<'a>,
    /// The ciphertext with its header, as the CDDL lays it out.
    pub ciphertext: &'a [u8],
    /// Data that is authenticated and not encrypted.
    pub aad: &'a [u8],
}

impl<'a> Message<'a> for Decrypt<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(3)?;
        self.key.write(writer)?;
        writer.bytes(self.ciphertext)?;
        writer.bytes(self.aad)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(3)?;
        Ok(Self {
            key: field::key(reader)?,
            ciphertext: field::bytes(reader, MAX_CIPHERTEXT_LEN, "ciphertext")?,
            aad: field::bytes(reader, MAX_AAD_LEN, "aad")?,
        })
    }
}

impl fmt::Debug for Decrypt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decrypt")
            .field("key", &self.key)
            .field("ciphertext", &LenOf(self.ciphertext))
            .field("aad", &LenOf(self.aad))
            .finish()
    }
}

impl Call for Decrypt<'_> {
    const OPERATION: u16 = Operation::Decrypt.to_wire();
    const VERB: &'static str = Operation::Decrypt.as_str();
    type Reply<'r> = Plaintext<'r>;
}

/// The answer to [`Decrypt`].
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Plaintext<'a> {
    /// What was encrypted.
    pub plaintext: &'a [u8],
}

impl<'a> Message<'a> for Plaintext<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        writer.bytes(self.plaintext)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            plaintext: field::data(reader, "plaintext")?,
        })
    }
}

impl fmt::Debug for Plaintext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plaintext")
            .field("plaintext", &LenOf(self.plaintext))
            .finish()
    }
}
