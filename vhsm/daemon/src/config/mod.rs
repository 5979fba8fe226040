//! The configuration: `vhsmd.toml` and the policy folder, strict TOML, read into validated values.
//!
//! ```text
//! vhsmd.toml ──> Config       what this process is: sockets, arenas, limits; fixed until a restart
//!          └───> Anchors ─┐   services and signers; read again on reload
//! policy.d/*.toml ────────┴─> PolicySet   who may do what; taken whole or not at all
//! ```
//!
//! An error names the file, the line, the reason and the remedy. Nothing has a default that allows.

mod disk_key;
mod document;
mod file;
mod gate_rule;
mod key_rule;
mod limits;
mod peers;
mod policy;
mod public_key;
mod quantity;
mod sockets;
#[cfg(test)]
mod tests;
mod time;

pub(crate) use disk_key::DiskKey;
pub(crate) use document::{ConfigError, Document};
pub(crate) use file::{AgentPeer, Config, Evidence};
pub(crate) use policy::load as load_policy;
pub(crate) use sockets::SocketPath;
