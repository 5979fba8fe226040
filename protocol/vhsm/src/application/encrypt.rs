//! The message `encrypt`.

use crate::field::LenOf;
use crate::limits::{MAX_AAD_LEN, MAX_CIPHERTEXT_LEN};
use crate::{Call, EncryptionScheme, KeyName, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use std::fmt;

/// `encrypt`: encrypts under a nonce of the vault's own.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Encrypt<'a> {
    /// The key.
    pub key: KeyName<'a>,
    /// How RSA encrypts, `None` being its default; `None` for every other type.
    pub scheme: Option<EncryptionScheme>,
    /// What is encrypted.
    pub plaintext: &'a [u8],
    /// Data that is authenticated and not encrypted; for RSA, OAEP's label.
    pub aad: &'a [u8],
}

impl<'a> Message<'a> for Encrypt<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(4)?;
        self.key.write(writer)?;
        field::write_encryption_scheme(writer, self.scheme)?;
        writer.bytes(self.plaintext)?;
        writer.bytes(self.aad)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(4)?;
        Ok(Self {
            key: field::key(reader)?,
            scheme: field::encryption_scheme(reader)?,
            plaintext: field::data(reader, "plaintext")?,
            aad: field::bytes(reader, MAX_AAD_LEN, "aad")?,
        })
    }
}

impl fmt::Debug for Encrypt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encrypt")
            .field("key", &self.key)
            .field("scheme", &self.scheme)
            .field("plaintext", &LenOf(self.plaintext))
            .field("aad", &LenOf(self.aad))
            .finish()
    }
}

impl Call for Encrypt<'_> {
    const OPERATION: u16 = Operation::Encrypt.to_wire();
    const VERB: &'static str = Operation::Encrypt.as_str();
    type Reply<'r> = Ciphertext<'r>;
}

/// The answer to [`Encrypt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ciphertext<'a> {
    /// The ciphertext with its header, as the CDDL lays it out.
    pub ciphertext: &'a [u8],
}

impl<'a> Message<'a> for Ciphertext<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        writer.bytes(self.ciphertext)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            ciphertext: field::bytes(reader, MAX_CIPHERTEXT_LEN, "ciphertext")?,
        })
    }
}
