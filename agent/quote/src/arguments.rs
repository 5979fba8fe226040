use clap::Parser;
use std::io::stderr;
use std::path::PathBuf;
use tracing::level_filters::LevelFilter;

/// Gives attestation evidence of this machine to vhsmd, and to nobody else.
#[derive(Debug, Parser)]
#[command(name = "nitride-quote", version)]
pub(crate) struct Arguments {
    /// The configuration file
    #[arg(long, value_name = "PATH", default_value = "/etc/nitride/quote.toml")]
    pub(crate) config: PathBuf,
    /// Say on standard output what this machine has, and why, and end
    #[arg(long)]
    pub(crate) detect: bool,
    /// Print what `nitride-verify tpm challenge` enrols the TPM by, and end
    #[arg(long, conflicts_with = "detect")]
    pub(crate) tpm_enrol: bool,
    /// Answer what `nitride-verify tpm challenge` wrote, on standard output, and end
    #[arg(long, value_name = "PATH", conflicts_with_all = ["detect", "tpm_enrol"])]
    pub(crate) activate_credential: Option<PathBuf>,
    /// What is logged to standard error: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: LevelFilter,
}

impl Arguments {
    /// Logs to standard error. `RUST_LOG` is not read: who starts us says what is logged.
    pub(crate) fn start_log(&self) {
        let log = tracing_subscriber::fmt()
            .with_max_level(self.log_level)
            .with_writer(stderr)
            .with_ansi(false);
        // The journal has its own clock.
        match std::env::var_os("JOURNAL_STREAM") {
            Some(_) => log.without_time().init(),
            None => log.init(),
        }
    }
}
