//! How the agent is doing: a line for systemd, and a whole report for whoever asks.
//!
//! ```text
//! run ──> line ── notify ──> systemd
//!    └──> report ── status.sock ──> nitride-agent status ──> text, or JSON as it is
//! ```
//!
//! None of it is a secret: no token, no cookie, nothing that was carried. Who may ask is the mode of
//! the socket.

mod ask;
mod line;
mod report;
mod serve;
mod show;

pub(crate) use ask::ask;
pub(crate) use line::{Line, Tally, tell};
pub(crate) use report::{Agent, Report};
pub(crate) use serve::StatusSocket;
