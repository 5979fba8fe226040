//! `attest`: evidence takes nitride-quote a while, and no thread of a connection waits for it.
//!
//! The request is kept as a parked one is. When nitride-quote has answered, or refused, it is
//! performed again with that: the peer is identified and judged anew before anything leaves.

use super::parked::ParkedRequest;
use crate::config::Evidence;
use crate::daemon::Daemon;
use crate::rounds::{MadeEvidence, NoEvidence, ask};
use nitride_protocol::Status;
use nitride_vault::audit::Chain;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, mpsc};

/// Of the places at nitride-quote, those that `attest` takes at most: rounds have the others.
const SEATS: usize = 2;
/// Requests at a time, those that wait for a place included.
const MAX_REQUESTS: usize = 16;
/// Of these, of one user.
const MAX_REQUESTS_PER_UID: usize = 4;

/// What nitride-quote said, and what it was asked.
#[derive(Debug)]
pub(crate) struct Attestation {
    /// The head of the audit when it was asked.
    pub(super) head: Chain,
    /// What the evidence is over.
    pub(super) report_data: [u8; 48],
    /// The evidence, or why there is none.
    pub(super) made: Result<MadeEvidence, NoEvidence>,
}

/// As many requests for evidence are under way as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooManyAttestations {
    /// Of everybody.
    #[error("as many requests for evidence are under way as may be")]
    OfAll,
    /// Of this user.
    #[error("as many requests of the user for evidence are under way as may be")]
    OfUser,
}

/// A request that evidence is made for.
#[derive(Debug)]
struct Asked {
    request: ParkedRequest,
    over: (Chain, [u8; 48]),
    place: AttestPlace,
}

/// Those who wait for evidence.
#[derive(Debug)]
pub(crate) struct Attesting {
    line: mpsc::UnboundedSender<Asked>,
    asked: tokio::sync::Mutex<mpsc::UnboundedReceiver<Asked>>,
    seats: Arc<Semaphore>,
    under_way: Arc<Mutex<HashMap<u32, usize>>>,
}

/// A place in the line, until it is dropped.
#[derive(Debug)]
pub(super) struct AttestPlace {
    uid: u32,
    under_way: Arc<Mutex<HashMap<u32, usize>>>,
}

impl Default for Attesting {
    fn default() -> Self {
        // Bounded by the places.
        let (line, asked) = mpsc::unbounded_channel();
        Self {
            line,
            asked: tokio::sync::Mutex::new(asked),
            seats: Arc::new(Semaphore::new(SEATS)),
            under_way: Arc::default(),
        }
    }
}

impl Attesting {
    /// A place for a request of `uid`.
    pub(super) fn place(&self, uid: u32) -> Result<AttestPlace, TooManyAttestations> {
        let mut under_way = lock(&self.under_way);
        if under_way.values().sum::<usize>() >= MAX_REQUESTS {
            return Err(TooManyAttestations::OfAll);
        }
        let of_user = under_way.entry(uid).or_default();
        if *of_user >= MAX_REQUESTS_PER_UID {
            return Err(TooManyAttestations::OfUser);
        }
        *of_user += 1;
        Ok(AttestPlace {
            uid,
            under_way: Arc::clone(&self.under_way),
        })
    }

    /// Has evidence made for `request`, which is answered then; `over` report data, and the head
    /// of the audit that may be part of it.
    pub(super) fn ask(
        &self,
        request: ParkedRequest,
        over: (Chain, [u8; 48]),
        place: AttestPlace,
    ) -> Result<(), Status> {
        let asked = Asked {
            request,
            over,
            place,
        };
        self.line.send(asked).map_err(|_| Status::ShuttingDown)
    }
}

impl Drop for AttestPlace {
    fn drop(&mut self) {
        let mut under_way = lock(&self.under_way);
        if let Some(count) = under_way.get_mut(&self.uid) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                under_way.remove(&self.uid);
            }
        }
    }
}

fn lock(under_way: &Mutex<HashMap<u32, usize>>) -> MutexGuard<'_, HashMap<u32, usize>> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks nitride-quote for those who wait, in their order. Runs for ever.
pub(crate) async fn attest_all(daemon: Arc<Daemon>) {
    let mut line = daemon.attesting.asked.lock().await;
    while let Some(asked) = line.recv().await {
        // Held until the thread that asks has ended, so that a helper that does not answer holds no
        // more threads than these. Nobody closes either.
        let seat = Arc::clone(&daemon.attesting.seats).acquire_owned().await;
        let evidence_seat = Arc::clone(&daemon.evidence_seats).acquire_owned().await;
        let daemon = Arc::clone(&daemon);
        tokio::task::spawn_blocking(move || {
            let Asked {
                request,
                over: (head, report_data),
                place,
            } = asked;
            let made = make(daemon.config.evidence.as_ref(), &report_data);
            drop((seat, evidence_seat, place));
            let attestation = Attestation {
                head,
                report_data,
                made,
            };
            request.resume(&daemon, Some(attestation));
        });
    }
}

fn make(from: Option<&Evidence>, report_data: &[u8; 48]) -> Result<MadeEvidence, NoEvidence> {
    ask(from.ok_or(NoEvidence::NotConfigured)?, report_data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_user_takes_all_places_and_there_are_no_more_than_there_may_be() {
        let attesting = Attesting::default();
        let full = |uid| attesting.place(uid).map(drop).unwrap_err();
        let mut places: Vec<_> = (0..MAX_REQUESTS_PER_UID)
            .map(|_| attesting.place(7).unwrap())
            .collect();
        assert_eq!(full(7), TooManyAttestations::OfUser);
        for uid in 8..11 {
            places.extend((0..MAX_REQUESTS_PER_UID).map(|_| attesting.place(uid).unwrap()));
        }
        assert_eq!(full(99), TooManyAttestations::OfAll);
        drop(places);
        assert!(attesting.place(7).is_ok());
        assert!(lock(&attesting.under_way).is_empty());
    }

    #[test]
    fn without_a_tee_there_is_no_evidence() {
        assert!(matches!(
            make(None, &[0; 48]),
            Err(NoEvidence::NotConfigured)
        ));
    }
}
