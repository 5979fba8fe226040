//! The message `challenge`.

use crate::agent::AgentOperation;
use crate::limits::{
    MAX_EVIDENCE_LEN, MAX_LABEL_LEN, MAX_NONCE_LEN, MAX_TEE_KEY_LEN, ROUND_ID_LEN,
};
use crate::{Call, Message, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// `challenge`: hands over the service's nonce, once a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// The round.
    pub round: [u8; ROUND_ID_LEN],
    /// The nonce as the service sent it.
    pub nonce: &'a str,
    /// The hash that the service chose for the runtime data; `None` is `sha384`.
    pub hash: Option<&'a str>,
}

impl<'a> Message<'a> for Challenge<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(3)?;
        writer.bytes(&self.round)?;
        writer.text(self.nonce)?;
        writer.optional(self.hash, Writer::text)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(3)?;
        Ok(Self {
            round: field::round(reader)?,
            nonce: field::text(reader, MAX_NONCE_LEN, "nonce")?,
            hash: reader.optional(|reader| field::label(reader, MAX_LABEL_LEN, "hash"))?,
        })
    }
}

impl Call for Challenge<'_> {
    const OPERATION: u16 = AgentOperation::Challenge.to_wire();
    const VERB: &'static str = AgentOperation::Challenge.as_str();
    type Reply<'r> = Evidence<'r>;
}

/// The answer to [`Challenge`]: all that the service needs to judge this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence<'a> {
    /// The round's public key as JWK (RFC 7517), members in the order of RFC 8785.
    pub tee_pubkey: &'a str,
    /// Evidence of the CPU, as JSON.
    pub primary_evidence: &'a str,
    /// Evidence of devices, as JSON; empty is none.
    pub additional_evidence: &'a str,
    /// Initial data, as JSON.
    pub init_data: Option<&'a str>,
}

impl<'a> Message<'a> for Evidence<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(4)?;
        writer.text(self.tee_pubkey)?;
        writer.text(self.primary_evidence)?;
        writer.text(self.additional_evidence)?;
        writer.optional(self.init_data, Writer::text)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array_of(4)?;
        Ok(Self {
            tee_pubkey: field::text(reader, MAX_TEE_KEY_LEN, "tee-pubkey")?,
            primary_evidence: field::text(reader, MAX_EVIDENCE_LEN, "primary-evidence")?,
            additional_evidence: field::text(reader, MAX_EVIDENCE_LEN, "additional-evidence")?,
            init_data: reader
                .optional(|reader| field::text(reader, MAX_EVIDENCE_LEN, "init-data"))?,
        })
    }
}
