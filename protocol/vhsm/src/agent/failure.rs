//! The message `failure`.

use crate::agent::AgentOperation;
use crate::limits::{MAX_PATH_LEN, MAX_REASON_LEN, ROUND_ID_LEN};
use crate::{Call, Empty, Message, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use std::fmt;

/// `failure`: says that a resource or the whole round cannot be had. A hint, never state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The round.
    pub round: [u8; ROUND_ID_LEN],
    /// The resource; `None` is the whole round.
    pub resource: Option<&'a str>,
    /// What kind of failure.
    pub class: FailureClass,
    /// The reason, for the log.
    pub reason: &'a str,
    /// When the service asks to be tried again, in milliseconds; 0 is unsaid.
    pub retry_after_ms: u32,
}

impl<'a> Message<'a> for Failure<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(5)?;
        writer.bytes(&self.round)?;
        writer.optional(self.resource, Writer::text)?;
        writer.u64(self.class.to_wire())?;
        writer.text(self.reason)?;
        writer.u64(self.retry_after_ms.into())
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(5)?;
        Ok(Self {
            round: field::round(reader)?,
            resource: reader.optional(|reader| field::label(reader, MAX_PATH_LEN, "resource"))?,
            class: FailureClass::read(reader)?,
            reason: field::line(reader, MAX_REASON_LEN, "reason")?,
            retry_after_ms: reader.u32("retry-after-ms")?,
        })
    }
}

impl Call for Failure<'_> {
    const OPERATION: u16 = AgentOperation::Failure.to_wire();
    const VERB: &'static str = AgentOperation::Failure.as_str();
    type Reply<'r> = Empty;
}

/// What kind of failure the agent met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// No connection, or no answer that is of the protocol.
    Unreachable,
    /// The service or its verifier says no.
    Refused,
    /// The service has no such resource.
    NotFound,
    /// The service answers against its own protocol.
    Protocol,
    /// The round's budget is spent.
    TimedOut,
}

impl FailureClass {
    /// Every class, at the index of its number on the wire.
    pub const ALL: [Self; 5] = [
        Self::Unreachable,
        Self::Refused,
        Self::NotFound,
        Self::Protocol,
        Self::TimedOut,
    ];

    /// The class's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::NotFound => "not-found",
            Self::Protocol => "protocol",
            Self::TimedOut => "timed-out",
        }
    }

    /// The class's number on the wire.
    pub const fn to_wire(self) -> u64 {
        match self {
            Self::Unreachable => 0,
            Self::Refused => 1,
            Self::NotFound => 2,
            Self::Protocol => 3,
            Self::TimedOut => 4,
        }
    }

    /// Reads a class; an unknown number is out of range.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        let number = reader.u64()?;
        Self::ALL
            .into_iter()
            .find(|class| class.to_wire() == number)
            .ok_or(DecodeError::OutOfRange { at, field: "class" })
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
