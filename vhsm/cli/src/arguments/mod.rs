use crate::exit;
mod parts;
mod verb;

#[cfg(test)]
mod tests;

pub(crate) use parts::*;
pub(crate) use verb::{PolicyVerb, PublicForm, Verb};

use clap::{Args, Parser};
use std::path::PathBuf;
use std::time::Duration;

/// Use the keys of vhsmd: the confidential VM's key vault.
#[derive(Debug, Parser)]
#[command(name = "vhsm", version, after_help = exit::table())]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Where vhsmd is and how it is talked to.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArguments {
    /// The application socket
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        default_value = "/run/vhsm/vhsm.sock"
    )]
    pub(crate) socket: PathBuf,
    /// The admin socket, which import, destroy, rotate, set-policy and the like use
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        default_value = "/run/vhsm/admin.sock"
    )]
    pub(crate) admin_socket: PathBuf,
    /// Use the admin socket also for describe, list, enable, disable, status and audit-head
    #[arg(long, global = true)]
    pub(crate) admin: bool,
    /// How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all
    #[arg(long, global = true, value_name = "SECS", default_value = "30", value_parser = seconds)]
    pub(crate) wait: Duration,
    /// Print JSON, also for errors
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let parsed = text
        .parse()
        .ok()
        .and_then(|secs| Duration::try_from_secs_f64(secs).ok());
    parsed.ok_or_else(|| "not a number of seconds".into())
}
