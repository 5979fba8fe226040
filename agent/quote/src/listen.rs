//! Where callers come in: systemd's socket, or one of our own.

use crate::config::Config;
use crate::serve::somebody_calls;
use anyhow::{Context, bail};
use nitride_ipc::{Listener, listen_fds};
use nix::unistd::geteuid;
use std::os::unix::fs::lchown;
use std::time::Duration;

/// More than the kernel lets wait at a socket.
const MAX_TURNED_AWAY: usize = 8192;

/// The listening socket that systemd opened, if it did.
pub(crate) fn handed_over() -> anyhow::Result<Option<Listener>> {
    let mut handed_over = listen_fds::take()?;
    match (handed_over.pop(), handed_over.is_empty()) {
        (Some((_, socket)), true) => Ok(Some(Listener::from_fd(socket)?)),
        (Some(_), false) => bail!("systemd handed over more than one socket"),
        (None, _) => Ok(None),
    }
}

/// A listening socket of our own.
pub(crate) fn bind(config: &Config) -> anyhow::Result<Listener> {
    let path = config.socket.as_deref().context(
        "no socket: set `socket` in the configuration, or start by nitride-quote.socket",
    )?;
    let listener = Listener::bind(path, 0o600)?;
    // The file system keeps others out as well; who connects is checked in any case.
    if config.caller.uid != geteuid().as_raw() {
        lchown(path, Some(config.caller.uid), None)
            .with_context(|| format!("cannot give {} to the caller", path.display()))?;
    }
    Ok(listener)
}

/// Closes the connections that wait, unanswered. Left in systemd's queue, a request that cannot be served
/// would start this program again and again, until the socket is given up with it.
pub(crate) fn turn_away(listener: &Listener) {
    for _ in 0..MAX_TURNED_AWAY {
        match somebody_calls(listener, Duration::ZERO) {
            Ok(true) if listener.accept().is_ok() => {}
            _ => return,
        }
    }
}
