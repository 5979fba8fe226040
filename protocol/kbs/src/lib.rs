//! What the KBS protocol puts on the wire, and what travels inside it.
//!
//! No I/O, no policy and no secret arithmetic: this room turns hostile bytes into typed values, or
//! into an error with a name, in memory bounded by [`limits`]. What a value is worth is for others
//! to judge: the vault, the verifier, the server.
//!
//! ```text
//!   messages       auth and attest, as JSON                 courier <-> provisioning service
//!   tee_key        the public key of a round, as a JWK      vault --> everyone
//!   nonce          a challenge that authenticates itself     service <-> service
//!   report_data    what the hardware signs over             vault, verifier
//!   audit_head     how far a vault's audit has come         vault --> service
//!   token          the attestation result, an EAR JWT       service --> vault
//!   jwe            a resource, encrypted to the TEE key     service --> vault
//!     └ envelope   the resource itself, signed by its owner owner --> vault
//!   signer_list    whose signatures count, signed by its owner's list key   owner --> vault
//!   wanted         which resources a token is to be for      vault --> service
//!   admin          who administers, as a JWT                admin --> service
//!   disk           which LUKS2 volume a passphrase is for    owner --> nitride-unlock
//! ```
//!
//! Three principles:
//! - **Allegations have their own types.** [`token::UnverifiedToken`], [`nonce::UnverifiedNonce`] and
//!   [`envelope::UnverifiedEnvelope`] give up their contents only to a caller who brings a
//!   signature check.
//! - **One spelling.** Base64url is taken without padding and without stray bits, the envelope in
//!   deterministic CBOR alone, and a JSON object may not name a member twice.
//! - **The envelope's plaintext is a secret.** It is read borrowed; no part of this room copies it.
//!   (The encoding side runs where the owner keeps the secret anyway, and does copy.)
#![forbid(unsafe_code)]

mod base64url;
mod cose;
mod strict_json;

pub mod admin;
pub mod audit_head;
pub mod disk;
pub mod envelope;
pub mod jwe;
pub mod limits;
pub mod messages;
pub mod nonce;
pub mod report_data;
pub mod resource;
pub mod signer_list;
pub mod tee_key;
pub mod token;
pub mod wanted;

pub use strict_json::JsonError;

/// The version of the KBS protocol that a client says first.
pub const PROTOCOL_VERSION: &str = "0.4.0";

/// What every version that is spoken begins with: below 1.0 the second number says what is
/// compatible (semver.org, 4), and the third says nothing of the wire.
const SPOKEN: &str = "0.4.";

/// Whether a version of the protocol is spoken here: any of 0.4.
pub fn is_spoken(version: &str) -> bool {
    version.strip_prefix(SPOKEN).is_some_and(|patch| {
        let is_number = patch.bytes().all(|byte| byte.is_ascii_digit());
        is_number && matches!(patch.len(), 1..=4) && (patch == "0" || !patch.starts_with('0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_0_4_is_spoken_and_nothing_else() {
        for version in [PROTOCOL_VERSION, "0.4.1", "0.4.10", "0.4.9999"] {
            assert!(is_spoken(version), "{version}");
        }
        for version in [
            "",
            "0.4",
            "0.4.",
            "0.4.00",
            "0.4.01",
            "0.4.-1",
            "0.4.1-rc",
            "0.4.1.2",
            "0.40.0",
            "0.3.0",
            "0.5.0",
            "1.4.0",
            "00.4.0",
            " 0.4.0",
            "0.4.99999",
            "0.4.\u{661}",
        ] {
            assert!(!is_spoken(version), "{version}");
        }
    }
}
