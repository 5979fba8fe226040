use crate::limits::{MAX_CHALLENGE_LEN, MAX_NONCE_LEN};
use crate::strict_json::{self, JsonError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The member of `extra-params` that names another hash than SHA-384.
const SELECTED_HASH: &str = "selected-hash-algorithm";

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
