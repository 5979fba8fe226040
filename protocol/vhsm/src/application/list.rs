//! The message `list`.

use crate::limits::{MAX_LIST_LEN, MAX_NAME_LEN};
use crate::{Call, KeyName, KeyState, KeyType, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `list`: keys that the caller may list, in the order of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List<'a> {
    /// What the names start with; empty is all.
    pub prefix: &'a str,
    /// The last name of the page before.
    pub after: Option<KeyName<'a>>,
    /// How many at most; the server may give fewer, and says so by `more`.
    pub max: u32,
}

impl<'a> Message<'a> for List<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(3)?;
        writer.text(self.prefix)?;
        writer.optional(self.after, |writer, name| name.write(writer))?;
        writer.u64(self.max.into())
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(3)?;
        Ok(Self {
            prefix: field::text(reader, MAX_NAME_LEN, "prefix")?,
            after: reader.optional(|reader| KeyName::read(reader, "after"))?,
            max: reader.u32("max")?,
        })
    }
}

impl Call for List<'_> {
    const OPERATION: u16 = Operation::List.to_wire();
    const VERB: &'static str = Operation::List.as_str();
    type Reply<'r> = Listing<'r>;
}

/// The answer to [`List`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<'a> {
    /// The keys.
    pub entries: Vec<ListEntry<'a>>,
    /// Whether keys follow; ask on with `after` as the last name here.
    pub more: bool,
}

impl<'a> Message<'a> for Listing<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        field::write_list(writer, &self.entries, |writer, entry| entry.encode(writer))?;
        writer.bool(self.more)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            entries: field::list(reader, MAX_LIST_LEN, "entries", ListEntry::decode)?,
            more: reader.bool()?,
        })
    }
}

/// A key in a [`Listing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListEntry<'a> {
    /// The key.
    pub key: KeyName<'a>,
    /// What it is made of.
    pub key_type: KeyType,
    /// Whether it can be used.
    pub state: KeyState,
    /// The number of its newest version; 0 is none yet.
    pub newest_version: u32,
    /// Whether the agent has read a version of it.
    pub plaintext_courier: bool,
}

impl<'a> Message<'a> for ListEntry<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        field::write_marked_array(writer, 4, self.plaintext_courier)?;
        self.key.write(writer)?;
        writer.text(self.key_type.as_str())?;
        writer.u64(self.state.to_wire())?;
        writer.u64(self.newest_version.into())?;
        field::write_mark(writer, self.plaintext_courier)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let is_marked = field::marked_array(reader, 4)?;
        Ok(Self {
            key: field::key(reader)?,
            key_type: KeyType::read(reader)?,
            state: KeyState::read(reader)?,
            newest_version: reader.u32("newest-version")?,
            plaintext_courier: field::mark(reader, is_marked, "plaintext-courier")?,
        })
    }
}
