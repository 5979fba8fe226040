//! The devices behind a queue: one call at a time, and nobody waits for ever.

use std::collections::VecDeque;
use std::sync::mpsc::{RecvTimeoutError, SendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Requests of each kind of turn that may wait for the device. One caller has one or two under way.
const MAX_QUEUE_LEN: usize = 8;
/// After how many times what a request may take, the one at hand is taken to hang for ever.
const PATIENCE: u32 = 4;

/// Why a device gave no answer.
#[derive(Debug, Error)]
pub(crate) enum DeviceError {
    #[error("too many requests wait for the device")]
    Busy,
    #[error("the device did not answer in time")]
    TimedOut,
    #[error("the device's thread has ended")]
    Stopped,
}

/// When a request is the next one, of those that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// After those that came before it.
    InOrder,
    /// Once nothing else waits.
    Yields,
}

/// Asks the devices `D` from a thread of its own: a call into firmware cannot be interrupted, and
/// the interfaces (configfs-tsm, /dev/sev-guest, a TPM) do not bear two at once.
#[derive(Debug)]
pub(crate) struct Device<D> {
    timeout: Duration,
    line: Arc<Line<D>>,
    thread: JoinHandle<()>,
}

struct Job<D> {
    deadline: Instant,
    call: Call<D>,
}

/// Is told the deadline.
type Call<D> = Box<dyn FnOnce(&mut D, Instant) + Send>;

/// Where jobs wait.
struct Line<D> {
    jobs: Mutex<Jobs<D>>,
    changed: Condvar,
}

struct Jobs<D> {
    in_order: VecDeque<Job<D>>,
    yielding: VecDeque<Job<D>>,
    /// When the one that is with the device began.
    began: Option<Instant>,
    is_closed: bool,
}

impl<D> std::fmt::Debug for Line<D> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Line")
    }
}

impl<D> Line<D> {
    fn new() -> Self {
        Self {
            jobs: Mutex::new(Jobs {
                in_order: VecDeque::new(),
                yielding: VecDeque::new(),
                began: None,
                is_closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// No call is made under the lock, so that none leaves it poisoned.
    fn jobs(&self) -> MutexGuard<'_, Jobs<D>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, turn: Turn, job: Job<D>) -> Result<(), DeviceError> {
        let mut jobs = self.jobs();
        if jobs.is_closed {
            return Err(DeviceError::Stopped);
        }
        let queue = match turn {
            Turn::InOrder => &mut jobs.in_order,
            Turn::Yields => &mut jobs.yielding,
        };
        if queue.len() >= MAX_QUEUE_LEN {
            return Err(DeviceError::Busy);
        }
        queue.push_back(job);
        self.changed.notify_one();
        Ok(())
    }

    /// The next job, which has begun with this; `None` once nobody asks any more.
    fn next(&self) -> Option<Job<D>> {
        let mut jobs = self.jobs();
        jobs.began = None;
        loop {
            let next = jobs.in_order.pop_front();
            if let Some(job) = next.or_else(|| jobs.yielding.pop_front()) {
                jobs.began = Some(Instant::now());
                return Some(job);
            }
            if jobs.is_closed {
                return None;
            }
            jobs = self
                .changed
                .wait(jobs)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self) {
        let mut jobs = self.jobs();
        jobs.is_closed = true;
        self.changed.notify_one();
    }
}

/// Held by the device's thread: whoever waits hears when it ends.
struct Ending<D>(Arc<Line<D>>);

impl<D> Drop for Ending<D> {
    fn drop(&mut self) {
        self.0.close();
        let mut jobs = self.0.jobs();
        let left = [
            std::mem::take(&mut jobs.in_order),
            std::mem::take(&mut jobs.yielding),
        ];
        drop(jobs);
        drop(left);
    }
}

impl<D> Drop for Device<D> {
    fn drop(&mut self) {
        self.line.close();
    }
}

impl<D: Send + 'static> Device<D> {
    /// Calls are made on the device's thread. A request, its wait in the queue included, may take
    /// `timeout`.
    pub(crate) fn start(timeout: Duration, mut devices: D) -> std::io::Result<Self> {
        let line = Arc::new(Line::new());
        let ending = Ending(Arc::clone(&line));
        let thread = std::thread::Builder::new()
            .name("device".to_owned())
            .spawn(move || {
                while let Some(job) = ending.0.next() {
                    // Whoever asked has given up: the device is for those who still wait.
                    if Instant::now() < job.deadline {
                        (job.call)(&mut devices, job.deadline);
                    }
                }
            })?;
        Ok(Self {
            timeout,
            line,
            thread,
        })
    }

    /// Whether the thread has ended, which it does by a fault alone: nothing will be answered any
    /// more.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// For how long the call at hand has been with the device, if that is so long that nothing can be
    /// expected of it any more, nor of any that waits behind it.
    pub(crate) fn hangs_for(&self) -> Option<Duration> {
        let began = self.line.jobs().began?;
        Some(began.elapsed()).filter(|taken| *taken > self.timeout * PATIENCE)
    }

    /// What `call` answers. An answer that comes too late is dropped, and erases what it holds.
    pub(crate) fn ask<R: Send + 'static>(
        &self,
        call: impl FnOnce(&mut D) -> R + Send + 'static,
    ) -> Result<R, DeviceError> {
        self.ask_or_take_back(call, |_, late| drop(late))
    }

    /// As [`Self::ask`], in its turn; `call` is told until when anybody waits for it.
    pub(crate) fn ask_by<R: Send + 'static>(
        &self,
        turn: Turn,
        call: impl FnOnce(&mut D, Instant) -> R + Send + 'static,
    ) -> Result<R, DeviceError> {
        self.put(turn, call, |_, late| drop(late))
    }

    /// As [`Self::ask`]; an answer that comes too late goes to `take_back`, before any other call.
    pub(crate) fn ask_or_take_back<R: Send + 'static>(
        &self,
        call: impl FnOnce(&mut D) -> R + Send + 'static,
        take_back: impl FnOnce(&mut D, R) + Send + 'static,
    ) -> Result<R, DeviceError> {
        self.put(Turn::InOrder, |devices, _| call(devices), take_back)
    }

    fn put<R: Send + 'static>(
        &self,
        turn: Turn,
        call: impl FnOnce(&mut D, Instant) -> R + Send + 'static,
        take_back: impl FnOnce(&mut D, R) + Send + 'static,
    ) -> Result<R, DeviceError> {
        // It has no room: what was sent was received, and what was not comes back.
        let (answer, answered) = sync_channel(0);
        let job = Job {
            deadline: Instant::now() + self.timeout,
            call: Box::new(move |devices, by| {
                if let Err(SendError(late)) = answer.send(call(devices, by)) {
                    take_back(devices, late);
                }
            }),
        };
        self.line.put(turn, job)?;
        match answered.recv_timeout(self.timeout) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) => Err(DeviceError::TimedOut),
            // The thread skips a job at its deadline, and drops every job when it ends.
            Err(RecvTimeoutError::Disconnected) => Err(DeviceError::TimedOut),
        }
    }
}

#[cfg(test)]
mod tests;
