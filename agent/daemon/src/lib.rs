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
//! plaintext and no way to ask for evidence over data of its own choosing. The exception is a service
//! of kind "openbao", which the configuration calls what it is and vhsmd's policy has to allow key by
//! key: what it gives is read here, for one message to vhsmd, on a heap that is wiped. It trusts the pinned CA
//! of a service and nobody that the system trusts. What it loses by a restart is the rounds under
//! way, which vhsmd gives up and orders again.
#![forbid(unsafe_code)]

mod arguments;
mod clock;
mod config;
mod drive;
mod hardening;
mod link;
#[cfg(feature = "openbao")]
mod login;
mod record;
mod service;
mod status;
mod tls;
mod transport;

use anyhow::Context;
use arguments::{Arguments, Command};
use clap::Parser;
use clock::Clock;
use config::Config;
use link::{InForce, Link, News};
use sd_notify::NotifyState;
use service::Services;
use status::{Agent, Line, Report, StatusSocket, Tally, ask, tell};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// What is freed is wiped, whoever allocated it: HTTP and TLS hold a secret that is read here, too.
#[cfg(feature = "openbao")]
#[global_allocator]
static HEAP: nitride_secmem::WipingHeap = nitride_secmem::WipingHeap;

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
    let done = match &arguments.command {
        None => start(&arguments.config),
        Some(Command::Status { json, socket }) => {
            show_status(&arguments.config, socket.as_deref(), *json)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `nitride-agent status`.
fn show_status(config: &Path, socket: Option<&Path>, as_json: bool) -> anyhow::Result<()> {
    match socket {
        Some(socket) => ask(socket, as_json),
        None => ask(&Config::load(config)?.status.asked_at(), as_json),
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
    for warning in services.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(InForce::new(config, services))
}

async fn run(path: &Path, in_force: InForce) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let clock = Clock::start();
    let mut status = listen(&in_force.status);
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
    let mut since_ms = 0;
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
                read_here: services.read_here().count(),
                reload_fault: reload_fault.as_deref(),
            }
            .to_string()
        };
        if line != said {
            tell(&[NotifyState::Status(&line)]);
            said = line;
        }
        tokio::select! {
            Some(report) = reports.recv() => {
                if matches!(report, News::Connected | News::Disconnected) {
                    since_ms = clock.now_ms();
                }
                note(&mut tally, report);
            }
            asked = asked_for(&mut status) => {
                let now_ms = clock.now_ms();
                let in_force = publish.borrow();
                let agent = agent(&tally, &in_force, (now_ms, since_ms));
                let fault = reload_fault.as_deref();
                let report = Report::of(agent, &in_force.services, fault, now_ms).to_json();
                if let Some(status) = &mut status {
                    status.answer(asked, report);
                }
            }
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

/// Where the agent says how it is doing, if anywhere. Keys come without it, too.
fn listen(status: &config::Status) -> Option<StatusSocket> {
    let socket = status.served_at()?;
    match StatusSocket::listen(&socket, status.mode) {
        Ok(listening) => Some(listening),
        Err(error) => {
            tracing::error!("no status is served: {error:#}");
            None
        }
    }
}

/// The next who asks how the agent is doing.
async fn asked_for(status: &mut Option<StatusSocket>) -> UnixStream {
    match status {
        Some(status) => status.next().await,
        None => std::future::pending().await,
    }
}

fn agent(tally: &Tally, in_force: &InForce, (now_ms, since_ms): (u64, u64)) -> Agent {
    Agent {
        version: concat!("nitride-agent ", env!("CARGO_PKG_VERSION")).to_owned(),
        pid: std::process::id(),
        up_ms: now_ms,
        vhsmd_socket: in_force.vhsmd_socket.display().to_string(),
        is_connected: tally.connected,
        for_ms: now_ms.saturating_sub(since_ms),
        rounds: tally.rounds,
        rounds_under_way: tally.under_way,
    }
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
