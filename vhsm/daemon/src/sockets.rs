use crate::config::{Config, DiskKey, MetricsSettings, SocketPath};
use nitride_ipc::{BindError, Listener, stream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Permission bits of the sockets on which root asks, who needs none.
const ROOTS_MODE: u32 = 0o600;

/// Every socket that vhsmd listens on.
#[derive(Debug)]
pub(crate) struct OpenSockets {
    /// For applications.
    pub(crate) application: Option<Listener>,
    /// For administrators.
    pub(crate) admin: Option<Listener>,
    /// For the agent.
    pub(crate) agent: Option<Listener>,
    /// For who reads the figures.
    pub(crate) metrics: Option<UnixListener>,
    /// For systemd-cryptsetup.
    pub(crate) disk_keys: Vec<(Arc<DiskKey>, UnixListener)>,
    /// For the service manager, which loads credentials of units.
    pub(crate) credentials: Option<UnixListener>,
    made: Vec<PathBuf>,
}

/// Why vhsmd cannot listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketsError {
    /// One of them is not what its name says.
    #[error("take the socket {name:?} that systemd handed over")]
    HandedWrong {
        /// Its `FileDescriptorName=`.
        name: String,
        /// What is wrong with it.
        #[source]
        error: BindError,
    },
    /// One of them has a name that means nothing here.
    #[error(
        "systemd handed over a socket named {name:?}; name it application, admin, agent, \
         credentials, metrics where there is a [metrics], or disk-VOLUME, the volume being one of a \
         [[disk-key]] \
         (FileDescriptorName=)"
    )]
    UnknownName {
        /// The name.
        name: String,
    },
    /// Two of them have one name.
    #[error("systemd handed over two sockets named {name:?}")]
    HandedTwice {
        /// The name.
        name: String,
    },
    /// A socket cannot be made.
    #[error("open a socket")]
    Bind(#[from] BindError),
    /// A volume is to be served and nothing says where.
    #[error(
        "volume {volume} has no socket: enable vhsm-disk@{volume}.socket, or state one in its \
         [[disk-key]]"
    )]
    NoDiskSocket {
        /// The volume.
        volume: String,
    },
    /// A volume's socket cannot be made here; systemd would make it.
    #[error("open the socket of volume {volume}: enable vhsm-disk@{volume}.socket")]
    DiskSocket {
        /// The volume.
        volume: String,
        /// What is in the way.
        #[source]
        error: BindError,
    },
    /// The metrics' socket cannot be made here; systemd would make it.
    #[error("open the socket of [metrics]: enable vhsm-metrics.socket, or state another path")]
    MetricsSocket {
        /// What is in the way.
        #[source]
        error: BindError,
    },
    /// Credentials are to be served and nothing says where.
    #[error(
        "there is a [[credential]] and no socket for it: enable vhsm-credentials.socket, or state \
         sockets.credentials"
    )]
    NoCredentialsSocket,
    /// Neither configured nor handed over.
    #[error("there is no application socket: state one in [sockets] or have systemd hand it over")]
    NoApplicationSocket,
}

impl OpenSockets {
    /// Takes what systemd handed over and makes the rest.
    pub(crate) fn open(
        config: &Config,
        handed: Vec<(String, OwnedFd)>,
    ) -> Result<Self, SocketsError> {
        let mut handed = Handed::of(handed)?;
        let mut made = Vec::new();
        let sockets = &config.sockets;
        let mut disk_keys = Vec::with_capacity(config.disk_keys.len());
        let application = handed.or_made("application", sockets.application.as_ref(), &mut made)?;
        let admin = handed.or_made("admin", sockets.admin.as_ref(), &mut made)?;
        let agent = handed.or_made("agent", sockets.agent.as_ref(), &mut made)?;
        for disk_key in &config.disk_keys {
            let listener = handed.or_made_disk(disk_key, &mut made)?;
            disk_keys.push((Arc::new(disk_key.clone()), listener));
        }
        // Taken where nothing is served, too: who asks is refused then, and told why in the log.
        let credentials = handed.or_made_credentials(sockets.credentials.as_deref(), &mut made)?;
        if credentials.is_none() && !config.credentials.is_empty() {
            return Err(SocketsError::NoCredentialsSocket);
        }
        let metrics = match &config.metrics {
            None => None,
            Some(metrics) => Some(handed.or_made_metrics(metrics, &mut made)?),
        };
        handed.check_empty()?;
        if application.is_none() {
            return Err(SocketsError::NoApplicationSocket);
        }
        Ok(Self {
            application,
            admin,
            agent,
            metrics,
            disk_keys,
            credentials,
            made,
        })
    }

    /// The paths of the sockets that are ours to remove.
    pub(crate) fn take_made(&mut self) -> MadeSockets {
        MadeSockets {
            paths: std::mem::take(&mut self.made),
        }
    }
}

/// Socket files that we made; they go when this is dropped, so that clients see at once that nobody
/// listens.
#[derive(Debug)]
pub(crate) struct MadeSockets {
    paths: Vec<PathBuf>,
}

impl Drop for MadeSockets {
    fn drop(&mut self) {
        for path in &self.paths {
            // A path that is gone already is as it should be.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// What systemd handed over and nobody has asked for yet.
struct Handed {
    sockets: Vec<(String, OwnedFd)>,
}

impl Handed {
    fn of(sockets: Vec<(String, OwnedFd)>) -> Result<Self, SocketsError> {
        for (index, (name, _)) in sockets.iter().enumerate() {
            if sockets
                .iter()
                .skip(index + 1)
                .any(|(other, _)| other == name)
            {
                return Err(SocketsError::HandedTwice { name: name.clone() });
            }
        }
        Ok(Self { sockets })
    }

    fn find(&mut self, name: &str) -> Option<OwnedFd> {
        let at = self.sockets.iter().position(|(found, _)| found == name)?;
        Some(self.sockets.swap_remove(at).1)
    }

    fn or_made(
        &mut self,
        name: &str,
        configured: Option<&SocketPath>,
        made: &mut Vec<PathBuf>,
    ) -> Result<Option<Listener>, SocketsError> {
        if let Some(socket) = self.find(name) {
            let listener = Listener::from_fd(socket).map_err(|error| wrong(name, error))?;
            return Ok(Some(listener));
        }
        let Some(SocketPath { path, mode }) = configured else {
            return Ok(None);
        };
        let listener = Listener::bind(path, *mode)?;
        made.push(path.clone());
        Ok(Some(listener))
    }

    fn or_made_disk(
        &mut self,
        disk_key: &DiskKey,
        made: &mut Vec<PathBuf>,
    ) -> Result<UnixListener, SocketsError> {
        let name = format!("disk-{}", disk_key.volume);
        if let Some(socket) = self.find(&name) {
            return stream::from_fd(socket).map_err(|error| wrong(&name, error));
        }
        let Some(path) = &disk_key.socket else {
            let volume = disk_key.volume.clone();
            return Err(SocketsError::NoDiskSocket { volume });
        };
        let listener = stream::bind(path, ROOTS_MODE).map_err(|error| {
            let volume = disk_key.volume.clone();
            SocketsError::DiskSocket { volume, error }
        })?;
        made.push(path.clone());
        Ok(listener)
    }

    fn or_made_credentials(
        &mut self,
        path: Option<&Path>,
        made: &mut Vec<PathBuf>,
    ) -> Result<Option<UnixListener>, SocketsError> {
        const NAME: &str = "credentials";
        if let Some(socket) = self.find(NAME) {
            let listener = stream::from_fd(socket).map_err(|error| wrong(NAME, error))?;
            return Ok(Some(listener));
        }
        let Some(path) = path else {
            return Ok(None);
        };
        let listener = stream::bind(path, ROOTS_MODE)?;
        made.push(path.to_owned());
        Ok(Some(listener))
    }

    fn or_made_metrics(
        &mut self,
        metrics: &MetricsSettings,
        made: &mut Vec<PathBuf>,
    ) -> Result<UnixListener, SocketsError> {
        const NAME: &str = "metrics";
        if let Some(socket) = self.find(NAME) {
            return stream::from_fd(socket).map_err(|error| wrong(NAME, error));
        }
        let listener = stream::bind(&metrics.socket, metrics.mode)
            .map_err(|error| SocketsError::MetricsSocket { error })?;
        made.push(metrics.socket.clone());
        Ok(listener)
    }

    /// A socket that nobody serves would keep its clients waiting for ever.
    fn check_empty(self) -> Result<(), SocketsError> {
        match self.sockets.into_iter().next() {
            Some((name, _)) => Err(SocketsError::UnknownName { name }),
            None => Ok(()),
        }
    }
}

fn wrong(name: &str, error: BindError) -> SocketsError {
    let name = name.to_owned();
    SocketsError::HandedWrong { name, error }
}
