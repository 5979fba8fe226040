//! The configuration: `vhsmd.toml` and the policy folder, strict TOML, read into validated values.
//!
//! ```text
//! vhsmd.toml ──> Config       what this process is: sockets, arenas, limits; fixed until a restart
//!          └───> Anchors ─┐   services and signers; read again on reload
//! policy.d/*.toml ────────┴─> PolicySet   who may do what; taken whole or not at all
//! ```
//!
//! An error names the file, the line, the reason and the remedy. Nothing has a default that allows.

mod audit;
mod boot;
mod credential;
mod disk_key;
mod document;
mod file;
mod gate_rule;
mod key_rule;
mod keys;
mod limits;
mod metrics;
mod one_or_many;
mod peers;
mod policy;
mod policy_folder;
mod policy_remedy;
mod public_key;
mod quantity;
mod recipient;
mod seal;
mod service;
mod signer;
mod sockets;
#[cfg(test)]
mod tests;
mod time;

pub(crate) use audit::{AuditSettings, WhenFull};
pub(crate) use boot::{AcrossSwitchRoot, Boot};
pub(crate) use credential::Credential;
pub(crate) use disk_key::DiskKey;
pub(crate) use document::{ConfigError, Document};
pub(crate) use file::{AgentPeer, Config, Evidence};
pub(crate) use keys::Manual;
pub(crate) use metrics::MetricsSettings;
pub(crate) use policy::{check as check_policy, load as load_policy};
pub(crate) use seal::SealSettings;
pub(crate) use signer::SignerFile;
pub(crate) use sockets::SocketPath;
