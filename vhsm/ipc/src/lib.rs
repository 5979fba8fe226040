//! Local sockets and who is at their other end, and whose files a daemon obeys.
//!
//! ```text
//! Listener ──accept──> Connection ──recv/send──> one packet each, never a part of one
//!                          │
//!                          └─peer::resolve──> PeerIdentity: uid, gid, groups, unit, pinned by a pidfd
//! ```
//!
//! What a peer says about itself is not asked: the kernel says who it is. A process that has gone
//! is a different answer ([`peer::IdentityError::PeerGone`]) from a kernel that cannot tell
//! ([`peer::IdentityError::KernelTooOld`]), and neither becomes an identity with holes in it.
//!
//! `sys.rs` alone has unsafe code.

mod cgroup;
pub mod clock;
mod connection;
pub mod listen_fds;
mod listener;
pub mod memory;
pub mod message;
pub mod peer;
pub mod process;
pub mod stream;
mod sys;
pub mod trusted_file;

pub use connection::{ConnectError, Connection, NextPacket, Patience, RecvError, SendError};
pub use listener::{AcceptError, BindError, Listener};
pub use sys::PIDFD_GET_INFO;
