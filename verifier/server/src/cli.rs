//! The command line. Secrets never stand in an argument: they come from files or standard input.

pub(crate) mod admin;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod generated;
pub(crate) mod import;
pub(crate) mod keys;
mod opened_store;
pub(crate) mod policy;
pub(crate) mod resource;
pub(crate) mod revoke;
pub(crate) mod rings;
pub(crate) mod signer_list;
pub(crate) mod witness;

use crate::reload_socket;
use crate::serve::serve;
use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// The reference provisioning service of Nitride, and the tools of those who own its resources.
///
/// Exit status: 0 done, 1 failed, 2 wrong usage.
#[derive(Debug, Parser)]
#[command(name = "nitride-provisiond", version)]
pub(crate) struct Cli {
    /// What is logged to standard error: error, warn, info, debug, trace.
    #[arg(long, global = true, default_value = "info", value_name = "LEVEL")]
    pub(crate) log_level: tracing::level_filters::LevelFilter,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the KBS protocol until SIGTERM; SIGHUP reloads policies, certificate and keys.
    Serve {
        #[command(flatten)]
        config: ConfigPath,
        /// Where `reload` asks; the service's user and root may.
        #[arg(long, value_name = "PATH")]
        reload_socket: Option<PathBuf>,
    },
    /// Have a running service reload, as SIGHUP does, and wait until it has.
    ///
    /// Fails where the reload is refused, and says why: the service goes on by what held before.
    Reload {
        /// The service's `--reload-socket`.
        #[arg(long, value_name = "PATH")]
        socket: PathBuf,
    },
    /// Sign, store, list and delete resources.
    #[command(subcommand)]
    Resource(Box<resource::Command>),
    /// Sign the list of the keys that sign envelopes, which vaults follow.
    #[command(subcommand)]
    SignerList(signer_list::Command),
    /// Write everything that the store holds into one file, encrypted.
    Backup(backup::Backup),
    /// Put what a backup holds into the store.
    Restore(backup::Restore),
    /// Take over what another service keeps.
    #[command(subcommand)]
    Import(import::Command),
    /// Ask a running service, as one of its admins: for resources, policies, reference values and
    /// revocations.
    ///
    /// Exit status: 0 done; 1 failed here; 2 wrong usage; 3 not permitted; 4 there is no such thing;
    /// 5 another version is there than was expected; 6 refused as it is: see what is told; 7 not now: the
    /// service is not reached, is not ready, or is asked too much.
    Admin(admin::Admin),
    /// The key that signs envelopes, or the list of those that do; its public half is pinned by
    /// every vault.
    #[command(subcommand)]
    OwnerKey(keys::PairCommand),
    /// The key that signs attestation results; its public half is pinned by every gate.
    #[command(subcommand)]
    TokenKey(rings::TokenKeyCommand),
    /// The 32 bytes that the store's files are protected with.
    #[command(subcommand)]
    StoreKey(keys::SecretCommand),
    /// The 32 bytes that challenges are authenticated with, the same on every replica.
    #[command(subcommand)]
    ChallengeKey(rings::ChallengeKeyCommand),
    /// The token of the HTTP admin.
    #[command(subcommand)]
    AdminToken(keys::SecretCommand),
    /// Check the audit's files, and print what they say of vaults' audits.
    #[command(subcommand)]
    Audit(audit::Command),
    /// The kill switch: what gets nothing any more.
    #[command(subcommand)]
    Revoke(revoke::Command),
    /// What the service made for machines on their first request.
    #[command(subcommand)]
    Generated(generated::Command),
    /// What was witnessed of vaults' audits.
    #[command(subcommand)]
    Witness(witness::Command),
    /// Check policy files.
    #[command(subcommand)]
    Policy(policy::Command),
}

impl Command {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Serve {
                config,
                reload_socket,
            } => serve(&config.config, reload_socket.as_deref()),
            Self::Reload { socket } => {
                let asked = reload_socket::ask(&socket);
                asked.with_context(|| format!("reload by {}", socket.display()))
            }
            Self::Resource(command) => command.run(),
            Self::SignerList(command) => command.run(),
            Self::OwnerKey(command) => command.run(),
            Self::TokenKey(command) => command.run(),
            Self::Backup(backup) => backup.run(),
            Self::Restore(restore) => restore.run(),
            Self::Import(command) => command.run(),
            Self::Admin(admin) => admin.run(),
            Self::StoreKey(command) => command.run(),
            Self::ChallengeKey(command) => command.run(),
            Self::AdminToken(command) => command.run_as_token(),
            Self::Audit(command) => command.run(),
            Self::Revoke(command) => command.run(),
            Self::Generated(command) => command.run(),
            Self::Witness(command) => command.run(),
            Self::Policy(command) => command.run(),
        }
    }
}

/// The configuration file.
#[derive(Debug, Args)]
pub(crate) struct ConfigPath {
    /// The configuration file, provisiond.toml.
    #[arg(long, value_name = "PATH")]
    pub(crate) config: PathBuf,
}

#[cfg(test)]
mod tests;
