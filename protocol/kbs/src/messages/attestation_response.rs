use crate::limits::{MAX_TOKEN_LEN, MAX_TOKEN_RESPONSE_LEN};
use crate::strict_json::{self, JsonError};
use serde::{Deserialize, Serialize};

/// The answer to `attest`. It says that the evidence verified, and not what it was found to be
/// worth: a contraindicated result comes as a token, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestationResponse {
    /// The attestation result, an EAR JWT.
    pub token: String,
}

impl AttestationResponse {
    /// Compact JSON.
    pub fn to_json(&self) -> String {
        super::write(self)
    }
}

/// Reads at most [`MAX_TOKEN_RESPONSE_LEN`] bytes.
pub fn parse_attestation_response(bytes: &[u8]) -> Result<AttestationResponse, JsonError> {
    let response: AttestationResponse =
        strict_json::read(bytes, MAX_TOKEN_RESPONSE_LEN, "attest response")?;
    if response.token.is_empty() || response.token.len() > MAX_TOKEN_LEN {
        return Err(JsonError::OutOfRange {
            what: "attest response",
            member: "token",
        });
    }
    Ok(response)
}
