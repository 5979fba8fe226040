//! The message `attest`.

use super::Head;
use crate::limits::{MAX_ATTEST_DATA_LEN, MAX_EVIDENCE_LEN, MAX_LABEL_LEN, REPORT_DATA_LEN};
use crate::{Call, Message, Operation, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `attest`: fresh evidence of the TEE over the caller's data.
///
/// The report data is SHA-384 over `nitride attest v1`, a zero byte and the data, so that it can
/// never stand in for a round; with the head of the audit it is [`crate::audit::head_report`], which
/// begins otherwise, so that neither stands in for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attest<'a> {
    /// What the evidence is bound to.
    pub data: &'a [u8],
    /// Whether to the head of the audit as well, which takes the right to read that.
    pub audit_head: bool,
}

impl<'a> Message<'a> for Attest<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(2)?;
        writer.bytes(self.data)?;
        writer.bool(self.audit_head)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(2)?;
        Ok(Self {
            data: field::bytes(reader, MAX_ATTEST_DATA_LEN, "data")?,
            audit_head: reader.bool()?,
        })
    }
}

impl Call for Attest<'_> {
    const OPERATION: u16 = Operation::Attest.to_wire();
    const VERB: &'static str = Operation::Attest.as_str();
    type Reply<'r> = Attested<'r>;
}

/// The answer to [`Attest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attested<'a> {
    /// Where it comes from; `sample` proves nothing.
    pub tee: &'a str,
    /// What the evidence is over.
    pub report_data: &'a [u8; REPORT_DATA_LEN],
    /// JSON.
    pub primary_evidence: &'a str,
    /// JSON; may be empty.
    pub additional_evidence: &'a str,
    /// The head of the audit that it is over; `None` where none was asked for.
    pub audit_head: Option<Head<'a>>,
}

impl<'a> Message<'a> for Attested<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(5)?;
        writer.text(self.tee)?;
        writer.bytes(self.report_data)?;
        writer.text(self.primary_evidence)?;
        writer.text(self.additional_evidence)?;
        writer.optional(self.audit_head, |writer, head| head.encode(writer))
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(5)?;
        Ok(Self {
            tee: field::label(reader, MAX_LABEL_LEN, "tee")?,
            report_data: reader.byte_array("report-data")?,
            primary_evidence: field::text(reader, MAX_EVIDENCE_LEN, "primary-evidence")?,
            additional_evidence: field::text(reader, MAX_EVIDENCE_LEN, "additional-evidence")?,
            audit_head: reader.optional(Head::decode)?,
        })
    }
}
