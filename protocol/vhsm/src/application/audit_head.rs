//! The message `audit-head`.

use crate::limits::AUDIT_DIGEST_LEN;
use crate::{Call, Empty, Message, Operation};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `audit-head`: the newest entry of the audit's chain, for a witness to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead;

impl<'a> Message<'a> for AuditHead {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        Empty.encode(writer)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Empty::decode(reader).map(|Empty| Self)
    }
}

impl Call for AuditHead {
    const OPERATION: u16 = Operation::AuditHead.to_wire();
    const VERB: &'static str = Operation::AuditHead.as_str();
    type Reply<'r> = Head<'r>;
}

/// The answer to [`AuditHead`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// Its number; 0 is none yet.
    pub sequence: u64,
    /// Its digest in the chain.
    pub digest: &'a [u8; AUDIT_DIGEST_LEN],
}

impl<'a> Message<'a> for Head<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.u64(self.sequence)?;
        writer.bytes(self.digest)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            sequence: reader.u64()?,
            digest: reader.byte_array("digest")?,
        })
    }
}
