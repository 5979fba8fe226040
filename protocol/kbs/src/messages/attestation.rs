use crate::audit_head::AuditHead;
use crate::limits::{MAX_ATTESTATION_LEN, MAX_NONCE_LEN};
use crate::strict_json::{self, Closed, JsonError};
use crate::tee_key::TeePublicKey;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// `POST attest`: the evidence, and what it is made over.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// What the guest was started with. The member must be there, if only as `null`.
    #[serde(rename = "init-data", deserialize_with = "stated")]
    pub init_data: Option<InitData>,
    /// What the evidence binds.
    #[serde(rename = "runtime-data")]
    pub runtime_data: RuntimeData,
    /// The evidence itself.
    #[serde(rename = "tee-evidence")]
    pub tee_evidence: TeeEvidence,
}

/// Configuration whose hash the hardware measured at launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitData {
    /// `toml`.
    pub format: String,
    /// The text that was hashed, byte for byte.
    pub body: String,
}

impl InitData {
    /// Compact JSON.
    pub fn to_json(&self) -> String {
        super::write(self)
    }
}

/// The challenge's nonce and the public key of this round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeData {
    /// As the challenge had it.
    pub nonce: String,
    /// What resources are to be encrypted to.
    #[serde(rename = "tee-pubkey")]
    pub tee_pubkey: TeePublicKey,
    /// How far the vault's audit has come. Sent only to a service that offers to witness it.
    #[serde(
        rename = "nitride-audit-head",
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "not_null"
    )]
    pub audit_head: Option<AuditHead>,
}

/// Evidence of the primary device and of those attached to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeeEvidence {
    /// JSON whose form depends on the TEE, verbatim: only its verifier reads it, and refuses in it a
    /// member named twice.
    pub primary_evidence: Box<RawValue>,
    /// A text that holds JSON, `""` without devices. It is hashed into report_data as it stands.
    pub additional_evidence: String,
}

impl Closed for Attestation {}

impl Attestation {
    /// Puts a request together from what the vault and the evidence helper gave.
    ///
    /// `tee_pubkey` and `primary_evidence` are JSON; an error names the one that is not.
    pub fn compose(
        nonce: &str,
        tee_pubkey: &str,
        primary_evidence: &str,
        additional_evidence: &str,
        init_data: Option<InitData>,
    ) -> Result<Self, JsonError> {
        let tee_pubkey = strict_json::read(
            tee_pubkey.as_bytes(),
            crate::limits::MAX_TEE_KEY_LEN,
            "tee public key",
        )?;
        let primary_evidence: Box<RawValue> = strict_json::read(
            primary_evidence.as_bytes(),
            MAX_ATTESTATION_LEN,
            "primary evidence",
        )?;
        Ok(Self {
            init_data,
            runtime_data: RuntimeData {
                nonce: nonce.to_owned(),
                tee_pubkey,
                audit_head: None,
            },
            tee_evidence: TeeEvidence {
                primary_evidence,
                additional_evidence: additional_evidence.to_owned(),
            },
        })
    }

    /// The same, of evidence that binds the head of the vault's audit.
    #[must_use]
    pub fn with_audit_head(mut self, head: Option<AuditHead>) -> Self {
        self.runtime_data.audit_head = head;
        self
    }

    /// Compact JSON, with the primary evidence as it was given.
    pub fn to_json(&self) -> String {
        super::write(self)
    }
}

/// Reads at most [`MAX_ATTESTATION_LEN`] bytes. The primary evidence is JSON and nothing more is known of
/// it; everywhere else no member is named twice.
pub fn parse_attestation(bytes: &[u8]) -> Result<Attestation, JsonError> {
    let what = "attest request";
    let attestation: Attestation = strict_json::read_closed(bytes, MAX_ATTESTATION_LEN, what)?;
    let nonce = &attestation.runtime_data.nonce;
    if nonce.is_empty() || nonce.len() > MAX_NONCE_LEN {
        return Err(JsonError::OutOfRange {
            what,
            member: "nonce",
        });
    }
    Ok(attestation)
}

/// That there is none is said by leaving the member out, and in no other way.
fn not_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<AuditHead>, D::Error> {
    AuditHead::deserialize(deserializer).map(Some)
}

/// serde takes an absent `Option` for `None`, unless the field says how it is read.
fn stated<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<InitData>, D::Error> {
    Option::deserialize(deserializer)
}
