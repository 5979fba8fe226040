//! The message `challenge`.

use crate::agent::AgentOperation;
use crate::limits::{
    MAX_EVIDENCE_LEN, MAX_LABEL_LEN, MAX_NONCE_LEN, MAX_TEE_KEY_FORMS, MAX_TEE_KEY_LEN,
    ROUND_ID_LEN,
};
use crate::{Call, Message, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// What vhsmd says in its `hello` when it takes [`Challenge::tee_keys`]. One that does not say so
/// knows a challenge of three members alone.
pub const TEE_KEYS_FEATURE: &str = "tee-keys";

/// `challenge`: hands over the service's nonce, once a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// The round.
    pub round: [u8; ROUND_ID_LEN],
    /// The nonce as the service sent it.
    pub nonce: &'a str,
    /// The hash that the service chose for the runtime data; `None` is `sha384`.
    pub hash: Option<&'a str>,
    /// The forms of TEE key that the service offers to encrypt to, by their names. It is written only
    /// if there are some, and is the courier's word: what follows from it is the vault's policy.
    pub tee_keys: Vec<&'a str>,
}

impl<'a> Message<'a> for Challenge<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(if self.tee_keys.is_empty() { 3 } else { 4 })?;
        writer.bytes(&self.round)?;
        writer.text(self.nonce)?;
        writer.optional(self.hash, Writer::text)?;
        if self.tee_keys.is_empty() {
            return Ok(());
        }
        field::write_list(writer, &self.tee_keys, |writer, form| writer.text(form))
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let has_tee_keys = reader.clone().array()? == 4;
        reader.array_of(if has_tee_keys { 4 } else { 3 })?;
        Ok(Self {
            round: field::round(reader)?,
            nonce: field::text(reader, MAX_NONCE_LEN, "nonce")?,
            hash: reader.optional(|reader| field::label(reader, MAX_LABEL_LEN, "hash"))?,
            tee_keys: match has_tee_keys {
                true => tee_keys(reader)?,
                false => Vec::new(),
            },
        })
    }
}

/// At least one: that there are none is said by leaving them out, and in no other way.
fn tee_keys<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a str>, DecodeError> {
    let (at, field) = (reader.position(), "tee-keys");
    let forms = field::list(reader, MAX_TEE_KEY_FORMS, field, |reader| {
        field::label(reader, MAX_LABEL_LEN, field)
    })?;
    if forms.is_empty() {
        return Err(DecodeError::OutOfRange { at, field });
    }
    Ok(forms)
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
