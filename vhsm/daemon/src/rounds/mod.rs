//! Rounds, seen from the daemon: who waits for one, the agent that carries it, the helper that
//! makes evidence for it.
//!
//! ```text
//! serve ── park ──> waiting <── settle ── agent ── challenge ──> evidence ──> nitride-quote
//!   ^                  │                    ^
//!   └── woken, resumed ┘                    └── the one agent, over agent.sock
//! ```

mod agent;
mod evidence;
mod inbox;
mod parking;
mod reception;
mod timer;
mod waiting;

pub(crate) use evidence::{MadeEvidence, NoEvidence, ask};
pub(crate) use reception::receive_agents;
pub(crate) use timer::keep_time;
pub(crate) use waiting::{Moment, Parking, Waiter, Waiting, Woken};
