//! Which attestation result opens which resource. Two forms, one [`Decision`]: strict TOML rules
//! ([`Rules`]), decided where they are asked, and Rego ([`RegoModule`]) as Trustee's KBS reads it.
//! No I/O, and no clock of its own but the one that ends an evaluation.
//!
//! ```text
//!                 ┌─ Rules ──────────────────────────────▶ Decision
//!  Question ──────┤                                           ▲
//!  (claims, path) └─ RegoModule ─▶ Request ─▶ Evaluator ─▶ Answer
//!                                  (bytes, so that the evaluator may be in another process)
//! ```
//!
//! Principles:
//!
//! - **What is not allowed is denied**, and says why: no rule that names the resource, a condition
//!   with what was wanted and what was seen, or the fault of a policy by its name ([`RegoFault`]).
//! - **A policy is an input.** Its bytes, lines, nesting and time are bounded here. What an
//!   interpreter allocates, and how deep it calls itself, cannot be bounded from inside: an
//!   [`Evaluator`] belongs into a process that may die (docs/decisions/0034).
//! - **A policy sees what it is given**: the claims, the resource and the reference values. No builtin
//!   function that it can call reaches a network, a file, a clock or chance.
#![forbid(unsafe_code)]

mod decision;
mod evaluator;
mod reference;
mod rego;
mod rules;

pub use decision::{Condition, Decision, Denied, Question, RuleReport};
pub use evaluator::{Answer, Ask, Evaluator, MAX_MESSAGE_LEN, Request, Trace};
pub use reference::{NamedValues, NamedValuesError};
pub use rego::{MAX_MODULE_LEN, ModuleTooLong, RegoFault, RegoModule};
pub use rules::Rules;
