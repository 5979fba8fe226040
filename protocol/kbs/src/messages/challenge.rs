use crate::limits::{MAX_CHALLENGE_LEN, MAX_NONCE_LEN};
use crate::strict_json::{self, JsonError};
use crate::tee_key::TeeKeyForm;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The member of `extra-params` that names another hash than SHA-384.
const SELECTED_HASH: &str = "selected-hash-algorithm";

/// The member of `extra-params` that lists the forms of TEE key that a service of ours takes. Other
/// clients pass it over.
const TEE_KEYS: &str = "nitride-tee-keys";
/// The member that is `true` where a service of ours witnesses the head of a vault's audit.
const AUDIT_HEAD: &str = "nitride-audit-head";
/// The member that is `true` where a service of ours takes a token in a body, too.
const TOKEN_IN_BODY: &str = "nitride-token-in-body";

/// The answer to `auth`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Challenge {
    /// An opaque text, 1 to [`MAX_NONCE_LEN`] bytes.
    pub nonce: String,
    /// An object, or `""`.
    #[serde(rename = "extra-params")]
    pub extra_params: Value,
}

impl Challenge {
    /// The hash that the service chose for report_data; `None` is SHA-384.
    pub fn selected_hash(&self) -> Option<&str> {
        self.extra_params.get(SELECTED_HASH)?.as_str()
    }

    /// A challenge of a service that takes these forms of TEE key, and tokens in a body.
    pub fn offering(nonce: String, tee_keys: &[TeeKeyForm]) -> Self {
        let names: Vec<&str> = tee_keys.iter().map(|form| form.as_str()).collect();
        Self {
            nonce,
            extra_params: serde_json::json!({ TEE_KEYS: names, TOKEN_IN_BODY: true }),
        }
    }

    /// The same, of a service that witnesses the heads of vaults' audits.
    #[must_use]
    pub fn witnessing(mut self) -> Self {
        if let Value::Object(params) = &mut self.extra_params {
            params.insert(AUDIT_HEAD.to_owned(), Value::Bool(true));
        }
        self
    }

    /// Whether the service says that it witnesses the head of a vault's audit.
    pub fn witnesses_audit_head(&self) -> bool {
        self.extra_params.get(AUDIT_HEAD) == Some(&Value::Bool(true))
    }

    /// The forms of TEE key that the service says it takes, each once. Empty where it says nothing,
    /// or nothing that is known here: it takes P-256 all the same.
    pub fn tee_keys(&self) -> Vec<TeeKeyForm> {
        let offered = self.extra_params.get(TEE_KEYS).and_then(Value::as_array);
        let is_offered = |form: &TeeKeyForm| {
            let mut names = offered.into_iter().flatten();
            names.any(|name| name.as_str() == Some(form.as_str()))
        };
        TeeKeyForm::ALL.into_iter().filter(is_offered).collect()
    }

    /// Whether the service says that it takes a token in a body where a header is too short for it.
    pub fn takes_token_in_body(&self) -> bool {
        self.extra_params.get(TOKEN_IN_BODY) == Some(&Value::Bool(true))
    }

    /// Compact JSON.
    pub fn to_json(&self) -> String {
        super::write(self)
    }
}

/// Reads at most [`MAX_CHALLENGE_LEN`] bytes.
pub fn parse_challenge(bytes: &[u8]) -> Result<Challenge, JsonError> {
    let challenge: Challenge = strict_json::read(bytes, MAX_CHALLENGE_LEN, "challenge")?;
    if challenge.nonce.is_empty() || challenge.nonce.len() > MAX_NONCE_LEN {
        return Err(JsonError::OutOfRange {
            what: "challenge",
            member: "nonce",
        });
    }
    let selected = challenge.extra_params.get(SELECTED_HASH);
    // What is no text would pass for "nothing was selected".
    if selected.is_some_and(|hash| !hash.is_string()) {
        return Err(JsonError::OutOfRange {
            what: "challenge",
            member: SELECTED_HASH,
        });
    }
    Ok(challenge)
}
