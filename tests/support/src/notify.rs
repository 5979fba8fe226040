//! The other end of a program's NOTIFY_SOCKET, as systemd would be.

use std::fs::Permissions;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::descriptor_store::DescriptorStore;

/// How long a look waits before the caller's own condition is asked again.
const LOOK: Duration = Duration::from_millis(50);

/// Most descriptors with one datagram.
const MAX_DESCRIPTORS: usize = 4;

/// What one program has said so far.
///
/// A thread takes every datagram as it comes, as PID 1 does: the queue of a socket holds ten, and
/// a program that reports more than that to nobody would stand still in the middle of its work.
#[derive(Debug)]
pub struct Notifications {
    path: PathBuf,
    heard: Arc<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Heard {
    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notifications {
    /// Listens at `path`, which any user may write to.
    ///
    /// # Errors
    /// When the socket cannot be bound.
    pub fn listen(path: &Path) -> Result<Self> {
        Self::listen_keeping(path, None)
    }

    /// The same, with a store for the descriptors that come along; without one they are closed.
    ///
    /// # Errors
    /// When the socket cannot be bound.
    pub fn listen_keeping(path: &Path, store: Option<Arc<DescriptorStore>>) -> Result<Self> {
        // A restarted program gets a fresh socket under the same name.
        let _ = std::fs::remove_file(path);
        let socket = UnixDatagram::bind(path).context("bind the notify socket")?;
        std::fs::set_permissions(path, Permissions::from_mode(0o666))
            .context("open the notify socket to every user")?;
        socket
            .set_read_timeout(Some(LOOK))
            .context("bound the notify socket's reads")?;
        let heard = Arc::new(Heard::default());
        let listener = Arc::downgrade(&heard);
        std::thread::spawn(move || {
            let mut datagram = [0; 4096];
            loop {
                let received = receive(&socket, &mut datagram);
                // Nobody is left to tell.
                let Some(heard) = listener.upgrade() else {
                    return;
                };
                // A time-out is a look at whether anybody is.
                if let Ok((len, descriptors)) = received {
                    let text = String::from_utf8_lossy(&datagram[..len]);
                    if let Some(store) = &store {
                        store.take(&text, descriptors);
                    }
                    heard.lines().extend(text.lines().map(str::to_owned));
                    heard.more.notify_all();
                }
            }
        });
        Ok(Self {
            path: path.to_owned(),
            heard,
        })
    }

    /// What NOTIFY_SOCKET is set to.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every line so far, such as `READY=1`, oldest first.
    #[must_use]
    pub fn said(&self) -> Vec<String> {
        self.heard.lines().clone()
    }

    /// Waits until a line satisfies `wanted`, counting from line `from`, and returns its index.
    /// Between looks `give_up` may name a reason to end the wait, such as the program's exit.
    ///
    /// # Errors
    /// At the deadline, and when `give_up` says so.
    pub fn wait_for(
        &self,
        from: usize,
        within: Duration,
        wanted: impl Fn(&str) -> bool,
        mut give_up: impl FnMut() -> Option<String>,
    ) -> Result<usize> {
        let until = Instant::now() + within;
        let mut next = from;
        let mut reason = None;
        loop {
            let mut lines = self.heard.lines();
            while let Some(line) = lines.get(next) {
                if wanted(line) {
                    return Ok(next);
                }
                next += 1;
            }
            // Only now, since a program may say its last and end between two looks.
            if let Some(reason) = reason {
                bail!("{reason}");
            }
            if Instant::now() > until {
                bail!("no such notification within {within:?}; said: {lines:?}");
            }
            lines = self
                .heard
                .more
                .wait_timeout(lines, LOOK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            drop(lines);
            reason = give_up();
        }
    }
}

/// A datagram and the descriptors that came with it.
fn receive(socket: &UnixDatagram, datagram: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut attached = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [io::IoSliceMut::new(datagram)];
    let received = recvmsg(socket, &mut parts, &mut attached, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in attached.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok((received.bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_after_others_and_once() -> Result<()> {
        let folder = crate::folder::Folder::new()?;
        let listener = Notifications::listen(&folder.join("n"))?;
        let program = UnixDatagram::unbound()?;
        program.send_to(b"STATUS=starting\nREADY=1\n", listener.path())?;
        let within = Duration::from_secs(5);
        let ready = listener.wait_for(0, within, |line| line == "READY=1", || None)?;
        assert_eq!(ready, 1);
        let again = listener.wait_for(ready + 1, Duration::ZERO, |line| line == "READY=1", || None);
        assert!(again.is_err());
        Ok(())
    }

    #[test]
    fn a_wait_ends_when_its_reason_to_give_up_appears() -> Result<()> {
        let folder = crate::folder::Folder::new()?;
        let listener = Notifications::listen(&folder.join("n"))?;
        let waited = listener.wait_for(
            0,
            Duration::from_secs(60),
            |_| true,
            || Some("it exited".to_owned()),
        );
        assert!(waited.is_err_and(|error| error.to_string() == "it exited"));
        Ok(())
    }
}
