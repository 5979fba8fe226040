use super::{Digest, ENTRY_HEAD_LEN};
use crate::limits::{MAX_LABEL_LEN, MAX_REASON_LEN};
use crate::{KeyName, Message, Operation, Status, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// One entry of the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditEntry<'a> {
    /// Its number in the chain, from 1 without gaps.
    pub sequence: u64,
    /// Milliseconds since the machine booted.
    pub boot_ms: u64,
    /// Seconds since 1970, by a clock that the host owns.
    pub wall_secs: u64,
    /// What it is about.
    pub kind: AuditKind,
    /// Who asked; `None` is vhsmd itself.
    pub peer: Option<AuditPeer<'a>>,
    /// The key.
    pub key: Option<KeyName<'a>>,
    /// The key's version; `None` is the key as a whole, or none.
    pub version: Option<u32>,
    /// What was asked.
    pub operation: Option<Operation>,
    /// How it ended.
    pub status: Status,
    /// Which request it was.
    pub request: Option<AuditRequest>,
    /// How many uses the entry stands for; 1 but for [`AuditKind::Uses`] and [`AuditKind::Loss`].
    pub count: u64,
    /// Why, for people; no secret and no digest of one.
    pub reason: &'a str,
    /// The digest of the entry before it; zero for the very first.
    pub previous: &'a Digest,
}

impl AuditEntry<'_> {
    /// Writes the entry with its length before it, as it stands in a file, and gives how long that
    /// became. The entry itself is `buffer[ENTRY_HEAD_LEN..]` up to there.
    ///
    /// # Errors
    /// [`EncodeError::BufferFull`] where the buffer is too short.
    pub fn write(&self, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        let capacity = buffer.len();
        let full = EncodeError::BufferFull { capacity };
        let (head, body) = buffer.split_at_mut_checked(ENTRY_HEAD_LEN).ok_or(full)?;
        let mut writer = Writer::new(body);
        self.encode(&mut writer)?;
        let len = writer.position();
        let announced = u32::try_from(len).map_err(|_| full)?;
        head.copy_from_slice(&announced.to_be_bytes());
        Ok(ENTRY_HEAD_LEN + len)
    }
}

impl<'a> Message<'a> for AuditEntry<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(13)?;
        writer.u64(self.sequence)?;
        writer.u64(self.boot_ms)?;
        writer.u64(self.wall_secs)?;
        writer.u64(self.kind.to_wire())?;
        writer.optional(self.peer, |writer, peer| peer.encode(writer))?;
        writer.optional(self.key, |writer, key| key.write(writer))?;
        field::write_version(writer, self.version)?;
        writer.optional(self.operation, |writer, operation| {
            writer.text(operation.as_str())
        })?;
        writer.u64(self.status.to_wire().into())?;
        writer.optional(self.request, |writer, request| request.encode(writer))?;
        writer.u64(self.count)?;
        writer.text(self.reason)?;
        writer.bytes(self.previous)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(13)?;
        Ok(Self {
            sequence: reader.u64()?,
            boot_ms: reader.u64()?,
            wall_secs: reader.u64()?,
            kind: AuditKind::read(reader)?,
            peer: reader.optional(AuditPeer::decode)?,
            key: reader.optional(field::key)?,
            version: field::version(reader)?,
            operation: reader.optional(read_operation)?,
            status: read_status(reader)?,
            request: reader.optional(AuditRequest::decode)?,
            count: reader.u64()?,
            reason: field::line(reader, MAX_REASON_LEN, "reason")?,
            previous: reader.byte_array("previous")?,
        })
    }
}

fn read_operation(reader: &mut Reader<'_>) -> Result<Operation, DecodeError> {
    let at = reader.position();
    let field = "operation";
    field::text(reader, MAX_LABEL_LEN, field)?
        .parse()
        .map_err(|_| DecodeError::OutOfRange { at, field })
}

fn read_status(reader: &mut Reader<'_>) -> Result<Status, DecodeError> {
    let at = reader.position();
    let field = "status";
    Status::from_wire(reader.u16(field)?).ok_or(DecodeError::OutOfRange { at, field })
}

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditKind {
    /// vhsmd began.
    Start,
    /// vhsmd ended in order.
    Stop,
    /// Something was refused.
    Denial,
    /// A key came to be, changed its state or its policy, or went.
    Lifecycle,
    /// A secret was released.
    Release,
    /// An attestation round ended.
    Round,
    /// A policy was taken or refused.
    Policy,
    /// Uses of one key by one peer, added up.
    Uses,
    /// Entries that could not be written, added up.
    Loss,
}

impl AuditKind {
    /// Every kind, at the index of its number.
    pub const ALL: [Self; 9] = [
        Self::Start,
        Self::Stop,
        Self::Denial,
        Self::Lifecycle,
        Self::Release,
        Self::Round,
        Self::Policy,
        Self::Uses,
        Self::Loss,
    ];

    /// The kind's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Denial => "denial",
            Self::Lifecycle => "lifecycle",
            Self::Release => "release",
            Self::Round => "round",
            Self::Policy => "policy",
            Self::Uses => "uses",
            Self::Loss => "loss",
        }
    }

    /// The kind's number.
    pub const fn to_wire(self) -> u64 {
        self as u64
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        let number = reader.u64()?;
        Self::ALL
            .into_iter()
            .find(|kind| kind.to_wire() == number)
            .ok_or(DecodeError::OutOfRange { at, field: "kind" })
    }
}

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditPeer<'a> {
    /// Its user.
    pub uid: u32,
    /// Its process.
    pub pid: u32,
    /// Its system unit.
    pub unit: Option<&'a str>,
}

impl<'a> Message<'a> for AuditPeer<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(3)?;
        writer.u64(self.uid.into())?;
        writer.u64(self.pid.into())?;
        writer.optional(self.unit, Writer::text)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(3)?;
        Ok(Self {
            uid: reader.u32("uid")?,
            pid: reader.u32("pid")?,
            unit: reader.optional(|reader| field::name(reader, "unit"))?,
        })
    }
}

/// Which request it was: both numbers that `why` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditRequest {
    /// The connection's number since vhsmd began.
    pub connection: u64,
    /// The request's id on that connection.
    pub request: u32,
}

impl<'a> Message<'a> for AuditRequest {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.u64(self.connection)?;
        writer.u64(self.request.into())
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            connection: reader.u64()?,
            request: reader.u32("request")?,
        })
    }
}
