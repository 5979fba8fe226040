//! The command line.

use clap::{Args, Parser, Subcommand};
use std::io::stderr;
use std::path::PathBuf;
use tracing::level_filters::LevelFilter;

/// Opens encrypted volumes by a checked copy of their header, and enrols the passphrases that the
/// vault gives.
#[derive(Debug, Parser)]
#[command(name = "nitride-unlock", version)]
pub(crate) struct Arguments {
    /// The configuration file
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        default_value = "/etc/nitride/unlock.toml"
    )]
    pub(crate) config: PathBuf,
    /// What is logged to standard error: error, warn, info, debug or trace
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info")]
    log_level: LevelFilter,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Check a copy of the volume's header, and open the volume with that copy
    Open {
        /// The volume, as the configuration names it
        volume: String,
        /// Try the passphrase and open nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Give the volume a slot for the vault's passphrase, prove that it unlocks, and then remove the
    /// slot of the passphrase that it had
    Enroll(Enroll),
    /// Enrol another of the volume's passphrases, prove that it unlocks, and then remove the slots of
    /// the others
    Rotate(Rotate),
    /// Leave the initrd: tell vhsmd what protects the root file system, and have it end the phase
    Leave {
        /// Where the root file system is mounted
        #[arg(long, value_name = "PATH", default_value = "/sysroot")]
        root: PathBuf,
    },
    /// Say what the volume's header is, and what an envelope states of it
    Status {
        /// The volume, as the configuration names it
        volume: String,
    },
    /// Look for what would keep this machine from unlocking at its next boot
    Doctor(Doctor),
}

#[derive(Debug, Args)]
pub(crate) struct Enroll {
    /// The volume, as the configuration names it
    pub(crate) volume: String,
    /// A passphrase that unlocks it now: a file that is read to its end, or - for standard input
    #[arg(long, value_name = "PATH")]
    pub(crate) existing: Option<PathBuf>,
    /// Keep the slot of the existing passphrase, for recovery
    #[arg(long, requires = "existing")]
    pub(crate) keep_existing: bool,
    /// Remove this slot too, once the vault's passphrase unlocks; may stand several times
    #[arg(long = "remove-slot", value_name = "NUMBER", value_parser = slot)]
    pub(crate) remove_slots: Vec<u8>,
}

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// The volume, as the configuration names it
    pub(crate) volume: String,
    /// The passphrase to enrol, as `passphrases` of the volume names it
    #[arg(long, value_name = "NAME")]
    pub(crate) to: String,
    /// Remove this slot too, once the passphrase unlocks; may stand several times
    #[arg(long = "remove-slot", value_name = "NUMBER", value_parser = slot)]
    pub(crate) remove_slots: Vec<u8>,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The volume, as the configuration names it; every one of them if none is named
    pub(crate) volume: Option<String>,
    /// The initrd of the next boot; without it that of the kernel that runs
    #[arg(long, value_name = "PATH")]
    pub(crate) initrd: Option<PathBuf>,
    /// The kernel's command line of the next boot; without it that of the kernel that runs
    #[arg(long, value_name = "TEXT")]
    pub(crate) command_line: Option<String>,
    /// A slot whose passphrase is your recovery and not the vault's; may stand several times
    #[arg(long = "recovery-slot", value_name = "NUMBER", value_parser = slot)]
    pub(crate) recovery_slots: Vec<u8>,
}

/// LUKS2 has the slots 0 to 31.
fn slot(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(number) if number < 32 => Ok(number),
        _ => Err("give a slot's number, 0 to 31".to_owned()),
    }
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
