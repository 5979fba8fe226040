//! The other end of a program's NOTIFY_SOCKET, as systemd would be.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long one look at the socket waits before the caller's own condition is asked again.
const LOOK: Duration = Duration::from_millis(50);

/// What one program has said so far.
#[derive(Debug)]
pub struct Notifications {
    socket: UnixDatagram,
    path: PathBuf,
    said: Vec<String>,
}

impl Notifications {
    /// Listens at `path`, which any user may write to.
    ///
    /// # Errors
    /// When the socket cannot be bound.
    pub fn listen(path: &Path) -> Result<Self> {
        // A restarted program gets a fresh socket under the same name.
        let _ = std::fs::remove_file(path);
        let socket = UnixDatagram::bind(path).context("bind the notify socket")?;
        std::fs::set_permissions(path, Permissions::from_mode(0o666))
            .context("open the notify socket to every user")?;
        socket
            .set_read_timeout(Some(LOOK))
            .context("bound the notify socket's reads")?;
        Ok(Self {
            socket,
            path: path.to_owned(),
            said: Vec::new(),
        })
    }

    /// What NOTIFY_SOCKET is set to.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every line so far, such as `READY=1`, oldest first.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn said(&mut self) -> Result<&[String]> {
        self.socket
            .set_nonblocking(true)
            .context("look at the notify socket")?;
        while self.take_one()? {}
        self.socket
            .set_nonblocking(false)
            .context("wait at the notify socket")?;
        Ok(&self.said)
    }

    /// Waits until a line satisfies `wanted`, counting from line `from`, and returns its index.
    /// Between looks `give_up` may name a reason to end the wait, such as the program's exit.
    ///
    /// # Errors
    /// At the deadline, when `give_up` says so, and when the socket fails.
    pub fn wait_for(
        &mut self,
        from: usize,
        within: Duration,
        wanted: impl Fn(&str) -> bool,
        mut give_up: impl FnMut() -> Option<String>,
    ) -> Result<usize> {
        let until = Instant::now() + within;
        let mut next = from;
        loop {
            while let Some(line) = self.said.get(next) {
                if wanted(line) {
                    return Ok(next);
                }
                next += 1;
            }
            if !self.take_one()? {
                if let Some(reason) = give_up() {
                    bail!("{reason}");
                }
                if Instant::now() > until {
                    bail!(
                        "no such notification within {within:?}; said: {:?}",
                        self.said
                    );
                }
            }
        }
    }

    fn take_one(&mut self) -> Result<bool> {
        let mut datagram = [0; 4096];
        match self.socket.recv(&mut datagram) {
            Ok(len) => {
                let text = String::from_utf8_lossy(&datagram[..len]);
                self.said.extend(text.lines().map(str::to_owned));
                Ok(true)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock
                        | std::io::ErrorKind::TimedOut
                        | std::io::ErrorKind::Interrupted
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error).context("read the notify socket"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_after_others_and_once() -> Result<()> {
        let folder = crate::folder::Folder::new()?;
        let mut listener = Notifications::listen(&folder.join("n"))?;
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
        let mut listener = Notifications::listen(&folder.join("n"))?;
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
