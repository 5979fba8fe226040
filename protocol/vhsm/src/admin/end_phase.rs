//! The message `end-phase`.

use crate::admin::Protection;
use crate::{Call, Message, Operation};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `end-phase`: leaves the phase of the boot that the vault belongs to, before the root of the next
/// one is trusted with anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndPhase {
    /// What keeps that root from being changed.
    pub protection: Protection,
}

impl<'a> Message<'a> for EndPhase {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        writer.text(self.protection.as_str())
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        let at = reader.position();
        let protection = reader.text()?.parse();
        let field = "protection";
        Ok(Self {
            protection: protection.map_err(|_| DecodeError::OutOfRange { at, field })?,
        })
    }
}

impl Call for EndPhase {
    const OPERATION: u16 = Operation::EndPhase.to_wire();
    const VERB: &'static str = Operation::EndPhase.as_str();
    type Reply<'r> = PhaseEnded;
}

/// The answer to [`EndPhase`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseEnded {
    /// Whether the next process finds the keys; if not, they have ended.
    pub kept: bool,
}

impl<'a> Message<'a> for PhaseEnded {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        writer.bool(self.kept)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            kept: reader.bool()?,
        })
    }
}
