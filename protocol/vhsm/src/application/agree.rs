//! The message `agree`.

use crate::limits::{MAX_INFO_LEN, MAX_PUBLIC_KEY_LEN, MAX_SALT_LEN};
use crate::{Call, KeyName, KeyType, Message, Operation, OperationSet, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `agree`: makes a key of a Diffie-Hellman agreement, as a handle: the shared secret goes through
/// HKDF and never leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agree<'a> {
    /// The vault's side.
    pub key: KeyName<'a>,
    /// The version; `None` is the newest that is not destroyed.
    pub version: Option<u32>,
    /// The other side: a SubjectPublicKeyInfo in DER, or the raw point (X25519: 32 bytes; P-256,
    /// P-384 and P-521: uncompressed).
    pub peer_public: &'a [u8],
    /// The key that is made of it; its name must be free.
    pub new_key: KeyName<'a>,
    /// What the new key is.
    pub key_type: KeyType,
    /// What the new key may be used for; `None` is all that its type can do. It can never do more
    /// than its parent allows.
    pub operations: Option<OperationSet>,
    /// HKDF's salt; may be empty.
    pub salt: &'a [u8],
    /// What tells this new key from others of the same parent (HKDF's `info`).
    pub info: &'a [u8],
}

impl<'a> Message<'a> for Agree<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(8)?;
        self.key.write(writer)?;
        field::write_version(writer, self.version)?;
        writer.bytes(self.peer_public)?;
        self.new_key.write(writer)?;
        writer.text(self.key_type.as_str())?;
        field::write_operations(writer, self.operations)?;
        writer.bytes(self.salt)?;
        writer.bytes(self.info)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(8)?;
        Ok(Self {
            key: KeyName::read(reader, "key")?,
            version: field::version(reader)?,
            peer_public: field::bytes(reader, MAX_PUBLIC_KEY_LEN, "peer-public")?,
            new_key: KeyName::read(reader, "new-key")?,
            key_type: KeyType::read(reader)?,
            operations: reader.optional(OperationSet::read)?,
            salt: field::bytes(reader, MAX_SALT_LEN, "salt")?,
            info: field::bytes(reader, MAX_INFO_LEN, "info")?,
        })
    }
}

impl Call for Agree<'_> {
    const OPERATION: u16 = Operation::Agree.to_wire();
    const VERB: &'static str = Operation::Agree.as_str();
    type Reply<'r> = Agreed;
}

/// The answer to [`Agree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// The vault's version that was used.
    pub parent_version: u32,
    /// The version that was made.
    pub version: u32,
}

impl<'a> Message<'a> for Agreed {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.u64(self.parent_version.into())?;
        writer.u64(self.version.into())
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            parent_version: reader.u32("parent-version")?,
            version: reader.u32("version")?,
        })
    }
}
