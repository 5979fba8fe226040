//! nitride-quote: the one process that opens attestation devices, for vhsmd alone.
//!
//! ```text
//! vhsmd ──SEQPACKET──> caller ──> serve, answer ──> device ──> nitride-evidence's collector
//!                      uid, unit, pidfd             │          and sealing platform
//!                                                   └ one call at a time, with a time limit
//! ```
//!
//! It runs as root, since the kernel's interfaces belong to root, and so it does nothing else: no
//! network, no state, and of keys only the platform's part of one, for as long as it takes to hand it
//! over, in locked memory. Whoever can have report data of their choosing signed can bind a
//! key of their own and read every secret of this machine, so exactly one caller is served.
#![forbid(unsafe_code)]

mod answer;
mod arguments;
mod caller;
mod config;
mod device;
mod enrol;
mod gpu;
mod listen;
mod openers;
mod sealing;
mod serve;

use answer::{Desk, Devices};
use anyhow::Context;
use arguments::Arguments;
use clap::Parser;
use config::Config;
use device::Device;
use nitride_evidence::phase::Phases;
use nitride_evidence::seal::Sealer;
use nitride_evidence::{Collector, KernelPaths, Settings};
use nitride_ipc::process;
use sd_notify::NotifyState;
use std::process::ExitCode;
use std::sync::Arc;

/// The program, from its command line to its end: what its own `main` is, and that of `nitride-initrd`
/// under its name.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    arguments.start_log();
    if arguments.detect {
        detect();
        return ExitCode::SUCCESS;
    }
    let ended = match enrol::asked(&arguments) {
        Some(asked) => enrol::run(&arguments.config, &asked),
        None => run(&arguments),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    process::set_not_dumpable()?;
    process::no_core()?;
    process::no_new_privs()?;
    // Before anything that may fail: whoever waits there hears of it.
    let handed_over = listen::handed_over()?;
    let ready = ready(arguments).inspect_err(|_| {
        if let Some(listener) = &handed_over {
            listen::turn_away(listener);
        }
    })?;
    let Ready {
        config,
        server,
        status,
    } = ready;
    let is_activated = handed_over.is_some();
    let listener = match handed_over {
        Some(listener) => listener,
        None => listen::bind(&config)?,
    };
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    let idle_exit = config.idle_exit.filter(|_| is_activated);
    serve::run(&listener, Arc::new(server), idle_exit)
}

/// What serves, and how that is said.
struct Ready {
    config: Config,
    server: serve::Server,
    status: String,
}

/// Opens all that is configured.
fn ready(arguments: &Arguments) -> anyhow::Result<Ready> {
    let config = Config::load(&arguments.config)?;
    let gate = caller::Gate::new(config.caller.clone())?;
    let collector = open(&config)?;
    let gpus = config.gpus.as_ref().map(gpu::open).transpose()?;
    let sealer = config.seal.as_ref().map(sealing::open).transpose()?;
    let platform = sealer.as_ref().map(Sealer::name);
    let status = format!("{}; {}", serving(&collector), sealing::serving(platform));
    let (tee, interface) = (collector.tee(), collector.found());
    let collectors: Vec<_> = [Some(collector), gpus].into_iter().flatten().collect();
    let tees = collectors.iter().map(Collector::tee).collect();
    let phases = config.phases.clone().map(|settings| {
        let paths = KernelPaths::of_this_machine();
        Phases::new(settings.register, settings.record, &paths)
    });
    let devices = Devices {
        collectors,
        sealer,
        phases,
    };
    let device = Device::start(config.device_timeout, devices)
        .context("cannot start the device's thread")?;
    let desk = Desk {
        device,
        tees,
        platform,
    };
    tracing::info!(%tee, interface, platform, caller_uid = config.caller.uid, "{status}");
    Ok(Ready {
        config,
        server: serve::Server { gate, desk },
        status,
    })
}

fn serving(collector: &Collector) -> String {
    match collector.is_simulated() {
        true => "serving SIMULATED evidence, which proves nothing".to_owned(),
        false => format!("serving {} evidence", collector.tee()),
    }
}

/// For the person who writes the configuration.
fn detect() {
    for finding in nitride_evidence::detect(&KernelPaths::of_this_machine()) {
        println!("{finding}");
    }
}

/// Opens what is configured. There is no other way from one TEE to another than the configuration.
fn open(config: &Config) -> anyhow::Result<Collector> {
    match &config.source {
        config::Source::Tee(settings) => {
            let is_elsewhere = match settings {
                Settings::Tpm(tpm) => !tpm.is_device(),
                Settings::Azure(azure) => !azure.is_device(),
                _ => false,
            };
            if is_elsewhere {
                tracing::warn!(
                    "the TPM is no device of this machine: it may be one in software, or a stranger"
                );
            }
            let tpm = match settings {
                Settings::Tpm(tpm) => tpm.device(),
                Settings::Azure(azure) => azure.device(),
                _ => None,
            };
            if let Some(others) = tpm.and_then(|tpm| openers::warning(&tpm)) {
                tracing::warn!("{others}: whoever does can be this machine to every service");
            }
            Ok(Collector::open(
                settings.clone(),
                &KernelPaths::of_this_machine(),
            )?)
        }
        config::Source::DangerSimulated { svn } => {
            tracing::warn!(
                svn,
                "SIMULATION: evidence of this machine proves nothing, and anybody can make the same"
            );
            Ok(Collector::danger_simulated(svn)?)
        }
    }
}

/// Tells systemd, if it is there. Nothing depends on its listening.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot notify systemd");
    }
}
