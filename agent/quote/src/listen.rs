//! Where callers come in: systemd's socket, or one of our own.

use crate::config::Config;
use anyhow::{Context, bail};
use nitride_ipc::{Listener, listen_fds};
use nix::unistd::geteuid;
use std::os::unix::fs::lchown;

/// The listening socket, and whether systemd opened it.
pub(crate) fn listener(config: &Config) -> anyhow::Result<(Listener, bool)> {
    let mut handed_over = listen_fds::take()?;
    match (handed_over.pop(), handed_over.is_empty()) {
        (Some((_, socket)), true) => Ok((Listener::from_fd(socket)?, true)),
        (Some(_), false) => bail!("systemd handed over more than one socket"),
        (None, _) => {
            let path = config.socket.as_deref().context(
                "no socket: set `socket` in the configuration, or start by nitride-quote.socket",
            )?;
            let listener = Listener::bind(path, 0o600)?;
            // The file system keeps others out as well; who connects is checked in any case.
            if config.caller.uid != geteuid().as_raw() {
                lchown(path, Some(config.caller.uid), None)
                    .with_context(|| format!("cannot give {} to the caller", path.display()))?;
            }
            Ok((listener, false))
        }
    }
}
