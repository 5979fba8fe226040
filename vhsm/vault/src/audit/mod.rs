//! The audit, without its files: what is recorded of what, how entries are chained, how much room
//! they need, and what is added up before it is written. The form of an entry is
//! [`nitride_protocol::audit`]; where the bytes go is the daemon's.
//!
//! ```text
//! denial ──> Denials ── written at once, or counted ──┐
//! use ─────────────────> Uses, added up ──────────────┼──> Event ──> Chain ──> bytes
//! act ── Room first ── the act ── its outcome ────────┘
//! ```
//!
//! Principles:
//! - **Room before the act.** What is done has its entry: room for the longest one is set aside
//!   before, and given back if nothing was done.
//! - **Nobody fills it alone.** Equal denials of one second are one entry with a count, a user has
//!   so many different ones, and uses are added up by key, peer and second.
//! - **An event has no field for a payload**, and its texts are made fit for a line here.

mod chain;
mod concern;
mod denials;
mod line;
mod room;
mod uses;

pub use chain::{Chain, Event};
pub use concern::{Concern, is_denial};
pub use denials::{Denial, Denials, Told};
pub use line::line;
pub use nitride_protocol::audit::{AuditKind, AuditPeer, AuditRequest, Digest};
pub use room::{NoRoom, Room, UNIT_LEN};
pub use uses::{Use, UsePeer, Uses};
