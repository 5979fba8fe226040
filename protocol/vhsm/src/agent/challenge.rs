//! The message `challenge`.

use crate::agent::AgentOperation;
use crate::application::Head;
use crate::limits::{
    MAX_EVIDENCE_LEN, MAX_LABEL_LEN, MAX_NONCE_LEN, MAX_TEE_KEY_FORMS, MAX_TEE_KEY_LEN,
    ROUND_ID_LEN,
};
use crate::{Call, Message, field};
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};

/// What vhsmd says in its `hello` when it takes [`Challenge::tee_keys`]. One that does not say so
/// knows a challenge of three members alone.
pub const TEE_KEYS_FEATURE: &str = "tee-keys";

/// What vhsmd says in its `hello` when it takes [`Challenge::wants_audit_head`].
pub const AUDIT_HEAD_FEATURE: &str = "audit-head";

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
    /// Whether the service witnesses the head of the vault's audit. It is written only if it does.
    pub wants_audit_head: bool,
}

impl<'a> Message<'a> for Challenge<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        let has_tee_keys = !self.tee_keys.is_empty();
        writer.array(3 + usize::from(has_tee_keys) + usize::from(self.wants_audit_head))?;
        writer.bytes(&self.round)?;
        writer.text(self.nonce)?;
        writer.optional(self.hash, Writer::text)?;
        if has_tee_keys {
            field::write_list(writer, &self.tee_keys, |writer, form| writer.text(form))?;
        }
        if self.wants_audit_head {
            writer.bool(true)?;
        }
        Ok(())
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let len = reader.clone().array()?.clamp(3, 5);
        reader.array_of(len)?;
        let round = field::round(reader)?;
        let nonce = field::text(reader, MAX_NONCE_LEN, "nonce")?;
        let hash = reader.optional(|reader| field::label(reader, MAX_LABEL_LEN, "hash"))?;
        // Of two members that may be left out, a list is the one and a flag the other.
        let has_tee_keys = len == 5 || len == 4 && reader.clone().bool().is_err();
        let tee_keys = match has_tee_keys {
            true => tee_keys(reader)?,
            false => Vec::new(),
        };
        let has_flag = len == 5 || len == 4 && !has_tee_keys;
        Ok(Self {
            round,
            nonce,
            hash,
            tee_keys,
            wants_audit_head: has_flag && wants_audit_head(reader)?,
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

/// That it is not wanted is said by leaving it out, and in no other way.
fn wants_audit_head(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    let (at, field) = (reader.position(), "wants-audit-head");
    match reader.bool()? {
        true => Ok(true),
        false => Err(DecodeError::OutOfRange { at, field }),
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
    /// The head of the audit that the evidence binds, where it was wanted and there is one.
    pub audit_head: Option<Head<'a>>,
}

impl<'a> Message<'a> for Evidence<'a> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(if self.audit_head.is_some() { 5 } else { 4 })?;
        writer.text(self.tee_pubkey)?;
        writer.text(self.primary_evidence)?;
        writer.text(self.additional_evidence)?;
        writer.optional(self.init_data, Writer::text)?;
        match &self.audit_head {
            Some(head) => head.encode(writer),
            None => Ok(()),
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let has_head = reader.clone().array()? == 5;
        reader.array_of(if has_head { 5 } else { 4 })?;
        Ok(Self {
            tee_pubkey: field::text(reader, MAX_TEE_KEY_LEN, "tee-pubkey")?,
            primary_evidence: field::text(reader, MAX_EVIDENCE_LEN, "primary-evidence")?,
            additional_evidence: field::text(reader, MAX_EVIDENCE_LEN, "additional-evidence")?,
            init_data: reader
                .optional(|reader| field::text(reader, MAX_EVIDENCE_LEN, "init-data"))?,
            audit_head: has_head.then(|| Head::decode(reader)).transpose()?,
        })
    }
}
