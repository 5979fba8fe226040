//! The message `describe`.

use crate::limits::{MAX_PATH_LEN, MAX_VERSIONS_LEN};
use crate::{Call, KeyName, KeyState, KeyType, Message, Operation, OperationSet, Origin, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `describe`: what a key is and which versions it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Describe<'a> {
    /// The key.
    pub key: KeyName<'a>,
}

impl<'a> Message<'a> for Describe<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        self.key.write(writer)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            key: field::key(reader)?,
        })
    }
}

impl Call for Describe<'_> {
    const OPERATION: u16 = Operation::Describe.to_wire();
    const VERB: &'static str = Operation::Describe.as_str();
    type Reply<'r> = Description<'r>;
}

/// The answer to [`Describe`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description<'a> {
    /// What the key is made of.
    pub key_type: KeyType,
    /// Whether the key as a whole can be used.
    pub state: KeyState,
    /// Where its material came from.
    pub origin: Origin,
    /// The resource it is provisioned from.
    pub origin_uri: Option<&'a str>,
    /// What it may be used for at all.
    pub operations: OperationSet,
    /// The gate that must be open before it is used.
    pub gate: Option<&'a str>,
    /// When its first version came to be, in seconds since 1970 by the wall clock; 0 is unknown.
    pub created_secs: u64,
    /// Seconds until its lease ends.
    pub lease_secs_left: Option<u64>,
    /// The oldest version that still opens and verifies.
    pub min_version: u32,
    /// How often it may be used, all versions together.
    pub max_uses: Option<u64>,
    /// How often it may still be used.
    pub uses_left: Option<u64>,
    /// When its time begins, in seconds since 1970.
    pub not_before: Option<u64>,
    /// When its time ends, in seconds since 1970.
    pub not_after: Option<u64>,
    /// The wrapping keys that may wrap it.
    pub wrappable_by: Vec<KeyName<'a>>,
    /// Its versions, oldest first; the newest where there are more than fit.
    pub versions: Vec<VersionInfo>,
}

impl<'a> Message<'a> for Description<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(15)?;
        writer.text(self.key_type.as_str())?;
        writer.u64(self.state.to_wire())?;
        writer.u64(self.origin.to_wire())?;
        writer.optional(self.origin_uri, Writer::text)?;
        self.operations.write(writer)?;
        writer.optional(self.gate, Writer::text)?;
        writer.u64(self.created_secs)?;
        writer.optional(self.lease_secs_left, Writer::u64)?;
        writer.u64(self.min_version.into())?;
        writer.optional(self.max_uses, Writer::u64)?;
        writer.optional(self.uses_left, Writer::u64)?;
        writer.optional(self.not_before, Writer::u64)?;
        writer.optional(self.not_after, Writer::u64)?;
        field::write_key_names(writer, &self.wrappable_by)?;
        field::write_list(writer, &self.versions, |writer, entry| entry.encode(writer))
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(15)?;
        Ok(Self {
            key_type: KeyType::read(reader)?,
            state: KeyState::read(reader)?,
            origin: Origin::read(reader)?,
            origin_uri: reader
                .optional(|reader| field::label(reader, MAX_PATH_LEN, "origin-uri"))?,
            operations: OperationSet::read(reader)?,
            gate: reader.optional(|reader| field::name(reader, "gate"))?,
            created_secs: reader.u64()?,
            lease_secs_left: reader.optional(Reader::u64)?,
            min_version: reader.u32("min-version")?,
            max_uses: reader.optional(Reader::u64)?,
            uses_left: reader.optional(Reader::u64)?,
            not_before: reader.optional(Reader::u64)?,
            not_after: reader.optional(Reader::u64)?,
            wrappable_by: field::key_names(reader, "wrappable-by")?,
            versions: field::list(reader, MAX_VERSIONS_LEN, "versions", VersionInfo::decode)?,
        })
    }
}

/// A version in a [`Description`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionInfo {
    /// Its number.
    pub version: u32,
    /// Whether it can be used.
    pub state: KeyState,
    /// How often it has been used.
    pub uses: u64,
    /// Whether the agent has read it: it came in a round in the clear.
    pub plaintext_courier: bool,
}

impl<'a> Message<'a> for VersionInfo {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        field::write_marked_array(writer, 3, self.plaintext_courier)?;
        writer.u64(self.version.into())?;
        writer.u64(self.state.to_wire())?;
        writer.u64(self.uses)?;
        field::write_mark(writer, self.plaintext_courier)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let is_marked = field::marked_array(reader, 3)?;
        Ok(Self {
            version: reader.u32("version")?,
            state: KeyState::read(reader)?,
            uses: reader.u64()?,
            plaintext_courier: field::mark(reader, is_marked, "plaintext-courier")?,
        })
    }
}
