//! The connection to vhsmd: taking orders, and coming back after vhsmd has been away.

use crate::clock::{Clock, draw};
use crate::config::{Config, Status};
use crate::drive::{Driven, drive};
use crate::service::Services;
use crate::transport::chain;
use nitride_client::{AgentConnection, ClientError, Options, RoundOrder};
use nitride_courier::Backoff;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};

/// How long vhsmd may take over one message; each round has tighter deadlines of its own.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(600);
/// How long vhsmd may take to let us in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long rounds may go on after the agent was told to stop.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// Between attempts to connect.
const RECONNECT: Backoff = Backoff {
    first_ms: 100,
    max_ms: 5_000,
};

/// What is in force; a reload replaces the whole.
#[derive(Debug, Clone)]
pub(crate) struct InForce {
    pub(crate) vhsmd_socket: PathBuf,
    pub(crate) max_rounds: usize,
    /// As it was read; the socket that there is is the first one's.
    pub(crate) status: Status,
    pub(crate) services: Arc<Services>,
}

impl InForce {
    pub(crate) fn new(config: Config, services: Services) -> Self {
        Self {
            vhsmd_socket: config.vhsmd_socket,
            max_rounds: config.max_rounds,
            status: config.status,
            services: Arc::new(services),
        }
    }
}

/// What the link tells whoever keeps the status line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    Connected,
    Disconnected,
    RoundBegan,
    RoundEnded(Driven),
}

/// The link, for as long as the process runs.
pub(crate) struct Link {
    pub(crate) in_force: watch::Receiver<InForce>,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) news: mpsc::UnboundedSender<News>,
    pub(crate) clock: Clock,
}

/// A connection that lasted this long was a good one; the next loss is a first one.
const GOOD_CONNECTION: Duration = Duration::from_secs(10);

/// Why a connection is over.
enum Over {
    Stopped,
    Lost,
}

impl Link {
    /// Connects, carries rounds, and connects again, until told to stop.
    pub(crate) async fn run(mut self) {
        let mut failures = 0;
        while !*self.stop.borrow() {
            let socket = self.in_force.borrow().vhsmd_socket.clone();
            match self.connect(&socket).await {
                Ok(vault) => {
                    let connected = Instant::now();
                    tracing::info!(server = vault.server().name, "connected to vhsmd");
                    self.tell(News::Connected);
                    let over = self.serve(Arc::new(vault)).await;
                    self.tell(News::Disconnected);
                    match over {
                        Over::Stopped => return,
                        Over::Lost => tracing::warn!("vhsmd has closed the connection"),
                    }
                    if connected.elapsed() >= GOOD_CONNECTION {
                        failures = 0;
                    }
                }
                // Once is for the log, again and again is for the status line.
                Err(error) if failures == 0 => tracing::warn!(
                    socket = %socket.display(),
                    error = chain(&error),
                    "vhsmd cannot be reached: {}",
                    error.remedy()
                ),
                Err(error) => tracing::debug!(error = chain(&error), "vhsmd cannot be reached"),
            }
            failures += 1;
            let pause = Duration::from_millis(RECONNECT.after(failures, draw()));
            tokio::select! {
                () = sleep(pause) => {}
                () = stopped(&mut self.stop) => return,
            }
        }
    }

    async fn connect(&self, socket: &Path) -> Result<AgentConnection, ClientError> {
        let mut options = Options::new("nitride-agent");
        options.grace = MESSAGE_TIMEOUT;
        let connecting = AgentConnection::connect(socket, options);
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(ClientError::Timeout {
                operation: "connect",
                after: CONNECT_TIMEOUT,
            }),
        }
    }

    /// Takes orders, up to as many at a time as are allowed, and carries them out.
    async fn serve(&mut self, vault: Arc<AgentConnection>) -> Over {
        let mut rounds: JoinSet<Driven> = JoinSet::new();
        // One future, kept until it is done: an order on its way would be lost with it. It asks
        // when it is first polled, so at the limit nothing is asked.
        let mut next = Box::pin(next_order(Arc::clone(&vault)));
        let mut stop = self.stop.clone();
        loop {
            let may_take = rounds.len() < self.in_force.borrow().max_rounds;
            tokio::select! {
                order = next.as_mut(), if may_take => match order {
                    Ok(order) => {
                        let services = Arc::clone(&self.in_force.borrow().services);
                        rounds.spawn(drive(order, services, Arc::clone(&vault), self.clock));
                        self.tell(News::RoundBegan);
                        next = Box::pin(next_order(Arc::clone(&vault)));
                    }
                    Err(error) => {
                        tracing::debug!(error = chain(&error), "no more orders");
                        self.end(rounds, Duration::ZERO).await;
                        return Over::Lost;
                    }
                },
                Some(ended) = rounds.join_next() => self.count(ended),
                () = stopped(&mut stop) => {
                    self.end(rounds, STOP_GRACE).await;
                    return Over::Stopped;
                }
            }
        }
    }

    /// Lets rounds go on for `grace` and ends those that are left; vhsmd gives them up itself.
    async fn end(&self, mut rounds: JoinSet<Driven>, grace: Duration) {
        let _ = timeout(grace, async {
            while let Some(ended) = rounds.join_next().await {
                self.count(ended);
            }
        })
        .await;
        rounds.abort_all();
        while let Some(ended) = rounds.join_next().await {
            self.count(ended);
        }
    }

    fn count(&self, ended: Result<Driven, JoinError>) {
        let driven = ended.unwrap_or_else(|error| {
            if error.is_panic() {
                tracing::error!("a round ended by a fault of the agent");
            }
            Driven::VaultLost
        });
        self.tell(News::RoundEnded(driven));
    }

    fn tell(&self, news: News) {
        // Nobody listens only once the process is ending.
        let _ = self.news.send(news);
    }
}

/// Also when whoever could say so has gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn next_order(vault: Arc<AgentConnection>) -> Result<RoundOrder, ClientError> {
    vault.next_round().await
}
