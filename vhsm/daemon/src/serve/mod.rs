//! The application and the admin socket: who is there, what they ask, and what that costs.
//!
//! ```text
//! accept ── identity, quota ──> thread: Conversation
//!                                  packet ──> vault.perform ──> reply
//!                                                │
//!                                                └─ something is missing ──> ParkedRequest,
//!                                                   which holds no thread, and is performed again
//! ```
//!
//! A connection has a thread, since that answers soonest: one wake-up a request; those beyond a
//! bound share a few workers (`shard`). Packets and replies
//! stand in the arena (`buffers`); what a user takes of it is counted (`quota`).

mod accept;
mod attest;
mod buffers;
mod bulk;
mod conversation;
mod leaving;
mod link;
mod loan;
mod parked;
mod perform;
mod quota;
mod reply_len;
mod seat;
mod shard;
mod shared;
mod spin;
mod stake;

pub(crate) use accept::accept_all;
pub(crate) use attest::{Attesting, attest_all};
pub(crate) use link::{Link, PeerChanged};
pub(crate) use parked::{ParkedRequest, resume_all};
pub(crate) use quota::{Ceilings, Quota, QuotaExceeded};
pub(crate) use shard::{MAX_THREADS, Shards};
