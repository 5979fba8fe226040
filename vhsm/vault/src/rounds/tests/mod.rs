//! Rounds on a virtual clock, against a service made of another cryptographic library.

mod challenge;
mod elsewhere;
mod failures;
mod flight;
mod gates;
mod issuer_keys;
mod plaintext;
mod properties;
mod resources;
mod service;
mod signers;
mod tampered;
mod tee_keys;
mod world;
