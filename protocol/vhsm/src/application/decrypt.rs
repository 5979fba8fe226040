//! The message `decrypt`.

use crate::field::LenOf;
use crate::limits::{MAX_AAD_LEN, MAX_CIPHERTEXT_LEN, RAW_NONCE_LEN};
use crate::{Call, EncryptionScheme, KeyName, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use std::fmt;

/// `decrypt`: decrypts what `encrypt` made; the ciphertext's header names the version.
///
/// With a `nonce` it decrypts what another program made under an imported or provisioned key: the
/// ciphertext then is what the cipher gives, with the tag, and without a header. RSA ciphertexts
/// have no header either.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Decrypt<'a> {
    /// The key.
    pub key: KeyName<'a>,
    /// The version, where no header names it; `None` is the newest that is not destroyed.
    pub version: Option<u32>,
    /// How RSA encrypts, `None` being its default; `None` for every other type.
    pub scheme: Option<EncryptionScheme>,
    /// The ciphertext with its header, as the CDDL lays it out.
    pub ciphertext: &'a [u8],
    /// Data that is authenticated and not encrypted; for RSA, OAEP's label.
    pub aad: &'a [u8],
    /// The nonce of a ciphertext that has no header.
    pub nonce: Option<&'a [u8; RAW_NONCE_LEN]>,
}

impl<'a> Message<'a> for Decrypt<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(6)?;
        self.key.write(writer)?;
        field::write_version(writer, self.version)?;
        field::write_encryption_scheme(writer, self.scheme)?;
        writer.bytes(self.ciphertext)?;
        writer.bytes(self.aad)?;
        writer.optional(self.nonce, |writer, nonce| writer.bytes(nonce))
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(6)?;
        Ok(Self {
            key: field::key(reader)?,
            version: field::version(reader)?,
            scheme: field::encryption_scheme(reader)?,
            ciphertext: field::bytes(reader, MAX_CIPHERTEXT_LEN, "ciphertext")?,
            aad: field::bytes(reader, MAX_AAD_LEN, "aad")?,
            nonce: reader.optional(|reader| reader.byte_array("nonce"))?,
        })
    }
}

impl fmt::Debug for Decrypt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decrypt")
            .field("key", &self.key)
            .field("version", &self.version)
            .field("scheme", &self.scheme)
            .field("ciphertext", &LenOf(self.ciphertext))
            .field("aad", &LenOf(self.aad))
            .field("nonce", &self.nonce)
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
