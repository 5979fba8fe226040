//! `[monitor]`: where figures and health are told.

use nitride_verify::strict_toml::{FileError, TomlText};
use serde::Deserialize;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// A place that this machine alone can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MonitorAddress {
    Loopback(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for MonitorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct MonitorForm {
    listen: Spanned<String>,
}

impl MonitorForm {
    pub(super) fn read(
        self,
        folder: &Path,
        text: &TomlText<'_>,
    ) -> Result<MonitorAddress, FileError> {
        let said = self.listen.get_ref();
        if let Some(path) = said.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(MonitorAddress::Unix(folder.join(path)));
        }
        match said.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(MonitorAddress::Loopback(address)),
            Ok(address) => Err(text.error(
                &self.listen,
                format!("[monitor] listens on {address}, which others can reach"),
                "write a loopback address, or unix: and a path",
            )),
            Err(_) => Err(text.error(
                &self.listen,
                format!("[monitor] listen {said:?} is neither an address nor a socket"),
                "write for example \"127.0.0.1:9464\" or \"unix:/run/nitride-provisiond/monitor.sock\"",
            )),
        }
    }
}
