//! The message `explain`.

use crate::limits::{MAX_LABEL_LEN, MAX_NAME_LEN, MAX_PATH_LEN};
use crate::{Call, KeyName, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `explain`: whether a peer would be allowed an operation on a key, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explain<'a> {
    /// The key; it need not exist.
    pub key: KeyName<'a>,
    /// The operation.
    pub operation: Operation,
    /// Who would ask.
    pub peer: PeerClaim<'a>,
}

impl<'a> Message<'a> for Explain<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(3)?;
        self.key.write(writer)?;
        writer.text(self.operation.as_str())?;
        self.peer.encode(writer)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        const FIELD: &str = "operation";
        reader.array_of(3)?;
        let key = field::key(reader)?;
        let at = reader.position();
        let operation = field::text(reader, MAX_LABEL_LEN, FIELD)?
            .parse()
            .map_err(|_| DecodeError::OutOfRange { at, field: FIELD })?;
        let peer = PeerClaim::decode(reader)?;
        Ok(Self {
            key,
            operation,
            peer,
        })
    }
}

impl Call for Explain<'_> {
    const OPERATION: u16 = Operation::Explain.to_wire();
    const VERB: &'static str = Operation::Explain.as_str();
    type Reply<'r> = Explained<'r>;
}

/// The answer to [`Explain`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained<'a> {
    /// Whether it would be allowed.
    pub allowed: bool,
    /// Why, or why not: each rule and each condition that had a say.
    pub because: Vec<&'a str>,
}

impl<'a> Message<'a> for Explained<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.bool(self.allowed)?;
        field::write_list(writer, &self.because, |writer, entry| writer.text(entry))
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            allowed: reader.bool()?,
            because: field::reasons(reader, "because")?,
        })
    }
}

/// A peer that is asked about and not there; what is `None` is unknown, and no rule that asks for
/// it fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeerClaim<'a> {
    /// Its user.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
    /// Its system unit.
    pub unit: Option<&'a str>,
    /// Its control group, as a path.
    pub cgroup: Option<&'a str>,
    /// SHA-256 of its executable.
    pub executable_digest: Option<&'a [u8; 32]>,
}

impl<'a> Message<'a> for PeerClaim<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(5)?;
        writer.optional(self.uid, |writer, uid| writer.u64(uid.into()))?;
        writer.optional(self.gid, |writer, gid| writer.u64(gid.into()))?;
        writer.optional(self.unit, Writer::text)?;
        writer.optional(self.cgroup, Writer::text)?;
        writer.optional(self.executable_digest, |writer, digest| {
            writer.bytes(digest)
        })
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(5)?;
        Ok(Self {
            uid: reader.optional(|reader| reader.u32("uid"))?,
            gid: reader.optional(|reader| reader.u32("gid"))?,
            unit: reader.optional(|reader| field::label(reader, MAX_NAME_LEN, "unit"))?,
            cgroup: reader.optional(|reader| field::label(reader, MAX_PATH_LEN, "cgroup"))?,
            executable_digest: reader.optional(|reader| reader.byte_array("executable-digest"))?,
        })
    }
}
