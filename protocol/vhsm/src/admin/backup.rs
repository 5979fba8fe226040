//! The message `backup`.

use crate::limits::{MAX_CURSOR_LEN, MAX_LABEL_LEN, MAX_SEALED_LEN};
use crate::{Call, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `backup`: a part of the vault's keys, sealed to a recipient that the configuration pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backup<'a> {
    /// The recipient's name in the configuration.
    pub recipient: &'a str,
    /// Where to go on; `None` is the beginning.
    pub cursor: Option<&'a [u8]>,
}

impl<'a> Message<'a> for Backup<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.text(self.recipient)?;
        writer.optional(self.cursor, |writer, cursor| writer.bytes(cursor))
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            recipient: field::label(reader, MAX_LABEL_LEN, "recipient")?,
            cursor: reader.optional(|reader| field::bytes(reader, MAX_CURSOR_LEN, "cursor"))?,
        })
    }
}

impl Call for Backup<'_> {
    const OPERATION: u16 = Operation::Backup.to_wire();
    const VERB: &'static str = Operation::Backup.as_str();
    type Reply<'r> = BackedUp<'r>;
}

/// The answer to [`Backup`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackedUp<'a> {
    /// A part of the backup.
    pub sealed: &'a [u8],
    /// Where the next part begins; `None` is the end.
    pub next: Option<&'a [u8]>,
}

impl<'a> Message<'a> for BackedUp<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.bytes(self.sealed)?;
        writer.optional(self.next, |writer, cursor| writer.bytes(cursor))
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            sealed: field::bytes(reader, MAX_SEALED_LEN, "sealed")?,
            next: reader.optional(|reader| field::bytes(reader, MAX_CURSOR_LEN, "next"))?,
        })
    }
}
