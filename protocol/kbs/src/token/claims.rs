use crate::tee_key::TeePublicKey;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;

/// The claims of an attestation result (draft-ietf-rats-ear, in Trustee's shape).
///
/// Members that nobody here judges are tolerated and dropped; those below have their type or the
/// token is refused. What is optional is absent in the tokens of some service; whether that will
/// do is for the one who judges, and absence is never a good answer by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EarClaims {
    /// The form's own name.
    pub eat_profile: String,
    /// Who issued it.
    pub iss: String,
    /// For whom; Trustee's tokens have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// Issued, in seconds since 1970 by the issuer's clock.
    pub iat: u64,
    /// Ends, likewise.
    pub exp: u64,
    /// Begins, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// The verifier's own account of itself.
    #[serde(
        rename = "ear.verifier-id",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub verifier_id: Option<VerifierId>,
    /// The TEE and its devices by name: `cpu0`, `gpu0`, …
    pub submods: BTreeMap<String, Submod>,
    /// Whether the evidence is simulated. Only a Nitride service states it.
    #[serde(
        rename = "nitride.simulated",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub simulated: Option<bool>,
    /// Whether the TEE can be debugged. Only a Nitride service states it here; others state it
    /// among the claims of each TEE.
    #[serde(
        rename = "nitride.debug",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub debug: Option<bool>,
    /// The resources that the token may be used for, `repo/type/tag`; absent: no restriction.
    #[serde(
        rename = "nitride.resources",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub resources: Option<Vec<String>>,
}

/// What built the verifier, and who.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifierId {
    /// The build.
    pub build: String,
    /// The developer.
    pub developer: String,
}

/// What was found about the TEE or one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submod {
    /// The verdict.
    #[serde(rename = "ear.status")]
    pub status: EarStatus,
    /// What the verdict is made of: names and values from -128 to 127 (AR4SI).
    #[serde(
        rename = "ear.trustworthiness-vector",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub trustworthiness_vector: Option<BTreeMap<String, i8>>,
    /// The policy by which it was judged.
    #[serde(
        rename = "ear.appraisal-policy-id",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub appraisal_policy_id: Option<String>,
    /// What the evidence said.
    #[serde(
        rename = "ear.veraison.annotated-evidence",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub annotated_evidence: Option<AnnotatedEvidence>,
}

/// The claims of the evidence, and what it was found to bind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AnnotatedEvidence {
    /// What the hardware signed over, as the verifier writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_data: Option<String>,
    /// What that is the hash of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_data_claims: Option<RuntimeDataClaims>,
    /// The rest by name: the TEE's own claims under its name (`snp`, `sample`, …), `init_data`.
    #[serde(flatten)]
    pub tee_claims: BTreeMap<String, Value>,
}

/// What the evidence binds: challenge and key of a round. Other members are tolerated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeDataClaims {
    /// The public key.
    #[serde(
        rename = "tee-pubkey",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub tee_pubkey: Option<TeePublicKey>,
    /// The challenge's nonce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// A verdict (AR4SI, 2.3.2). Written as text; read as text or as the number of its tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarStatus {
    /// Nothing is said: 0.
    None,
    /// It is what it should be: 2.
    Affirming,
    /// Something deviates: 32.
    Warning,
    /// It is not to be trusted: 96.
    Contraindicated,
}

impl EarClaims {
    /// Compact JSON.
    pub fn to_json(&self) -> String {
        // Names are strings and numbers are integers: there is nothing that fails to serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl EarStatus {
    /// The verdict in text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Affirming => "affirming",
            Self::Warning => "warning",
            Self::Contraindicated => "contraindicated",
        }
    }
}

impl Serialize for EarStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EarStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match (value.as_str(), value.as_u64()) {
            (Some("none"), _) | (_, Some(0)) => Ok(Self::None),
            (Some("affirming"), _) | (_, Some(2)) => Ok(Self::Affirming),
            (Some("warning"), _) | (_, Some(32)) => Ok(Self::Warning),
            (Some("contraindicated"), _) | (_, Some(96)) => Ok(Self::Contraindicated),
            _ => Err(D::Error::custom("ear.status is no verdict")),
        }
    }
}
