//! The message `evidence`.

use crate::limits::{MAX_EVIDENCE_LEN, MAX_LABEL_LEN, REPORT_DATA_LEN};
use crate::quote::QuoteOperation;
use crate::{Call, Message, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `evidence`: asks for evidence over report data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvidenceRequest<'a> {
    /// The TEE it must come from; the helper refuses any other than its own.
    pub tee: &'a str,
    /// What the evidence is to be bound to.
    pub report_data: &'a [u8; REPORT_DATA_LEN],
    /// Whether everything else that waits for the device goes first: a round does not wait for what
    /// an application has attested.
    pub yields: bool,
}

impl<'a> Message<'a> for EvidenceRequest<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(3)?;
        writer.text(self.tee)?;
        writer.bytes(self.report_data)?;
        writer.bool(self.yields)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(3)?;
        Ok(Self {
            tee: field::label(reader, MAX_LABEL_LEN, "tee")?,
            report_data: reader.byte_array("report-data")?,
            yields: reader.bool()?,
        })
    }
}

impl Call for EvidenceRequest<'_> {
    const OPERATION: u16 = QuoteOperation::Evidence.to_wire();
    const VERB: &'static str = QuoteOperation::Evidence.as_str();
    type Reply<'r> = EvidenceReply<'r>;
}

/// The answer to [`EvidenceRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvidenceReply<'a> {
    /// The TEE it came from.
    pub tee: &'a str,
    /// Evidence of the CPU, as JSON.
    pub primary_evidence: &'a str,
    /// Evidence of devices, as JSON; empty is none.
    pub additional_evidence: &'a str,
}

impl<'a> Message<'a> for EvidenceReply<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(3)?;
        writer.text(self.tee)?;
        writer.text(self.primary_evidence)?;
        writer.text(self.additional_evidence)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(3)?;
        Ok(Self {
            tee: field::label(reader, MAX_LABEL_LEN, "tee")?,
            primary_evidence: field::text(reader, MAX_EVIDENCE_LEN, "primary-evidence")?,
            additional_evidence: field::text(reader, MAX_EVIDENCE_LEN, "additional-evidence")?,
        })
    }
}
