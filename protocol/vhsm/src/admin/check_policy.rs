//! The message `check-policy`.

use crate::limits::{MAX_LABEL_LEN, MAX_POLICY_TEXT_LEN};
use crate::{Call, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `check-policy`: says what is wrong with a policy file, without taking it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckPolicy<'a> {
    /// What the faults call the file.
    pub name: &'a str,
    /// The file: TOML.
    pub text: &'a str,
}

impl<'a> Message<'a> for CheckPolicy<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.text(self.name)?;
        writer.text(self.text)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            name: field::label(reader, MAX_LABEL_LEN, "name")?,
            text: field::text(reader, MAX_POLICY_TEXT_LEN, "text")?,
        })
    }
}

impl Call for CheckPolicy<'_> {
    const OPERATION: u16 = Operation::CheckPolicy.to_wire();
    const VERB: &'static str = Operation::CheckPolicy.as_str();
    type Reply<'r> = PolicyChecked<'r>;
}

/// The answer to [`CheckPolicy`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyChecked<'a> {
    /// What is wrong; empty is nothing.
    pub faults: Vec<&'a str>,
}

impl<'a> Message<'a> for PolicyChecked<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(1)?;
        field::write_list(writer, &self.faults, |writer, entry| writer.text(entry))
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(1)?;
        Ok(Self {
            faults: field::reasons(reader, "faults")?,
        })
    }
}
