//! The message `next-round`.

use crate::agent::AgentOperation;
use crate::limits::{MAX_LABEL_LEN, MAX_PATH_LEN, MAX_RESOURCES_PER_ROUND, ROUND_ID_LEN};
use crate::{Call, Message, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use std::fmt;

/// What vhsmd says in its `hello` when it takes [`NextRound::also_cause`]. One that does not say so
/// knows the question without members alone.
pub const ROUND_CAUSE_FEATURE: &str = "round-cause";
/// What vhsmd says there when it may have the agent read what a service gives, and takes
/// [`NextRound::takes_plaintext`].
pub const PLAINTEXT_FEATURE: &str = "plaintext";
/// What is asked for beside the order.
const ALSO: [&str; 2] = ["cause", "plaintext"];

/// `next-round`: asks for work. The reply is held back until a round is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NextRound {
    /// Whether the order is to say [`RoundOrder::cause`]: who does not ask would not understand it.
    pub also_cause: bool,
    /// Whether the agent reads what it is told to, by [`RoundOrder::plaintext`].
    pub takes_plaintext: bool,
}

impl<'a> Message<'a> for NextRound {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        let [cause, plaintext] = ALSO;
        let asked = [(self.also_cause, cause), (self.takes_plaintext, plaintext)];
        field::write_also(writer, asked)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let [also_cause, takes_plaintext] = field::also(reader, ALSO, "also")?;
        Ok(Self {
            also_cause,
            takes_plaintext,
        })
    }
}

impl Call for NextRound {
    const OPERATION: u16 = AgentOperation::NextRound.to_wire();
    const VERB: &'static str = AgentOperation::NextRound.as_str();
    type Reply<'r> = RoundOrder<'r>;
}

/// The answer to [`NextRound`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundOrder<'a> {
    /// The round's id, to be given with all that belongs to it.
    pub round: [u8; ROUND_ID_LEN],
    /// The service to go to, by its name in both configurations.
    pub service: &'a str,
    /// The TEE to announce in the service's protocol.
    pub tee: &'a str,
    /// The resources to fetch, as `repository/type/tag`.
    pub resources: Vec<&'a str>,
    /// Whether the attestation result must be delivered.
    pub result_wanted: bool,
    /// How long the round may take, in milliseconds.
    pub budget_ms: u32,
    /// Why there is a round, for people; to who asks for it.
    pub cause: Option<RoundCause>,
    /// Whether the agent is to read what it brings: no challenge, and each resource by `plaintext`. Told
    /// to who takes it; to others the round is one in which nothing that they bring is taken.
    pub plaintext: bool,
}

impl<'a> Message<'a> for RoundOrder<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(match (self.cause, self.plaintext) {
            (_, true) => 8,
            (Some(_), false) => 7,
            (None, false) => 6,
        })?;
        writer.bytes(&self.round)?;
        writer.text(self.service)?;
        writer.text(self.tee)?;
        field::write_list(writer, &self.resources, |writer, entry| writer.text(entry))?;
        writer.bool(self.result_wanted)?;
        writer.u64(self.budget_ms.into())?;
        match (self.cause.map(RoundCause::to_wire), self.plaintext) {
            (cause, true) => {
                writer.optional(cause, Writer::u64)?;
                writer.bool(true)
            }
            (Some(cause), false) => writer.u64(cause),
            (None, false) => Ok(()),
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let len = reader.clone().array()?.clamp(6, 8);
        reader.array_of(len)?;
        Ok(Self {
            round: field::round(reader)?,
            service: field::name(reader, "service")?,
            tee: field::label(reader, MAX_LABEL_LEN, "tee")?,
            resources: field::list(reader, MAX_RESOURCES_PER_ROUND, "resources", |reader| {
                field::label(reader, MAX_PATH_LEN, "resources")
            })?,
            result_wanted: reader.bool()?,
            budget_ms: reader.u32("budget-ms")?,
            cause: match len {
                6 => None,
                7 => Some(RoundCause::read(reader)?),
                _ => reader.optional(RoundCause::read)?,
            },
            plaintext: field::mark(reader, len == 8, "plaintext")?,
        })
    }
}

/// Why there is a round: of several reasons, the first in this order. It changes nothing of what is
/// done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RoundCause {
    /// Somebody waits for it.
    Request,
    /// A key is to be there before anybody asks.
    Prefetch,
    /// A lease is to be renewed.
    Renewal,
}

impl RoundCause {
    /// Every cause, at the index of its number on the wire.
    pub const ALL: [Self; 3] = [Self::Request, Self::Prefetch, Self::Renewal];

    /// The cause's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Prefetch => "prefetch",
            Self::Renewal => "renewal",
        }
    }

    /// The cause's number on the wire.
    pub const fn to_wire(self) -> u64 {
        match self {
            Self::Request => 0,
            Self::Prefetch => 1,
            Self::Renewal => 2,
        }
    }

    /// Reads a cause; an unknown number is out of range.
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        let number = reader.u64()?;
        Self::ALL
            .into_iter()
            .find(|cause| cause.to_wire() == number)
            .ok_or(DecodeError::OutOfRange { at, field: "cause" })
    }
}

impl fmt::Display for RoundCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
