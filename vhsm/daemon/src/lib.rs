//! vhsmd: the thin shell around the vault. It reads the configuration, opens the sockets, finds out
//! who is there, keeps those who must wait, and tells the vault what time it is.
//!
//! ```text
//! application, admin ──> serve ──┐                        config ──> policy
//! systemd-cryptsetup ──> disk  ──┼──> nitride-vault <─────────────────┘
//! PID 1 ────────> credential ──┤          └── nitride-secmem: the arenas
//! agent, nitride-quote <─> rounds┘
//! ```
//!
//! Read it from `serve/mod.rs` (what a request goes through) and `rounds/mod.rs` (what happens to
//! one that must wait). `event.rs` is all that is ever logged.
#![forbid(unsafe_code)]

mod arguments;
mod audit;
mod backup;
mod config;
mod credential;
mod daemon;
mod disk;
mod ending;
mod event;
mod executable;
mod hardening;
mod inquiry;
mod log;
mod log_budget;
mod manager;
mod metrics;
mod phase;
mod quote;
mod randomness;
mod reader;
mod refusals;
mod rounds;
mod run;
mod seal;
mod serve;
mod sockets;
mod stop;
mod store;
mod watch;

use anyhow::Context;
use arguments::Arguments;
use clap::Parser;
use config::Config;
use daemon::Daemon;
use event::{Chain, Event};
use hardening::{Places, confine};
use nitride_ipc::process;
use sockets::OpenSockets;
use std::io::Write;
use std::process::ExitCode;
use store::{Arenas, Handed};

/// Descriptors besides two for each connection (its socket, its peer's pidfd).
const OTHER_DESCRIPTORS: u64 = 256;

/// The program, from its command line to its end: what its own `main` is, and that of `nitride-initrd`
/// under its name.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.config_keys {
        // Who closed the pipe has read enough.
        let _ = write!(std::io::stdout().lock(), "{}", config::Manual);
        return ExitCode::SUCCESS;
    }
    log::start(arguments.log_level);
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", Chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// The arenas come first: what AWS-LC allocates before would not be in them. Only their sizes are
/// read before that, by std and a TOML parser, on the one thread that there is; neither touches
/// AWS-LC, and nothing secret is in the process yet.
fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let config = Config::load(&arguments.config)?;
    let handed = Handed::take().context("take what systemd handed over")?;
    let arenas = Arenas::install(&config, handed.records)?;
    let backing = arenas.backing;
    process::set_not_dumpable()?;
    process::no_core()?;
    process::no_new_privs()?;
    let wanted = 2 * config.limits.connections as u64 + OTHER_DESCRIPTORS;
    let descriptors = process::raise_descriptor_limit(wanted)?;
    let sockets = OpenSockets::open(&config, handed.sockets)?;
    let held = handed.readers;
    let mut places = Places::of(&config, &arguments.config);
    let metrics = config.metrics.as_ref();
    let audit = config.audit.as_ref().map(|audit| audit.folder.as_path());
    let metrics = metrics.and_then(|metrics| metrics.socket.parent());
    let seal = config.seal.as_ref().map(|seal| seal.folder.as_path());
    for folder in audit.into_iter().chain(metrics).chain(seal) {
        places = places.with_written(folder);
    }
    places.read.extend(seal::credentials_folder());
    let has_records = !arenas.recovered.is_empty();
    let daemon = Daemon::new(arguments.config, config, arenas).context("read the configuration")?;
    if descriptors < wanted {
        Event::Warning {
            text: "the limit of open descriptors is too low for limits.connections",
        }
        .emit();
    }
    let confined = confine(&places).context("give up what is not needed")?;
    if let Some(text) = confined.warning() {
        Event::Warning { text }.emit();
    }
    // Before a key of an earlier phase is there, or one is opened that is sealed to this one.
    phase::begin(&daemon.config).context("begin the phase of [boot]")?;
    // A record that is dropped from here on is a key that is gone, and be it one that a file did not
    // bring to its end; a start that failed before loses none.
    nitride_secmem::keep_dropped_records(false);
    // Before anybody asks for a key that is in the file.
    if let Some(seal) = &daemon.seal {
        seal.begin(&daemon, has_records);
    }
    for text in daemon
        .warnings()
        .iter()
        .chain(&daemon.vault.plaintext_warnings())
    {
        Event::Warning { text }.emit();
    }
    Event::Serving {
        arenas: backing.as_str(),
        generation: daemon.generation(),
    }
    .emit();
    let served = run::run(&daemon, sockets, held);
    // And from here on again it is one for the next process.
    if daemon.ending.is_wiped() {
        // What was still being made meanwhile goes as well, and all of it is zeroed on the way out.
        nitride_secmem::wipe_all();
    } else {
        nitride_secmem::keep_dropped_records(true);
    }
    served
}
