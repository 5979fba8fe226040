//! Between those who wait and the rounds that bring what they wait for.
//!
//! A request finds, without a lock, that something is missing; by the time it is parked the round
//! may have ended, and it would wait for nothing, or begin a second round. So settling is counted,
//! under the lock under which requests are parked: who finds that something settled since it
//! looked, looks again instead.

use super::parking::ParkingLot;
use crate::event::Event;
use crate::randomness::SystemDraw;
use crate::serve::ParkedRequest;
use crate::watch::Watch;
use nitride_protocol::Status;
use nitride_vault::rounds::{RoundFailure, Settled, WantRefused};
use nitride_vault::{Now, Vault, Want};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Who waits.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// A request, to be performed again.
    Request(Box<ParkedRequest>),
    /// A thread that serves a reader, to be told the outcome.
    Reader(Sender<Woken>),
}

/// How a wait ended: what was wanted may be there now, or whoever waited is told why not.
pub(crate) type Woken = Result<(), Status>;

/// How many times settling has happened; see [`Waiting::moment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(u64);

/// What came of trying to wait.
#[derive(Debug)]
pub(crate) enum Parking {
    /// The waiter is kept.
    Waits,
    /// Something has settled meanwhile: try again first.
    TryAgain(Waiter),
    /// No round is begun.
    Refused(WantRefused),
}

/// Everyone who waits for a round.
#[derive(Debug)]
pub(crate) struct Waiting {
    watch: Arc<Watch>,
    lot: Mutex<ParkingLot<Waiter>>,
    parked: AtomicUsize,
    settlements: AtomicU64,
    woken: Mutex<Queue>,
    work: Condvar,
    /// Rung when an order may be there for the agent.
    pub(crate) order_bell: Notify,
    /// Rung when the next deadline may be earlier.
    pub(crate) deadline_bell: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    woken: VecDeque<Box<ParkedRequest>>,
    is_closed: bool,
}

impl Waiting {
    /// Nobody waits yet.
    pub(crate) fn new(watch: Arc<Watch>) -> Self {
        Self {
            watch,
            lot: Mutex::default(),
            parked: AtomicUsize::new(0),
            settlements: AtomicU64::new(0),
            woken: Mutex::default(),
            work: Condvar::new(),
            order_bell: Notify::new(),
            deadline_bell: Notify::new(),
        }
    }

    /// To be taken before one looks whether what one needs is there.
    pub(crate) fn moment(&self) -> Moment {
        Moment(self.settlements.load(Ordering::Acquire))
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    /// Keeps `waiter` until `want` settles or the deadline passes, and sees to it that a round for
    /// it is under way. `seen` is from before the waiter found that it is missing.
    pub(crate) fn park(
        &self,
        vault: &Vault,
        want: Want,
        seen: Moment,
        deadline_ms: u64,
        waiter: Waiter,
        now: Now,
    ) -> Parking {
        let mut lot = self.lot();
        if self.moment() != seen {
            return Parking::TryAgain(waiter);
        }
        if let Err(refused) = vault.want(&want, now, &mut SystemDraw) {
            return Parking::Refused(refused);
        }
        let is_first = lot
            .next_deadline_ms()
            .is_none_or(|first| deadline_ms < first);
        lot.park(want, deadline_ms, waiter);
        self.note_len(&lot);
        drop(lot);
        self.order_bell.notify_one();
        if is_first {
            self.deadline_bell.notify_one();
        }
        Parking::Waits
    }

    /// Ends rounds by `end`, and wakes those who waited for what has settled.
    pub(crate) fn settle(&self, end: impl FnOnce() -> Vec<Settled>) {
        let mut lot = self.lot();
        let settled = end();
        if settled.is_empty() {
            return;
        }
        self.settlements.fetch_add(1, Ordering::Release);
        let mut woken = Vec::new();
        for one in &settled {
            let outcome = one.outcome.as_ref().map_err(RoundFailure::status);
            let waiters = lot.settle(&one.want);
            woken.extend(waiters.into_iter().map(|waiter| (waiter, outcome.copied())));
        }
        self.note_len(&lot);
        drop(lot);
        // An order may have waited for a round to end.
        self.order_bell.notify_one();
        for settled in &settled {
            Event::Settled { settled }.emit();
            self.watch.settled(settled);
        }
        self.wake(woken);
    }

    /// Wakes those whose deadline has come, with `status`.
    pub(crate) fn expire(&self, now: Now, status: Status) {
        let mut lot = self.lot();
        let expired = lot.expire(now.boot_ms);
        self.note_len(&lot);
        drop(lot);
        self.wake(expired.into_iter().map(|waiter| (waiter, Err(status))));
    }

    /// Wakes everybody, with `status`.
    pub(crate) fn drain(&self, status: Status) {
        let mut lot = self.lot();
        let drained = lot.drain();
        self.note_len(&lot);
        drop(lot);
        self.wake(drained.into_iter().map(|waiter| (waiter, Err(status))));
    }

    /// Forgets the requests of a connection that has ended.
    pub(crate) fn forget_connection(&self, number: u64) {
        let mut lot = self.lot();
        let gone = lot.remove_where(|waiter| match waiter {
            Waiter::Request(request) => request.connection_number() == number,
            Waiter::Reader(_) => false,
        });
        self.note_len(&lot);
        drop(lot);
        // Outside the lock: what is dropped is zeroed and given back to its user's account.
        drop(gone);
    }

    /// When the next deadline is, in milliseconds of CLOCK_BOOTTIME.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        self.lot().next_deadline_ms()
    }

    /// Tells waiters. Who waited in vain is told at once, which takes no time; what is to be
    /// performed is put in line for the threads that do.
    pub(crate) fn wake(&self, woken: impl IntoIterator<Item = (Waiter, Woken)>) {
        let mut requests = Vec::new();
        for (waiter, outcome) in woken {
            match (waiter, outcome) {
                // Who has stopped listening does not want to know.
                (Waiter::Reader(told), outcome) => drop(told.send(outcome)),
                (Waiter::Request(request), Err(status)) => request.refuse(status, &self.watch),
                (Waiter::Request(request), Ok(())) => requests.push(request),
            }
        }
        if !requests.is_empty() {
            self.queue().woken.extend(requests);
            self.work.notify_all();
        }
    }

    /// The next in line; waits for one. `None` once the line is closed and empty.
    pub(crate) fn next_woken(&self) -> Option<Box<ParkedRequest>> {
        let mut queue = self.queue();
        loop {
            if let Some(next) = queue.woken.pop_front() {
                return Some(next);
            }
            if queue.is_closed {
                return None;
            }
            queue = self
                .work
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends the threads that perform what was woken, once the line is empty.
    pub(crate) fn close(&self) {
        self.queue().is_closed = true;
        self.work.notify_all();
    }

    fn note_len(&self, lot: &ParkingLot<Waiter>) {
        self.parked.store(lot.len(), Ordering::Relaxed);
    }

    fn lot(&self) -> MutexGuard<'_, ParkingLot<Waiter>> {
        self.lot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn round_that_ends_rings_for_the_order_that_had_no_room() {
        let waiting = Waiting::new(Arc::new(Watch::without_files()));
        let is_rung = || {
            let bell = pin!(waiting.order_bell.notified());
            bell.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
        };
        waiting.settle(Vec::new);
        assert!(!is_rung());
        let want = Want::Gate { name: "a".into() };
        waiting.settle(|| {
            vec![Settled {
                want,
                outcome: Ok(()),
                in_clear: false,
            }]
        });
        assert!(is_rung());
    }
}
