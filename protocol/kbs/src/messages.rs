//! `auth` and `attest` as JSON (KBS protocol 0.4.0), one message a file.
//!
//! What a server of ours receives is read strictly: an unknown member is an error. What a service
//! sends to us may carry members that we do not know, since others add them; nothing is taken from
//! those. Kebab-case and snake_case are mixed just as the protocol mixes them.

mod attestation;
mod attestation_response;
mod challenge;
mod error_information;
mod request;

pub use attestation::{Attestation, InitData, RuntimeData, TeeEvidence, parse_attestation};
pub use attestation_response::{AttestationResponse, parse_attestation_response};
pub use challenge::{Challenge, parse_challenge};
pub use error_information::{ErrorInformation, parse_error_information};
pub use request::{Request, parse_request};

/// Writes a message whose members are all strings, arrays and string-keyed objects: those cannot
/// fail to serialise, and if one ever did the empty text is JSON for nobody.
fn write(message: &impl serde::Serialize) -> String {
    serde_json::to_string(message).unwrap_or_default()
}

#[cfg(test)]
mod tests;
