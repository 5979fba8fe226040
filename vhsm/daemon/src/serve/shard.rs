//! Connections beyond those that have a thread of their own: a few workers serve them all.
//!
//! A thread a connection answers soonest, but thousands of them would cost more memory and time for
//! switching than they serve. What a worker does for a connection is what its thread would do; it
//! only never waits for one peer alone.

use super::accept::run_alone;
use super::conversation::{Conversation, Progress};
use crate::daemon::Daemon;
use crate::stop::StopSignal;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Connections that have a thread of their own, at most (decision 0018).
pub(crate) const MAX_THREADS: usize = 256;

/// How long a worker waits for one peer to read its answers, before the connection is ended.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_millis(100);

/// Packets of one connection before the worker looks at the others.
const PACKETS_AT_A_TIME: usize = 16;
/// Connections that one look finds ready at most.
const EVENTS: usize = 64;
/// The signal to stop, among the numbers of connections, which start at one.
const STOP: u64 = 0;

/// All workers' connections.
#[derive(Debug)]
pub(crate) struct Shards {
    shards: Vec<Shard>,
    next: AtomicUsize,
    threads: Arc<AtomicUsize>,
    max_threads: usize,
}

/// The connections of one worker.
#[derive(Debug)]
struct Shard {
    epoll: Epoll,
    seated: Mutex<HashMap<u64, Conversation>>,
}

/// A connection's own thread, until it is dropped.
#[derive(Debug)]
pub(super) struct ThreadSlot {
    threads: Arc<AtomicUsize>,
}

impl Drop for ThreadSlot {
    fn drop(&mut self) {
        self.threads.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shards {
    /// Places for as many workers as there are processors.
    pub(crate) fn new(workers: usize, max_threads: usize) -> io::Result<Self> {
        let shard = |_| {
            Ok(Shard {
                epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
                seated: Mutex::default(),
            })
        };
        Ok(Self {
            shards: (0..workers.max(1)).map(shard).collect::<io::Result<_>>()?,
            next: AtomicUsize::new(0),
            threads: Arc::default(),
            max_threads,
        })
    }

    /// How many workers there are to be.
    pub(crate) fn workers(&self) -> usize {
        self.shards.len()
    }

    /// A thread for one more connection, unless there are as many as there may be.
    pub(super) fn thread(&self) -> Option<ThreadSlot> {
        let one_more = |count: usize| (count < self.max_threads).then_some(count + 1);
        self.threads
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        Some(ThreadSlot {
            threads: Arc::clone(&self.threads),
        })
    }

    /// Has a worker serve the connection from now on.
    pub(super) fn seat(&self, conversation: Conversation) -> io::Result<()> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.shards.len();
        let Some(shard) = self.shards.get(turn) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let link = Arc::clone(conversation.link());
        // Before it can become ready.
        shard.seated().insert(link.number, conversation);
        let event = EpollEvent::new(EpollFlags::EPOLLIN, link.number);
        if let Err(errno) = shard.epoll.add(link.connection(), event) {
            shard.seated().remove(&link.number);
            return Err(errno.into());
        }
        Ok(())
    }

    /// Serves the connections of worker `index` until `stop`, and then until they have ended.
    pub(crate) fn serve(&self, daemon: &Daemon, index: usize, stop: &StopSignal) {
        if let Some(shard) = self.shards.get(index) {
            shard.serve(daemon, stop);
        }
    }
}

impl Shard {
    fn serve(&self, daemon: &Daemon, stop: &StopSignal) {
        let watched = EpollEvent::new(EpollFlags::EPOLLIN, STOP);
        if self.epoll.add(stop.as_fd(), watched).is_err() {
            return;
        }
        let mut is_stopping = false;
        let mut events = [EpollEvent::empty(); EVENTS];
        while !(is_stopping && self.seated().is_empty()) {
            let ready = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(count) => events.get(..count).unwrap_or_default(),
                Err(Errno::EINTR) => continue,
                Err(_) => return,
            };
            for event in ready {
                if event.data() == STOP {
                    // It stays as it is: looking at it again would never wait.
                    let _ = self.epoll.delete(stop.as_fd());
                    is_stopping = true;
                } else {
                    self.look_at(daemon, event.data());
                }
            }
        }
    }

    /// Serves what one connection has said.
    fn look_at(&self, daemon: &Daemon, number: u64) {
        // Out of the map while it is served: the acceptor need not wait.
        let Some(mut conversation) = self.seated().remove(&number) else {
            return;
        };
        // A fault of ours ends the one connection, as it would end its thread.
        let served = catch_unwind(AssertUnwindSafe(|| {
            for _ in 0..PACKETS_AT_A_TIME {
                match conversation.progress() {
                    Progress::Served => {}
                    other => return other,
                }
            }
            Progress::Served
        }));
        match served {
            Ok(Progress::Served | Progress::Idle) => {
                self.seated().insert(number, conversation);
            }
            // Others would wait as long as that does. So who shares memory has a thread after all;
            // there are no more of these than connections.
            Ok(Progress::Attached) => {
                let link = Arc::clone(conversation.link());
                let _ = self.epoll.delete(link.connection());
                if run_alone(conversation, ()).is_err() {
                    link.connection().shutdown();
                    daemon.forget_link(&link);
                }
            }
            Ok(Progress::Ended) | Err(_) => {
                if served.is_err() {
                    daemon.note_fault();
                }
                let link = Arc::clone(conversation.link());
                let _ = self.epoll.delete(link.connection());
                conversation.end();
            }
        }
    }

    fn seated(&self) -> MutexGuard<'_, HashMap<u64, Conversation>> {
        self.seated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
