use clap::Parser;
use std::path::PathBuf;
use tracing_subscriber::filter::LevelFilter;

/// The key vault of a confidential VM: applications use keys over a Unix socket and never hold
/// them.
#[derive(Debug, Parser)]
#[command(name = "vhsmd", version)]
pub(crate) struct Arguments {
    /// The configuration file
    #[arg(long, value_name = "PATH", default_value = "/etc/vhsm/vhsmd.toml")]
    pub(crate) config: PathBuf,
    /// What is logged: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: LevelFilter,
    /// Print every key of the configuration and what it means, and end
    #[arg(long)]
    pub(crate) config_keys: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
