use clap::{Parser, Subcommand};
use std::io::stderr;
use std::path::PathBuf;
use tracing::level_filters::LevelFilter;

/// Carries challenges, evidence and ciphertext between vhsmd and provisioning services.
#[derive(Debug, Parser)]
#[command(name = "nitride-agent", version)]
pub(crate) struct Arguments {
    /// The configuration file
    #[arg(long, value_name = "PATH", default_value = "/etc/nitride/agent.toml")]
    pub(crate) config: PathBuf,
    /// What is logged to standard error: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: LevelFilter,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What is asked of the agent that runs, instead of being one.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show each service: how its endpoints are, its last error and when it is tried next
    Status {
        /// As one line of JSON
        #[arg(long)]
        json: bool,
        /// The agent's status socket, instead of the configuration's
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
    },
}

impl Arguments {
    /// Logs to standard error. `RUST_LOG` is not read: who starts us says what is logged. Only our
    /// own words are, since what a library says of a request could have its headers in it.
    pub(crate) fn start_log(&self) {
        use tracing_subscriber::filter::Targets;
        use tracing_subscriber::layer::SubscriberExt;
        use tracing_subscriber::util::SubscriberInitExt;
        let ours = Targets::new().with_target("nitride_agent", self.log_level);
        let log = tracing_subscriber::fmt::layer()
            .with_writer(stderr)
            .with_ansi(false);
        let registry = tracing_subscriber::registry().with(ours);
        // The journal has its own clock.
        match std::env::var_os("JOURNAL_STREAM") {
            Some(_) => registry.with(log.without_time()).init(),
            None => registry.with(log).init(),
        }
    }
}
