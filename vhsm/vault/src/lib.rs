//! The vault: keys, who may use them, and what has to be proven first. No I/O, no clock, no
//! generator of its own: the daemon brings the peer, the moment ([`Now`]) and the randomness
//! ([`Draw`]), and carries the answers away.
//!
//! ```text
//!  packet ──> Session ── rule? ──> Grant ── key policy? state? time? gate? ──> Access ──> operation
//!                          │                       │
//!                          no: Denied              key missing, gate not approved: Park(Want)
//!                                                  │
//!                              rounds: fetch, verify ──> Keys::commit_provisioned, Gates::approve
//! ```
//!
//! Principles:
//! - **A passed check is a value.** `Grant` (a rule allows it) and `Access` (the key allows it too)
//!   are made by `access.rs` alone; key material is reached through an `Access` and no other way.
//! - **What is left out is denied**, and to a peer without any rule on a name, a key that is not
//!   there looks like one that is.
//! - **Policy is judged at use**, all of it out of one generation. Nothing is copied into keys, so
//!   a new policy can only narrow what is under way. That goes for who signed a key, too: a signer
//!   who is no longer named takes along what it signed.
//! - **Both must allow.** What travels with a key (request or envelope) and what the configuration
//!   says of it are asked separately; neither can widen the other.
//! - **Secrets stay where they are**: arena to arena, from the packet into a record, from the
//!   record into the reply. Nothing secret passes a `Vec`, a `String` or a stack of ours.
//!
//! Three decisions on what happens to keys:
//! - *Destroyed is final.* The material is zeroed and a tombstone keeps name and identity for as
//!   long as the records are kept, so that the name cannot come to mean another key, and old ciphertexts cannot be
//!   answered by one. A destroyed provisioned key is not fetched again: its service is not asked to
//!   undo what an administrator did.
//! - *A key born under a key rule needs one.* When the rule goes away, so does every use: removing
//!   a narrowing must not widen.
//! - *Nonces are counted under generated keys alone*: other machines may hold all others, and one
//!   repeated nonce gives a key's integrity away. Shared `aes-256-gcm` keys seal each message under a
//!   key of its own (XAES-256-GCM); `aes-128-gcm` and `chacha20-poly1305` refuse by name.
//!
//! And of keys that are made out of keys: *nothing is wider than what it came of.* A wrapped key
//! carries its type and its policy; a child has its parent's, and is never a secret or a wrapping
//! key.
#![forbid(unsafe_code)]

mod access;
pub mod audit;
pub mod backup;
mod ciphertext;
mod explain;
mod figures;
mod gate;
mod keys;
mod measured;
mod operations;
mod outcome;
mod peer;
mod permissions;
pub mod policy;
mod refusal;
pub mod rounds;
pub mod seal;
mod session;
mod signers;
mod surroundings;
mod vault;
mod volume;

#[cfg(test)]
mod tests;

pub use explain::Explanation;
pub use figures::Figures;
pub use keys::record::record_written_again;
pub use measured::Measure;
pub use operations::{
    BULK_CHUNK_LEN, BULK_PREFIX_LEN, Bulk, BulkRequest, refuse_bulk, typed_key_written_again,
};
pub use outcome::{AttestCall, DaemonCall, Outcome, StatusRequest, Want};
pub use peer::Peer;
pub use refusal::Refusal;
pub use session::{BatchRefusal, Session, Socket, Used};
pub use signers::{ListTaken, SignerListFault};
pub use surroundings::{Draw, Now, Surroundings};
pub use vault::{Recovery, Vault, VaultLimits};
pub use volume::{ForVolume, VolumeRefusal};
