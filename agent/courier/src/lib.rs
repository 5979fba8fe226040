//! The agent's side of an attestation round, as a pure state machine.
//!
//! ```text
//!  vhsmd                     this room                         provisioning service
//!    │  order ─────────────────> │                                      │
//!    │                           │ ── POST auth ──────────────────────> │
//!    │ <───── challenge(nonce) ─ │ <───────────── nonce, cookie ─────── │
//!    │  evidence, public key ──> │ ── POST attest ────────────────────> │
//!    │ <──────── result(token) ─ │ <───────────────────── token ─────── │
//!    │                           │ ── GET resource ───────────────────> │   once for each
//!    │ <──────── resource(JWE) ─ │ <─────────────────────── JWE ─────── │
//!    │ <─────────────── finish ─ │                                      │
//! ```
//!
//! * **Blind.** Nothing here holds a private key or a plaintext, and nothing here makes report
//!   data: the vault does, over a nonce that this room only carries. Tokens and cookies are
//!   credentials and never shown. The exception is a round that the vault orders in the clear
//!   (`Round::begin_in_clear`): a login at OpenBao or Vault in the place of the first three steps, and
//!   each resource as it was read.
//! * **Pure.** [`Round::step`] takes an event, the time and some randomness, and returns the one
//!   [`Effect`] to carry out next. Sockets, TLS and clocks are the shell's.
//! * **Bounded.** A round ends within its order's budget whatever arrives; a part of the budget is
//!   kept to tell the vault how it ended. Answers have greatest lengths.
//! * **Whatever the service says is hearsay.** It is carried with the class of error that it seems
//!   to be ([`Failure`]); the vault takes it as a hint.
//!
//! Of several endpoints the healthy one of the lowest priority number is asked. One that cannot be
//! reached is left for the next, and after all of them comes a back-off with jitter. The vault
//! takes one challenge a round, so after it the round stays with its nonce: another endpoint gets
//! the same cookie and, for resources, the token as a bearer, and its refusal does not count as
//! the service's.
#![forbid(unsafe_code)]

mod answer;
mod backoff;
mod cookies;
#[cfg(feature = "openbao")]
mod direct;
#[cfg(not(feature = "openbao"))]
#[path = "no_direct.rs"]
mod direct;
mod effect;
mod endpoints;
mod fault;
mod http;
mod order;
mod round;
mod stage;
#[cfg(test)]
mod tests;
mod tries;

pub use backoff::Backoff;
#[cfg(feature = "openbao")]
pub use direct::Secrets;
pub use effect::{Effect, Ending, Outcome, Question, VaultAnswer};
pub use endpoints::{EndpointHealth, EndpointId, Endpoints, MAX_ENDPOINTS, MAX_SHUN_MS};
pub use fault::Failure;
pub use http::{HttpAnswer, HttpRequest, Method, TransportFault};
pub use order::{MAX_BUDGET_MS, Order, OrderError};
pub use round::{Event, Round};
