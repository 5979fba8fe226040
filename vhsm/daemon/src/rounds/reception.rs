use super::agent::AgentSession;
use crate::config::AgentPeer;
use crate::daemon::Daemon;
use crate::event::Event;
use nitride_ipc::peer::{PeerIdentity, resolve};
use nitride_vault::rounds::RoundFailure;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_seqpacket::{UnixSeqpacket, UnixSeqpacketListener};

/// How long the agent's session may take to see that the agent has hung up.
const PARTING: Duration = Duration::from_millis(100);

/// Accepts the agent: one at a time, and nobody else. Runs for ever.
///
/// A second one is refused while the first lives, since whoever could take its place could starve
/// every round; a first one that has ended, but whose descriptor somebody keeps open, is replaced.
pub(crate) async fn receive_agents(daemon: Arc<Daemon>, mut listener: UnixSeqpacketListener) {
    let mut current: Option<(PeerIdentity, JoinHandle<()>)> = None;
    loop {
        // The runtime has one thread: strangers who never stop connecting must not keep deadlines,
        // signals and the watchdog from it.
        tokio::task::yield_now().await;
        let socket = match listener.accept().await {
            Ok(socket) => socket,
            Err(error) => {
                Event::NotAccepting {
                    socket: "agent",
                    error: &error,
                }
                .emit();
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let identity = match resolve(&socket, daemon.cgroups.as_ref()) {
            Ok(identity) => identity,
            Err(error) => {
                let (socket, error) = ("agent", &error);
                daemon.log_of(None, &Event::TurnedAway { socket, error });
                continue;
            }
        };
        if let Err(reason) = is_agent(daemon.config.agent.as_ref(), &identity) {
            let peer = &identity;
            daemon.log_of(Some(peer.uid), &Event::AgentRefused { peer, reason });
            continue;
        }
        if let Some((first, mut session)) = current.take() {
            // One that hangs up and comes back is here before its session has seen the end.
            let has_ended = timeout(PARTING, &mut session).await.is_ok();
            if first.still_alive() && !has_ended {
                let (peer, reason) = (&identity, "another agent is connected");
                daemon.log_of_agent(&Event::AgentRefused { peer, reason });
                current = Some((first, session));
                continue;
            }
            // Its rounds end before those of the new one begin.
            if !has_ended {
                session.abort();
                let _ = session.await;
            }
        }
        daemon.log_of_agent(&Event::AgentConnected { peer: &identity });
        let pid = identity.pid;
        let session = tokio::spawn(attend(Arc::clone(&daemon), socket, pid));
        current = Some((identity, session));
    }
}

/// Serves one agent, and ends its rounds with it.
async fn attend(daemon: Arc<Daemon>, socket: UnixSeqpacket, pid: u32) {
    let _presence = Presence::begin(Arc::clone(&daemon), pid);
    daemon.prefetch();
    AgentSession::run(daemon, socket).await;
}

/// That the agent is there. Dropped, also when the session is aborted, it is not any more.
struct Presence {
    daemon: Arc<Daemon>,
    pid: u32,
}

impl Presence {
    fn begin(daemon: Arc<Daemon>, pid: u32) -> Self {
        daemon.vault.agent_connected();
        daemon.set_agent_connected(true);
        Self { daemon, pid }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let daemon = &self.daemon;
        daemon.set_agent_connected(false);
        daemon.waiting.settle(|| {
            daemon
                .vault
                .abandon_all(Daemon::now(), RoundFailure::AgentAbsent)
        });
        daemon.log_of_agent(&Event::AgentGone { pid: self.pid });
    }
}

/// Whether `peer` is who the configuration calls the agent.
fn is_agent(agent: Option<&AgentPeer>, peer: &PeerIdentity) -> Result<(), &'static str> {
    let Some(agent) = agent else {
        return Err("no [agent] is configured");
    };
    if agent.uid != peer.uid {
        return Err("its user is not the agent's");
    }
    if agent.unit.is_some() && agent.unit != peer.unit {
        return Err("its unit is not the agent's");
    }
    Ok(())
}
