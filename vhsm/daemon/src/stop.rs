use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// Held by whoever ends the accepting threads; dropping it ends them.
///
/// Listening sockets are not shut down instead: one that systemd handed over is shared with it,
/// and must serve the next instance.
#[derive(Debug)]
pub(crate) struct Stopper {
    _end: UnixStream,
}

/// Tells an accepting thread to end.
#[derive(Debug)]
pub(crate) struct StopSignal {
    end: UnixStream,
}

/// What a wait ended with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The descriptor has something.
    Ready,
    /// It is time to stop.
    Stopped,
}

/// A stopper and its signal.
pub(crate) fn stopper() -> io::Result<(Stopper, StopSignal)> {
    let (one, other) = UnixStream::pair()?;
    Ok((Stopper { _end: one }, StopSignal { end: other }))
}

impl StopSignal {
    /// The same signal for another thread.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        let end = self.end.try_clone()?;
        Ok(Self { end })
    }

    /// What becomes readable when it is time to stop.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }

    /// Waits until `descriptor` can be read or accepted from, or it is time to stop.
    pub(crate) fn wait_for(&self, descriptor: BorrowedFd<'_>) -> Wait {
        loop {
            let mut watched = [
                PollFd::new(self.end.as_fd(), PollFlags::POLLIN),
                PollFd::new(descriptor, PollFlags::POLLIN),
            ];
            match poll(&mut watched, PollTimeout::NONE) {
                Ok(_) if watched[0].any() == Some(false) => return Wait::Ready,
                Err(Errno::EINTR) => {}
                // Told to, or the kernel has no memory to poll with: either way not to go on.
                Ok(_) | Err(_) => return Wait::Stopped,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn signal_reaches_every_thread_and_input_goes_first_to_nobody() {
        let (stopper, signal) = stopper().unwrap();
        let other = signal.try_clone().unwrap();
        let (read, mut write) = UnixStream::pair().unwrap();
        write.write_all(b"x").unwrap();
        assert_eq!(signal.wait_for(read.as_fd()), Wait::Ready);
        drop(stopper);
        assert_eq!(signal.wait_for(read.as_fd()), Wait::Stopped);
        assert_eq!(other.wait_for(read.as_fd()), Wait::Stopped);
    }
}
