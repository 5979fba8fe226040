//! What is still to be told to one receiver: bounded in bytes, first come first told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// Bytes that wait in all; a notice has some 400.
const MAX_WAITING_LEN: usize = 1 << 20;
/// Of these, what anybody can cause may take.
const MAX_ANYBODYS_LEN: usize = MAX_WAITING_LEN / 2;

/// One notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    /// The same at each attempt, so that a receiver that had it already can tell.
    pub(super) id: Arc<str>,
    pub(super) body: Arc<[u8]>,
    pub(super) queued: Instant,
}

/// What became of notices so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Figures {
    pub(crate) waiting: usize,
    pub(crate) delivered: u64,
    /// There was no room.
    pub(crate) dropped: u64,
    /// It was not delivered in time, or before the service ended.
    pub(crate) expired: u64,
    /// Attempts that failed.
    pub(crate) failures: u64,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    bell: Notify,
    delivered: AtomicU64,
    dropped: AtomicU64,
    expired: AtomicU64,
    failures: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    notices: VecDeque<Notice>,
    len: usize,
}

impl Queue {
    /// Takes a notice, or counts it where there is no room.
    pub(super) fn push(&self, notice: Notice, is_anybodys: bool) {
        let max = if is_anybodys {
            MAX_ANYBODYS_LEN
        } else {
            MAX_WAITING_LEN
        };
        let mut waiting = self.waiting();
        let len = waiting.len + notice.len();
        if len > max {
            drop(waiting);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.len = len;
        waiting.notices.push_back(notice);
        drop(waiting);
        self.bell.notify_one();
    }

    /// The oldest, which stays until it is taken off.
    pub(super) fn first(&self) -> Option<Notice> {
        self.waiting().notices.front().cloned()
    }

    /// The oldest, once there is one.
    pub(super) async fn next(&self) -> Notice {
        loop {
            if let Some(notice) = self.first() {
                return notice;
            }
            // A notice that came meanwhile has rung already.
            self.bell.notified().await;
        }
    }

    /// Takes the oldest off: it was delivered, or it never will be.
    pub(super) fn take_off(&self, is_delivered: bool) {
        let mut waiting = self.waiting();
        if let Some(notice) = waiting.notices.pop_front() {
            waiting.len = waiting.len.saturating_sub(notice.len());
            let count = if is_delivered {
                &self.delivered
            } else {
                &self.expired
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts an attempt in vain.
    pub(super) fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn figures(&self) -> Figures {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            waiting: self.waiting().notices.len(),
            delivered: count(&self.delivered),
            dropped: count(&self.dropped),
            expired: count(&self.expired),
            failures: count(&self.failures),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Pushed or popped, it is whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notice {
    fn len(&self) -> usize {
        self.id.len() + self.body.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(number: usize, len: usize) -> Notice {
        Notice {
            id: format!("{number}").into(),
            body: vec![b'x'; len].into(),
            queued: Instant::now(),
        }
    }

    #[test]
    fn what_does_not_fit_is_counted_and_what_waits_stays() {
        let queue = Queue::default();
        for number in 0..2000 {
            queue.push(notice(number, 1024), false);
        }
        let figures = queue.figures();
        assert_eq!(figures.waiting as u64 + figures.dropped, 2000);
        assert!((900..1024).contains(&figures.waiting), "{figures:?}");
        assert_eq!(queue.first().unwrap().id.as_ref(), "0");
    }

    #[test]
    fn what_anybody_can_cause_leaves_room_for_the_rest() {
        let queue = Queue::default();
        for number in 0..2000 {
            queue.push(notice(number, 1024), true);
        }
        let before = queue.figures();
        assert!(before.waiting < 512, "{before:?}");
        for number in 0..100 {
            queue.push(notice(number, 1024), false);
        }
        let after = queue.figures();
        assert_eq!(after.waiting, before.waiting + 100);
        assert_eq!(after.dropped, before.dropped);
    }

    #[test]
    fn what_is_taken_off_makes_room() {
        let queue = Queue::default();
        queue.push(notice(0, MAX_WAITING_LEN - 1), false);
        queue.push(notice(1, 1), false);
        assert_eq!(queue.figures().dropped, 1);
        queue.take_off(true);
        queue.push(notice(2, MAX_WAITING_LEN - 1), false);
        queue.take_off(false);
        queue.take_off(false);
        let figures = queue.figures();
        assert_eq!(
            (figures.delivered, figures.expired, figures.waiting),
            (1, 1, 0)
        );
    }
}
