//! What a key's own policy says, as `set-policy` changes it.

use crate::{KeyName, Message, OperationSet, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// Changes to a key's own policy; a field that is `None` leaves what there is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyPolicy<'a> {
    /// What the key may be used for.
    pub operations: Option<OperationSet>,
    /// How often it may be used, all versions together.
    pub max_uses: Option<u64>,
    /// When its time begins, in seconds since 1970.
    pub not_before: Option<u64>,
    /// When its time ends, in seconds since 1970.
    pub not_after: Option<u64>,
    /// How often each peer may use it in a span of time.
    pub rate: Option<Rate>,
    /// The wrapping keys that may wrap it; an empty list: none.
    pub wrappable_by: Option<Vec<KeyName<'a>>>,
    /// The oldest version that still opens and verifies.
    pub min_version: Option<u32>,
}

impl<'a> Message<'a> for KeyPolicy<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(7)?;
        field::write_operations(writer, self.operations)?;
        writer.optional(self.max_uses, Writer::u64)?;
        writer.optional(self.not_before, Writer::u64)?;
        writer.optional(self.not_after, Writer::u64)?;
        writer.optional(self.rate, |writer, rate| rate.encode(writer))?;
        writer.optional(self.wrappable_by.as_ref(), |writer, names| {
            field::write_key_names(writer, names)
        })?;
        field::write_version(writer, self.min_version)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(7)?;
        Ok(Self {
            operations: reader.optional(OperationSet::read)?,
            max_uses: reader.optional(Reader::u64)?,
            not_before: reader.optional(Reader::u64)?,
            not_after: reader.optional(Reader::u64)?,
            rate: reader.optional(Rate::decode)?,
            wrappable_by: reader.optional(|reader| field::key_names(reader, "wrappable-by"))?,
            min_version: reader.optional(|reader| reader.u32("min-version"))?,
        })
    }
}

/// At most so many uses in so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many uses.
    pub uses: u32,
    /// In how many seconds; at least one.
    pub per_secs: u32,
}

impl<'a> Message<'a> for Rate {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.u64(self.uses.into())?;
        writer.u64(self.per_secs.into())
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        let uses = reader.u32("uses")?;
        let at = reader.position();
        match reader.u32("per-secs")? {
            0 => Err(DecodeError::OutOfRange {
                at,
                field: "per-secs",
            }),
            per_secs => Ok(Self { uses, per_secs }),
        }
    }
}
