//! The message `plaintext`.

use crate::agent::AgentOperation;
use crate::field::LenOf;
use crate::limits::{MAX_PATH_LEN, MAX_PLAINTEXT_LEN, ROUND_ID_LEN};
use crate::{Call, Empty, Message, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use std::fmt;

/// `plaintext`: delivers one resource that the agent has read, in a round whose order says so.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct PlaintextResource<'a> {
    /// The round.
    pub round: [u8; ROUND_ID_LEN],
    /// The path that was asked for, as `repository/type/tag`.
    pub resource: &'a str,
    /// Which version of the secret the service gave, from 1.
    pub version: u32,
    /// For how long the service says that it may be kept, in seconds, from 1; `None`: it does not say.
    pub lease_secs: Option<u64>,
    /// The resource: an envelope, or a key's bytes.
    pub material: &'a [u8],
}

impl<'a> Message<'a> for PlaintextResource<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(5)?;
        writer.bytes(&self.round)?;
        writer.text(self.resource)?;
        writer.u64(self.version.into())?;
        writer.optional(self.lease_secs, Writer::u64)?;
        writer.bytes(self.material)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(5)?;
        Ok(Self {
            round: field::round(reader)?,
            resource: field::label(reader, MAX_PATH_LEN, "resource")?,
            version: version(reader)?,
            lease_secs: reader.optional(lease_secs)?,
            material: field::bytes(reader, MAX_PLAINTEXT_LEN, "material")?,
        })
    }
}

/// Versions count from 1.
fn version(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let at = reader.position();
    match reader.u32("version")? {
        0 => Err(DecodeError::OutOfRange {
            at,
            field: "version",
        }),
        version => Ok(version),
    }
}

/// Nothing is brought to be kept for no time.
fn lease_secs(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let at = reader.position();
    match reader.u64()? {
        0 => Err(DecodeError::OutOfRange {
            at,
            field: "lease-secs",
        }),
        secs => Ok(secs),
    }
}

impl fmt::Debug for PlaintextResource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlaintextResource")
            .field("round", &self.round)
            .field("resource", &self.resource)
            .field("version", &self.version)
            .field("lease_secs", &self.lease_secs)
            .field("material", &LenOf(self.material))
            .finish()
    }
}

impl Call for PlaintextResource<'_> {
    const OPERATION: u16 = AgentOperation::Plaintext.to_wire();
    const VERB: &'static str = AgentOperation::Plaintext.as_str();
    type Reply<'r> = Empty;
}
