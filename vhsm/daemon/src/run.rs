use crate::credential::serve_credentials;
use crate::daemon::Daemon;
use crate::disk::serve_volume;
use crate::event::Event;
use crate::manager;
use crate::metrics::serve_metrics;
use crate::rounds::{keep_time, receive_agents};
use crate::serve::{MAX_THREADS, Shards, accept_all, attest_all, resume_all};
use crate::sockets::OpenSockets;
use crate::stop::{StopSignal, Stopper, stopper};
use crate::store::Keeping;
use anyhow::Context;
use nitride_ipc::Listener;
use nitride_vault::Socket;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::os::fd::OwnedFd;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_seqpacket::UnixSeqpacketListener;

/// Threads that perform again what had waited.
const RESUMING_THREADS: usize = 4;
const STACK_LEN: usize = 256 * 1024;
/// How long a request that has begun may take to end when vhsmd stops.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// How often what is still made after all keys have ended is ended too.
const LATE_PERIOD: Duration = Duration::from_millis(100);

/// The threads that never end before the process does; while one has ended, something is broken.
struct Machinery {
    threads: Vec<JoinHandle<()>>,
    stopper: Stopper,
}

/// The signals that are heeded.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("listen for SIGINT")?,
            hang_up: signal(SignalKind::hangup()).context("listen for SIGHUP")?,
        })
    }
}

/// Serves until told to stop; first the readers that an earlier process has `held`.
pub(crate) fn run(
    daemon: &Arc<Daemon>,
    mut sockets: OpenSockets,
    held: Vec<(UnixStream, SocketAddr)>,
) -> anyhow::Result<()> {
    let made = sockets.take_made();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    // Before anybody can be served: a signal that comes earlier ends the process, one that comes
    // later is heeded.
    let mut signals = {
        let _inside = runtime.enter();
        Signals::listen()?
    };
    let agent = sockets.agent.take();
    let machinery = start(daemon, sockets, held)?;
    let served = runtime.block_on(attend(daemon, agent, &mut signals, &machinery));
    let has_left = served.is_ok() && daemon.ending.has_left();
    if !has_left {
        manager::stopping();
    }
    Event::Stopping.emit();
    drop(made);
    stop(daemon, machinery);
    daemon.end_late_keys();
    if has_left {
        runtime.block_on(linger(daemon, &mut signals));
        manager::stopping();
    }
    // The agent's session and whatever blocks on the evidence helper end here.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

fn start(
    daemon: &Arc<Daemon>,
    sockets: OpenSockets,
    held: Vec<(UnixStream, SocketAddr)>,
) -> anyhow::Result<Machinery> {
    let (stopper, signal) = stopper().context("make the signal to stop")?;
    let mut threads = Vec::new();
    for number in 0..RESUMING_THREADS {
        let daemon = Arc::clone(daemon);
        threads.push(spawn(format!("resume-{number}"), move || {
            resume_all(&daemon);
        })?);
    }
    let shards = Shards::new(daemon.processors, MAX_THREADS).context("make the workers")?;
    let shards = Arc::new(shards);
    for index in 0..shards.workers() {
        let (daemon, shards) = (Arc::clone(daemon), Arc::clone(&shards));
        let signal = copy(&signal)?;
        threads.push(spawn(format!("worker-{index}"), move || {
            shards.serve(&daemon, index, &signal);
        })?);
    }
    let listeners = [
        (sockets.application, Socket::Application, "application"),
        (sockets.admin, Socket::Admin, "admin"),
    ];
    for (listener, socket, name) in listeners {
        if let Some(listener) = listener {
            let (daemon, signal) = (Arc::clone(daemon), copy(&signal)?);
            let shards = Arc::clone(&shards);
            threads.push(spawn(name.to_owned(), move || {
                accept_all(&daemon, &listener, socket, name, (&shards, &signal));
            })?);
        }
    }
    if let (Some(listener), Some(settings)) = (sockets.metrics, &daemon.config.metrics) {
        let (daemon, signal) = (Arc::clone(daemon), copy(&signal)?);
        let settings = settings.clone();
        threads.push(spawn("metrics".to_owned(), move || {
            serve_metrics(&daemon, &settings, &listener, &signal);
        })?);
    }
    for (disk_key, listener) in sockets.disk_keys {
        let (daemon, signal) = (Arc::clone(daemon), copy(&signal)?);
        threads.push(spawn(format!("disk-{}", disk_key.volume), move || {
            serve_volume(&daemon, &disk_key, &listener, &signal);
        })?);
    }
    if let Some(listener) = sockets.credentials {
        let (daemon, signal) = (Arc::clone(daemon), copy(&signal)?);
        threads.push(spawn("credentials".to_owned(), move || {
            serve_credentials(&daemon, &listener, held, &signal);
        })?);
    }
    Ok(Machinery { threads, stopper })
}

fn copy(signal: &StopSignal) -> anyhow::Result<StopSignal> {
    signal.try_clone().context("copy the signal to stop")
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(name)
        .stack_size(STACK_LEN)
        .spawn(|| {
            // Once for good, or every cryptographic call does it for itself.
            nitride_secmem::block_signals_on_this_thread();
            work();
        })
        .context("start a thread")
}

/// What is not hot: the agent, deadlines, signals, the service manager.
async fn attend(
    daemon: &Arc<Daemon>,
    agent: Option<Listener>,
    signals: &mut Signals,
    machinery: &Machinery,
) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    if let Some(listener) = agent {
        let listener = to_async(listener).context("listen for the agent")?;
        tasks.spawn(receive_agents(Arc::clone(daemon), listener));
    }
    tasks.spawn(keep_time(Arc::clone(daemon)));
    tasks.spawn(attest_all(Arc::clone(daemon)));
    let mut watchdog = watchdog();
    manager::ready(&status_line(daemon));
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return Ok(()),
            _ = signals.interrupt.recv() => return Ok(()),
            () = daemon.ending.bell.notified() => return Ok(()),
            () = daemon.status_bell.notified() => manager::status(&status_line(daemon)),
            _ = signals.hang_up.recv() => reload(daemon).await,
            _ = watchdog.tick() => check(daemon, machinery).await?,
            fault = first_to_end(&mut tasks) => return Err(fault),
        }
    }
}

/// Waits to be told to stop, with nothing left to serve: the phase has ended.
async fn linger(daemon: &Daemon, signals: &mut Signals) {
    manager::status("the phase has ended");
    let mut watchdog = watchdog();
    let mut late = tokio::time::interval(LATE_PERIOD);
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = watchdog.tick() => manager::alive(),
            // What was begun before the end may take longer than the grace.
            _ = late.tick() => daemon.end_late_keys(),
        }
    }
}

/// Waits until one of the tasks ends, which none should: a vault whose deadlines and leases nobody
/// looks after must not go on as if it were well.
async fn first_to_end(tasks: &mut JoinSet<()>) -> anyhow::Error {
    match tasks.join_next().await {
        Some(Err(error)) => anyhow::Error::new(error).context("a task has ended by a fault"),
        Some(Ok(())) | None => anyhow::anyhow!("a task has ended before its time"),
    }
}

/// Twice in the time that the service manager grants; without a watchdog, now and then for the
/// status line and for threads that have died.
fn watchdog() -> tokio::time::Interval {
    let granted = sd_notify::watchdog_enabled();
    let period = granted.map_or(Duration::from_secs(15), |granted| granted / 2);
    let mut watchdog = tokio::time::interval(period.max(Duration::from_millis(10)));
    watchdog.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    watchdog
}

/// Says that vhsmd is alive, if it is: every thread runs, and the locks that requests pass are
/// free. A deadlock keeps this from returning, and the service manager steps in.
async fn check(daemon: &Arc<Daemon>, machinery: &Machinery) -> anyhow::Result<()> {
    if let Some(ended) = machinery.threads.iter().find(|thread| thread.is_finished()) {
        let name = ended.thread().name().unwrap_or("unnamed").to_owned();
        anyhow::bail!("thread {name} has ended before its time");
    }
    let probed = Arc::clone(daemon);
    tokio::task::spawn_blocking(move || {
        probed.waiting.settle(|| probed.vault.expire(Daemon::now()));
    })
    .await
    .context("look whether the vault answers")?;
    manager::alive();
    manager::status(&status_line(daemon));
    Ok(())
}

async fn reload(daemon: &Arc<Daemon>) {
    manager::reloading();
    let reloading = Arc::clone(daemon);
    // What is wrong stands in the log, and in the status.
    let _ = tokio::task::spawn_blocking(move || reloading.reload(None)).await;
    manager::ready(&status_line(daemon));
}

fn status_line(daemon: &Daemon) -> String {
    let agent = if daemon.agent_is_connected() {
        "connected"
    } else {
        "absent"
    };
    let keys = match daemon.keeping {
        Keeping::Kept => "kept",
        Keeping::Ends(_) => "end with the process",
    };
    let seal = match &daemon.seal {
        Some(seal) => format!(", seal {}", seal.how().state()),
        None => String::new(),
    };
    format!(
        "policy {}, connections {}, waiting {}, agent {agent}, keys {keys}{seal}",
        daemon.generation(),
        daemon.quota.connections(),
        daemon.waiting.len(),
    )
}

/// Lets what has begun end, within the grace, and everything with it.
fn stop(daemon: &Daemon, machinery: Machinery) {
    drop(machinery.stopper);
    daemon.begin_stopping();
    let deadline = Instant::now() + STOP_GRACE;
    while daemon.quota.connections() > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    daemon.log_left_out();
    let cut = daemon.cut_connections();
    daemon.waiting.close();
    for thread in machinery.threads {
        // A thread that has panicked has said so.
        let _ = thread.join();
    }
    if let Some(seal) = &daemon.seal {
        seal.end(daemon);
    }
    daemon.watch.close();
    Event::Stopped { cut }.emit();
}

/// The listener for the runtime, which wants it not to block.
fn to_async(listener: Listener) -> anyhow::Result<UnixSeqpacketListener> {
    let socket = OwnedFd::from(listener);
    let flags = OFlag::from_bits_retain(fcntl(&socket, FcntlArg::F_GETFL)?);
    fcntl(&socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(UnixSeqpacketListener::try_from(socket)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_that_ends_by_a_fault_ends_the_service() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let fault = runtime.block_on(async {
            let mut tasks = JoinSet::new();
            tasks.spawn(std::future::pending());
            tasks.spawn(async { panic!("of the test") });
            first_to_end(&mut tasks).await
        });
        assert_eq!(fault.to_string(), "a task has ended by a fault");
    }
}
