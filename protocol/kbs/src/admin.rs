//! What an administrator of a KBS sends to say who he is: a JWT.
//!
//! Who may do what is for the service. As with the attestation result, claims come out only after a
//! signature check that the caller brings, and no key that a header names is ever looked at.

mod token;

pub use token::{AdminClaims, AdminTokenError, SignatureAlgorithm, UnverifiedAdminToken};
