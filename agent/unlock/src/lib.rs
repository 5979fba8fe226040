//! nitride-unlock: the one process that reads LUKS2 headers and holds volumes' passphrases.
//!
//! ```text
//! open    device ──copy──> luks2 check ──┐
//!         vault's socket ──key_file──────┴──> cryptsetup open --header COPY
//! enroll, rotate    vault's socket ──> enrol: add, prove by a checked copy, remove ──> cryptsetup
//! leave             mounts, what `open` noted ──> vault's admin socket: end-phase
//! status, doctor    what there is, and what would keep the next boot from unlocking
//! ```
//!
//! It runs at boot, with disks and the device mapper, and so it has little else: no network, no key but
//! a passphrase for as long as it takes to hand it on, in locked memory. LUKS2 authenticates nothing of
//! its header, and the host holds the disk: so a header is believed in what is named in [`luks2`] alone,
//! and a volume is opened by the very copy that was checked. Unsafe code has `device_mapper/sys.rs`
//! alone, for the one ioctl that says what a mapping does.

mod arguments;
mod config;
mod copy;
mod cryptsetup;
mod device_mapper;
mod doctor;
mod enrol;
mod failure;
mod hardening;
mod key_file;
mod leave;
mod luks2;
mod open;
mod opened;
mod passphrase;
mod slots;
mod status;

use arguments::{Arguments, Verb};
use clap::Parser;
use config::Config;
use failure::Failure;
use std::io::{Write, stdout};
use std::process::ExitCode;

/// The program, from its command line to its end: what its own `main` is, and that of `nitride-initrd`
/// under its name.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    arguments.start_log();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let remedy = failure.remedy();
            let error = anyhow::Error::from(failure);
            match remedy {
                Some(remedy) => tracing::error!("{error:#}: {remedy}"),
                None => tracing::error!("{error:#}"),
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = Config::load(&arguments.config)?;
    let told = match &arguments.verb {
        Verb::Open { volume, dry_run } => {
            hardening::close()?;
            open::run(&config, volume, *dry_run)?;
            String::new()
        }
        Verb::Enroll(asked) => {
            hardening::close()?;
            slots::enroll(&config, asked)?
        }
        Verb::Rotate(asked) => {
            hardening::close()?;
            let (told, incomplete) = slots::rotate(&config, asked)?;
            say(&told)?;
            return incomplete.map_or(Ok(()), Err);
        }
        Verb::Leave { root } => {
            leave::run(&config, root)?;
            String::new()
        }
        Verb::Status { volume } => status::run(&config, volume)?,
        Verb::Doctor(asked) => {
            // It fetches passphrases, too.
            hardening::close()?;
            return doctor::run(&config, &arguments.config, asked, &mut stdout().lock());
        }
    };
    say(&told)
}

fn say(told: &str) -> Result<(), Failure> {
    let mut out = stdout().lock();
    out.write_all(told.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::Output)
}
