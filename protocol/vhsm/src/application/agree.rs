//! The message `agree`.

use super::{Child, ChildMade};
use crate::limits::MAX_PUBLIC_KEY_LEN;
use crate::{Call, KeyName, Message, Operation, field};
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
    /// The key that is made of it.
    pub child: Child<'a>,
    /// HKDF's salt; may be empty.
    pub salt: &'a [u8],
}

impl<'a> Message<'a> for Agree<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(8)?;
        field::write_key_and_version(writer, self.key, self.version)?;
        writer.bytes(self.peer_public)?;
        self.child.write_salted(writer, self.salt)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(8)?;
        let (key, version) = field::key_and_version(reader)?;
        let peer_public = field::bytes(reader, MAX_PUBLIC_KEY_LEN, "peer-public")?;
        let (child, salt) = Child::read_salted(reader)?;
        Ok(Self {
            key,
            version,
            peer_public,
            child,
            salt,
        })
    }
}

impl Call for Agree<'_> {
    const OPERATION: u16 = Operation::Agree.to_wire();
    const VERB: &'static str = Operation::Agree.as_str();
    type Reply<'r> = ChildMade;
}
