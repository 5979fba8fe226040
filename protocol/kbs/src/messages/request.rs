use crate::limits::{MAX_REQUEST_LEN, MAX_TEE_LEN};
use crate::strict_json::{self, JsonError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `POST auth`: asks for a challenge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The protocol's version; a server accepts what [`crate::is_spoken`] says.
    pub version: String,
    /// The kind of evidence that will follow: `snp`, `tdx`, `sample`, …
    pub tee: String,
    /// An object, or `""`; it must be there.
    #[serde(rename = "extra-params")]
    pub extra_params: Value,
}

impl Request {
    /// A request of [`crate::PROTOCOL_VERSION`], which offers SHA-384 alone.
    pub fn new(tee: &str) -> Self {
        Self::of_version(crate::PROTOCOL_VERSION, tee)
    }

    /// The same in another version that is spoken.
    pub fn of_version(version: &str, tee: &str) -> Self {
        Self {
            version: version.to_owned(),
            tee: tee.to_owned(),
            extra_params: serde_json::json!({ "supported-hash-algorithms": ["sha384"] }),
        }
    }

    /// Compact JSON.
    pub fn to_json(&self) -> String {
        super::write(self)
    }
}

/// Reads at most [`MAX_REQUEST_LEN`] bytes. The version is for the server to judge, so that its
/// answer can say which one it speaks.
pub fn parse_request(bytes: &[u8]) -> Result<Request, JsonError> {
    let request: Request = strict_json::read(bytes, MAX_REQUEST_LEN, "auth request")?;
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if request.tee.is_empty() || request.tee.len() > MAX_TEE_LEN || !request.tee.bytes().all(lower)
    {
        return Err(JsonError::OutOfRange {
            what: "auth request",
            member: "tee",
        });
    }
    Ok(request)
}
