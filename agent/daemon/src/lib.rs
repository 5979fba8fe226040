//! nitride-agent: the courier between vhsmd and provisioning services.
//!
//! ```text
//! vhsmd ──agent.sock──> link ──order──> drive ──> nitride-courier's state machine
//!                        │                │
//!                        │                └─────> transport ──HTTPS──> service
//!                        └─ reconnects, bounds the rounds, stops, reloads
//! ```
//!
//! It is blind: challenges, evidence, tokens and ciphertext pass through, and there is no key, no
//! plaintext and no way to ask for evidence over data of its own choosing. It trusts the pinned CA
//! of a service and nobody that the system trusts. What it loses by a restart is the rounds under
//! way, which vhsmd gives up and orders again.
#![forbid(unsafe_code)]

mod arguments;
mod clock;
mod config;
mod drive;
mod hardening;
mod link;
mod service;
mod status;
mod tls;
mod transport;

use anyhow::Context;
use arguments::Arguments;
use clap::Parser;
use clock::Clock;
use config::Config;
use link::{InForce, Link, News};
use sd_notify::NotifyState;
use service::Services;
use status::{Line, Tally, tell};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Rounds wait for the network nearly all the time.
const WORKER_THREADS: usize = 2;
/// How often the status line is looked at when there is no watchdog to feed.
const STATUS_PERIOD: Duration = Duration::from_secs(30);

/// The program, from its command line to its end: what its own `main` is, and that of `nitride-initrd`
/// under its name.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    arguments.start_log();
    match start(&arguments.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(path: &Path) -> anyhow::Result<()> {
    hardening::harden()?;
    let in_force = load(path)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(run(path, in_force));
    // A name that is being looked up blocks a thread, and must not block the end.
    runtime.shutdown_background();
    ended
}

fn load(path: &Path) -> anyhow::Result<InForce> {
    let config = Config::load(path)?;
    let services = Services::new(&config)?;
    if services.speak_plain() {
        tracing::warn!("PLAIN HTTP is configured: it is neither secret nor authentic");
    }
    Ok(InForce::new(config, services))
}

async fn run(path: &Path, in_force: InForce) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let clock = Clock::start();
    let (publish, followed) = watch::channel(in_force);
    let (stop, stopped) = watch::channel(false);
    let (news, mut reports) = mpsc::unbounded_channel();
    let link = Link {
        in_force: followed,
        stop: stopped,
        news,
        clock,
    };
    let mut link = tokio::spawn(link.run());
    let mut tally = Tally::default();
    let mut reload_fault: Option<String> = None;
    let mut said = String::new();
    let mut pulse = pulse();
    tell(&[NotifyState::Ready]);
    loop {
        let line = {
            let services = &publish.borrow().services;
            Line {
                tally: &tally,
                healthy: services.healthy(clock.now_ms()),
                plain: services.speak_plain(),
                reload_fault: reload_fault.as_deref(),
            }
            .to_string()
        };
        if line != said {
            tell(&[NotifyState::Status(&line)]);
            said = line;
        }
        tokio::select! {
            Some(report) = reports.recv() => note(&mut tally, report),
            _ = pulse.tick() => tell(&[NotifyState::Watchdog]),
            _ = hangup.recv() => reload_fault = reload(path, &publish),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            ended = &mut link => return ended.context("the link to vhsmd ended by a fault"),
        }
    }
    tracing::info!("stopping");
    tell(&[NotifyState::Stopping]);
    stop.send_replace(true);
    link.await.context("the link to vhsmd ended by a fault")
}

/// Ticks as often as the watchdog wants.
fn pulse() -> Interval {
    let period = sd_notify::watchdog_enabled().map_or(STATUS_PERIOD, |period| period / 2);
    let mut pulse = interval(period.max(Duration::from_millis(10)));
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pulse
}

fn note(tally: &mut Tally, news: News) {
    match news {
        News::Connected => tally.connected = true,
        News::Disconnected => tally.connected = false,
        News::RoundBegan => tally.under_way += 1,
        News::RoundEnded(driven) => {
            tally.under_way = tally.under_way.saturating_sub(1);
            tally.count(driven);
        }
    }
}

/// Puts the configuration file in force as a whole, or leaves what is and says why.
fn reload(path: &Path, publish: &watch::Sender<InForce>) -> Option<String> {
    let mut states = vec![NotifyState::Reloading];
    // systemd takes a reload for ours only with the time at which it began (sd_notify(3)).
    states.extend(NotifyState::monotonic_usec_now().ok());
    tell(&states);
    let fault = match load(path) {
        Ok(in_force) => {
            publish.send_replace(in_force);
            tracing::info!("configuration reloaded");
            None
        }
        Err(error) => {
            let fault = format!("{error:#}");
            tracing::error!("the old configuration stays: {fault}");
            Some(fault)
        }
    };
    tell(&[NotifyState::Ready]);
    fault
}
