use crate::ClientError;
use nitride_protocol::application::{Hello, Welcome};
use nitride_protocol::{Call, VERSION};
use std::time::Duration;

/// How a connection behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who the caller says it is, for vhsmd's log: at most 64 bytes, no control characters.
    pub name: String,
    /// How long vhsmd may let a request wait for a round; zero is never.
    pub wait: Duration,
    /// How much longer than `wait` a call may take before it is given up.
    pub grace: Duration,
}

impl Options {
    /// No waiting for rounds, and a grace of five seconds.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            wait: Duration::ZERO,
            grace: Duration::from_secs(5),
        }
    }

    /// The same with another `wait`.
    #[must_use]
    pub fn with_wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// How long a call may take.
    pub(crate) fn deadline(&self) -> Duration {
        self.wait.saturating_add(self.grace)
    }

    pub(crate) fn hello(&self, attaches: bool) -> Hello<'_> {
        Hello {
            min_version: VERSION,
            max_version: VERSION,
            client: &self.name,
            wait_ms: u32::try_from(self.wait.as_millis()).unwrap_or(u32::MAX),
            attaches,
        }
    }
}

/// What the server said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name and version.
    pub name: String,
    /// The longest data that it takes in one request, in bytes.
    pub max_inline_len: usize,
    /// What it has beyond the protocol's version.
    pub features: Vec<String>,
}

impl Server {
    /// Whether it has said that it has this.
    pub(crate) fn knows(&self, feature: &str) -> bool {
        self.features.iter().any(|known| known == feature)
    }

    pub(crate) fn welcomed(welcome: &Welcome<'_>) -> Result<Self, ClientError> {
        if welcome.version != VERSION {
            return Err(ClientError::Version {
                operation: Hello::VERB,
                found: welcome.version,
            });
        }
        Ok(Self {
            name: welcome.server.to_owned(),
            max_inline_len: usize::try_from(welcome.max_inline).unwrap_or(usize::MAX),
            features: welcome
                .features
                .iter()
                .map(|feature| (*feature).to_owned())
                .collect(),
        })
    }
}
