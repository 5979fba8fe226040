use super::{ConfigError, Document};
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

/// Where vhsmd listens, for the sockets that systemd did not hand over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sockets {
    /// For applications.
    pub(crate) application: Option<SocketPath>,
    /// For administrators.
    pub(crate) admin: Option<SocketPath>,
    /// For the agent.
    pub(crate) agent: Option<SocketPath>,
    /// For the service manager, which loads credentials of units: root's alone.
    pub(crate) credentials: Option<PathBuf>,
}

/// A socket to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SocketPath {
    /// Its path.
    pub(crate) path: PathBuf,
    /// Its permission bits. Who a peer is decides; this is a second lock in front of that.
    pub(crate) mode: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct RawSockets {
    application: Option<PathBuf>,
    application_mode: Option<Spanned<String>>,
    admin: Option<PathBuf>,
    admin_mode: Option<Spanned<String>>,
    agent: Option<PathBuf>,
    agent_mode: Option<Spanned<String>>,
    credentials: Option<PathBuf>,
}

impl RawSockets {
    pub(super) fn validate(self, document: &Document) -> Result<Sockets, ConfigError> {
        let socket = |path: Option<PathBuf>, mode: Option<Spanned<String>>, otherwise| {
            let mode = mode.map_or(Ok(otherwise), |mode| mode_of(document, &mode))?;
            Ok(path.map(|path| SocketPath { path, mode }))
        };
        Ok(Sockets {
            application: socket(self.application, self.application_mode, 0o666)?,
            admin: socket(self.admin, self.admin_mode, 0o600)?,
            agent: socket(self.agent, self.agent_mode, 0o666)?,
            credentials: self.credentials,
        })
    }
}

pub(super) fn mode_of(document: &Document, mode: &Spanned<String>) -> Result<u32, ConfigError> {
    u32::from_str_radix(mode.get_ref(), 8)
        .ok()
        .filter(|bits| mode.get_ref().len() <= 4 && bits & !0o777 == 0)
        .ok_or_else(|| {
            document.fault(
                mode.span(),
                format_args!("{:?} is not a mode", mode.get_ref()),
                "write permission bits in octal, as in \"0660\"",
            )
        })
}
