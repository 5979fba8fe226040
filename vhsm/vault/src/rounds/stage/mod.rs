//! A round's stages, each a type of its own: what a stage does not have cannot be asked of it.
//!
//! ```text
//! Wanted ──order()──> Ordered ──challenge()──> Challenged ──settle()──> Vec<Settled>
//!   collects wants      fixed: what, until when   has the TEE key           │
//!                          ├──────────settle()──────────────────────────────┤
//!                          └── of a service in the clear: InClear ──settle()┘
//! ```
//!
//! The TEE key is in [`Challenged`] alone, so it is erased with the stage, however that ends.

mod challenged;
mod in_clear;
mod ordered;
mod wanted;

pub(super) use challenged::{Challenged, RoundKey};
pub(super) use in_clear::InClear;
pub(super) use ordered::Ordered;
pub(super) use wanted::Wanted;

use super::{RoundId, Settled};
use crate::Want;
use crate::gate::Gates;
use crate::keys::Keys;
use crate::policy::{ActivePolicy, CurrentPolicy};
use crate::signers::SignerLists;
use nitride_protocol::agent::RoundCause;
use std::collections::HashMap;

/// What deliveries are committed to.
pub(super) struct Destination<'v> {
    pub(super) policy: &'v ActivePolicy,
    pub(super) keys: &'v Keys,
    pub(super) gates: &'v Gates,
    pub(super) current: &'v CurrentPolicy,
    pub(super) lists: &'v SignerLists,
}

/// A round that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) round: RoundId,
    pub(super) service: String,
    pub(super) cause: RoundCause,
    pub(super) room: usize,
    pub(super) settled: Vec<Settled>,
    /// The services that are left to ask for a want, where there are any.
    pub(super) spares: HashMap<Want, Vec<String>>,
    pub(super) retry_after_ms: u32,
}
