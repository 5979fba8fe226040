use nitride_settings::{Fault, absolute, fault};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// The folder of the unit (`RuntimeDirectory=` of nitride-agent.service).
const FOLDER: &str = "/run/nitride-agent";
/// The socket's name in it.
const NAME: &str = "status.sock";

/// Where the agent says how it is doing, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    socket: Option<PathBuf>,
    /// Of the socket: who may write to it may ask.
    pub(crate) mode: u32,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct StatusTable {
    socket: Option<Spanned<PathBuf>>,
    mode: Option<Spanned<String>>,
}

pub(super) fn check(table: StatusTable) -> Result<Status, Fault> {
    let mode = match table.mode {
        None => 0o600,
        Some(stated) => {
            let mode = u32::from_str_radix(stated.get_ref(), 8);
            match mode.ok().filter(|mode| *mode & !0o666 == 0) {
                Some(mode) => mode,
                None => {
                    return fault(
                        stated.span(),
                        "this is no mode of a socket: write \"0600\" for root and the agent's user, \
                         or \"0660\" for its group, too",
                    );
                }
            }
        }
    };
    Ok(Status {
        socket: table.socket.map(absolute).transpose()?,
        mode,
    })
}

impl Status {
    /// Where the agent listens: where it is told to, or in the folder that systemd made for it.
    pub(crate) fn served_at(&self) -> Option<PathBuf> {
        let made = || {
            let folders = std::env::var_os("RUNTIME_DIRECTORY")?;
            (folders == FOLDER).then(|| Path::new(FOLDER).join(NAME))
        };
        self.socket.clone().or_else(made)
    }

    /// Where it is asked.
    pub(crate) fn asked_at(&self) -> PathBuf {
        let made = || Path::new(FOLDER).join(NAME);
        self.socket.clone().unwrap_or_else(made)
    }
}
