use crate::limits::MAX_ERROR_LEN;
use crate::strict_json::{self, JsonError};
use serde::{Deserialize, Serialize};

/// What stands before the variant's name in `type`.
const ERROR_TYPES: &str = "https://github.com/confidential-containers/kbs/errors/";

/// The body of every refusal. Status codes differ between services for one cause, so branch on
/// [`ErrorInformation::variant`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorInformation {
    /// A URI that ends in the variant's name.
    #[serde(rename = "type")]
    pub error_type: String,
    /// A sentence for the operator.
    pub detail: String,
}

impl ErrorInformation {
    /// An error of the protocol's own types.
    pub fn new(variant: &str, detail: &str) -> Self {
        Self {
            error_type: format!("{ERROR_TYPES}{variant}"),
            detail: detail.to_owned(),
        }
    }

    /// The variant's name, such as `PolicyDeny`; the whole type where it is not of this protocol.
    pub fn variant(&self) -> &str {
        self.error_type
            .strip_prefix(ERROR_TYPES)
            .unwrap_or(&self.error_type)
    }

    /// The version that a service names in its refusal of another one, if it is spoken here.
    pub fn spoken_version(&self) -> Option<&str> {
        let is_part = |c: char| c.is_ascii_digit() || c == '.';
        let words = self.detail.split(|c: char| !is_part(c));
        words
            .map(|word| word.trim_end_matches('.'))
            .find(|word| crate::is_spoken(word))
    }

    /// Compact JSON.
    pub fn to_json(&self) -> String {
        super::write(self)
    }
}

/// Reads at most [`MAX_ERROR_LEN`] bytes.
pub fn parse_error_information(bytes: &[u8]) -> Result<ErrorInformation, JsonError> {
    strict_json::read(bytes, MAX_ERROR_LEN, "error body")
}
