//! `serve`: from the configuration to a running service, its signals, and its end.

use crate::atomic_file;
use crate::audit::entry::{Event, Kind};
use crate::clock::Clock;
use crate::config::{Config, PolicySource};
use crate::health;
use crate::http::router;
use crate::judgement::{Judgement, name_of};
use crate::listen;
use crate::monitor;
use crate::policies::Policies;
use crate::policy_watch::{self, PolicyWatch};
use crate::reload_socket::{Asker, ReloadSocket};
use crate::renewal;
use crate::service::{Current, Service, SetUpError};
use crate::webhook::{WebhookSender, Webhooks};
use anyhow::{Context, Result};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use sd_notify::NotifyState;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};

/// Beside judgements, evaluations and sets of policies, which take turns, for reads and syncs of files,
/// which are short: each thread has memory of its own, and a fleet that boots would start hundreds.
const BLOCKING_THREADS: usize = 8;

/// Runs the service until SIGTERM or SIGINT. `reload_socket` is where reloads are asked for beside SIGHUP.
pub(crate) fn serve(config_path: &Path, reload_socket: Option<&Path>) -> Result<()> {
    harden()?;
    let config = Config::load(config_path).context("load configuration")?;
    let (webhooks, senders) = Webhooks::open(&config.fixed.webhooks, &config.fixed.issuer)
        .context("set up the webhooks")?;
    let service =
        Service::open(&config, Clock::system(), webhooks).context("set up the service")?;
    let service = Arc::new(service);
    let policies = service.policy_watch.as_ref();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(
            service.judging.at_once()
                + service.evaluators.at_once()
                + policies.map_or(0, PolicyWatch::at_once)
                + BLOCKING_THREADS,
        )
        .build()
        .context("start the runtime")?
        .block_on(async {
            // Before READY, so that no signal after it is lost.
            let wishes = Wishes::new(reload_socket)?;
            run(wishes, config_path, config, service, senders).await
        })
}

/// No debugger of its own user and no core file, whoever started it: the store's key, the token key
/// and the resources that are being served lie in its memory.
fn harden() -> Result<()> {
    prctl::set_dumpable(false).context("make the process not dumpable")?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).context("forbid core files")
}

async fn run(
    mut wishes: Wishes,
    config_path: &Path,
    config: Config,
    service: Arc<Service>,
    senders: Vec<WebhookSender>,
) -> Result<()> {
    let config = Arc::new(config);
    let listen = config.fixed.listen;
    let listener = listen::bind(listen).with_context(|| format!("listen on {listen}"))?;
    let bound = listener.local_addr().context("read the bound address")?;
    if let Some(path) = &config.fixed.port_file {
        atomic_file::replace(path, format!("{bound}\n").as_bytes(), 0o644)
            .with_context(|| format!("write {}", path.display()))?;
    }
    let (stop, stopping) = watch::channel(false);
    let mut beside = JoinSet::new();
    if let Some(address) = &config.fixed.monitor {
        let listener = monitor::bind(address).await;
        let listener = listener.with_context(|| format!("listen on {address} for figures"))?;
        beside.spawn(monitor::serve(listener, service.clone(), stopping.clone()));
    }
    // What the store has is in force before anybody is served, if the store answers.
    if let Some(policies) = &service.policy_watch {
        policy_watch::look(&service, policies).await;
    }
    beside.spawn(policy_watch::look_after(service.clone(), stopping.clone()));
    beside.spawn(health::look_after(service.clone(), stopping.clone()));
    beside.spawn(renewal::look_after(service.clone(), stopping.clone()));
    for sender in senders {
        beside.spawn(sender.run(
            service.clock.clone(),
            stopping.clone(),
            service.limits.drain,
        ));
    }
    let serving = tokio::spawn(listen::serve(
        listener,
        service.clone(),
        router(service.clone()),
        stopping,
    ));
    announce(bound, &service.current(), config.fixed.plain_http);
    notify(&[
        NotifyState::Ready,
        NotifyState::Status(&status(bound, &service)),
    ]);

    while let Wish::Reload(asker) = wishes.next().await {
        let reloading = NotifyState::monotonic_usec_now().ok();
        notify(
            &[NotifyState::Reloading]
                .into_iter()
                .chain(reloading)
                .collect::<Vec<_>>(),
        );
        let reloaded = reload_aside(config_path.to_owned(), config.clone(), service.clone());
        let (status, error) = match reloaded.await {
            Ok(current) => {
                announce(bound, &current, config.fixed.plain_http);
                (status(bound, &service), None)
            }
            Err(error) => {
                let text = format!("{error:#}");
                (
                    format!("{}; last reload changed nothing", status(bound, &service)),
                    Some(text),
                )
            }
        };
        if let Some(error) = &error {
            tracing::error!(error, "reload changed nothing");
        }
        note_reload(&service, &service.current(), error.as_deref());
        notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
        // Last: for who is told, everybody else knows.
        if let Some(asker) = asker {
            asker.tell(error.as_deref());
        }
    }

    tracing::info!("stopping");
    notify(&[NotifyState::Stopping]);
    // The receiver lives as long as the task; a task that is gone has stopped.
    let _ = stop.send(true);
    let served = serving.await.context("stop serving");
    while let Some(ended) = beside.join_next().await {
        ended.context("stop what goes on beside serving")?;
    }
    let closing = service.clone();
    let closed = move || closing.watch.audit.close(closing.clock.wall_secs());
    spawn_blocking(closed).await.context("close the audit")?;
    served
}

/// Tells everybody who looks how a reload ended.
fn note_reload(service: &Service, current: &Current, refused: Option<&str>) {
    let event = Event {
        what: policies(current).into(),
        outcome: if refused.is_some() { "refused" } else { "ok" }.into(),
        ..Event::own(Kind::Reload, refused.unwrap_or_default())
    };
    let watch = &service.watch;
    watch.note(&event, service.clock.wall_secs());
    watch.metrics.count_reload(refused.is_none());
    watch.health.set_reload(refused.map(str::to_owned));
    if refused.is_none() {
        // The certificate was read anew, too.
        watch.health.set_renewal(None);
    }
}

/// [`reload`] off the executor: disks block, and a fleet's keys take seconds to parse.
pub(crate) async fn reload_aside(
    path: PathBuf,
    running: Arc<Config>,
    service: Arc<Service>,
) -> Result<Arc<Current>> {
    let reloading = spawn_blocking(move || reload(&path, &running, &service));
    Ok(reloading.await.context("reload")??)
}

/// Reads configuration, policies and certificate anew; all of it holds, or none.
pub(crate) fn reload(
    path: &Path,
    running: &Config,
    service: &Service,
) -> Result<Arc<Current>, SetUpError> {
    let config = Config::load(path)?;
    let stated = [&config, running].map(|config| match &config.reloaded.policies {
        PolicySource::Files(_) => None,
        PolicySource::Store { at_least } => Some(*at_least),
    });
    if config.fixed != running.fixed || stated.first() != stated.last() {
        return Err(SetUpError::NeedsRestart {
            file: path.display().to_string(),
        });
    }
    service.reload(&config)
}

fn announce(bound: SocketAddr, current: &Current, plain_http: bool) {
    let judgement = current.judgement.as_deref();
    let resource_policies = judgement.map(|judgement| &judgement.policies);
    tracing::info!(
        address = %bound,
        policies = policies(current),
        rules = resource_policies.map(Policies::rules_count),
        tenants = resource_policies.map(Policies::tenants_count),
        admins = current.admins.len(),
        tee_keys = %current.tee_keys,
        "serving"
    );
    if plain_http {
        tracing::warn!("danger-plain-http: tokens and cookies travel in the clear");
    }
    judgement.into_iter().for_each(Judgement::warn);
}

fn status(bound: SocketAddr, service: &Service) -> String {
    match &service.policy_watch {
        None => format!(
            "serving on {bound}, policies {}",
            policies(&service.current())
        ),
        // They change without this status, which would be wrong in a moment.
        Some(_) => format!("serving on {bound}, policies of the store"),
    }
}

fn policies(current: &Current) -> String {
    let digest = current.digest().as_ref().map(name_of);
    digest.unwrap_or_else(|| "not known yet".to_owned())
}

/// Without systemd this does nothing; that a message is lost is no reason to stop.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "notify systemd");
    }
}

enum Wish {
    /// Of whoever waits for its end; nobody waits for a signal's.
    Reload(Option<Asker>),
    Stop,
}

struct Wishes {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    socket: Option<ReloadSocket>,
}

impl Wishes {
    fn new(socket: Option<&Path>) -> Result<Self> {
        let caught = |kind| signal(kind).context("wait for signals");
        let listen = |path: &Path| {
            let socket = ReloadSocket::bind(path);
            socket.with_context(|| format!("listen on {} for reloads", path.display()))
        };
        Ok(Self {
            hangup: caught(SignalKind::hangup())?,
            terminate: caught(SignalKind::terminate())?,
            interrupt: caught(SignalKind::interrupt())?,
            socket: socket.map(listen).transpose()?,
        })
    }

    async fn next(&mut self) -> Wish {
        let asked = async {
            match &self.socket {
                Some(socket) => socket.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.hangup.recv() => Wish::Reload(None),
            asker = asked => Wish::Reload(Some(asker)),
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardening_takes_debuggers_away() {
        // Of the test's own process, which loses nothing by it.
        harden().unwrap();
        assert_eq!(prctl::get_dumpable(), Ok(false));
    }
}
