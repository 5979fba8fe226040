use super::back_off::BackOffs;
use super::stage::{Challenged, Destination, Ended, Ordered, RoundKey, Wanted};
use super::{EvidenceWanted, Order, RoundError, RoundFailure, RoundId, Settled, WantRefused};
use crate::{Draw, Now, Want};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Rounds that the courier may have at a time. Each holds a key in the arena, and a courier that
/// takes orders without ending them gets no more until those expire.
const MAX_LIVE_ROUNDS: usize = 16;

/// The rounds under way.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    table: Mutex<Table>,
}

/// Every want is in one round, and every round in one of two places.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Orders to be taken, oldest first.
    queue: VecDeque<Wanted>,
    /// Orders that were taken.
    live: HashMap<RoundId, Live>,
    /// Which round each want is in.
    flights: HashMap<Want, RoundId>,
    back_offs: BackOffs,
    /// What settled while an order was put together. Until it is handed out, which the next call
    /// that ends rounds does, its wants count as under way.
    in_passing: Vec<Settled>,
}

enum Live {
    Ordered(Ordered),
    Challenged(Box<Challenged>),
}

impl Rounds {
    /// A panic under the lock leaves at worst a round that expires: nothing of a key is here.
    pub(super) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    pub(super) fn want(
        &mut self,
        want: &Want,
        service: &str,
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<RoundId, WantRefused> {
        if let Some(round) = self.flights.get(want) {
            return Ok(*round);
        }
        if let Some((until_boot_ms, last)) = self.back_offs.pending(want, now) {
            return Err(WantRefused::BackOff {
                until_boot_ms,
                last,
            });
        }
        let at = match self.queue.iter().position(|round| round.takes(service)) {
            Some(at) => at,
            None => {
                let mut id = [0; 16];
                draw.fill(&mut id);
                self.queue
                    .push_back(Wanted::new(RoundId(id), service.to_owned()));
                self.queue.len() - 1
            }
        };
        let Some(round) = self.queue.get_mut(at) else {
            return Err(WantRefused::NoService);
        };
        round.add(want.clone());
        self.flights.insert(want.clone(), round.id());
        Ok(round.id())
    }

    pub(super) fn next_order(&mut self, to: &Destination<'_>, now: Now) -> Option<Order> {
        while self.live.len() < MAX_LIVE_ROUNDS {
            let wanted = self.queue.pop_front()?;
            let (ordered, settled) = wanted.order(to, now);
            self.in_passing.extend(settled);
            if let Some(ordered) = ordered {
                let order = ordered.to_order();
                self.live.insert(ordered.id(), Live::Ordered(ordered));
                return Some(order);
            }
        }
        None
    }

    pub(super) fn challenge(
        &mut self,
        round: &RoundId,
        nonce: &str,
        now: Now,
    ) -> Result<EvidenceWanted, RoundError> {
        self.live(round, now)?;
        if let Some(Live::Challenged(_)) = self.live.get(round) {
            return Err(RoundError::AlreadyChallenged);
        }
        let key = RoundKey::make(nonce)?;
        let Some(Live::Ordered(ordered)) = self.live.remove(round) else {
            return Err(RoundError::UnknownRound);
        };
        let (challenged, evidence) = ordered.challenge(key, now);
        let challenged = Live::Challenged(Box::new(challenged));
        self.live.insert(*round, challenged);
        Ok(evidence)
    }

    /// A round that the courier has, while its budget lasts.
    pub(super) fn live(&mut self, round: &RoundId, now: Now) -> Result<&mut Ordered, RoundError> {
        let live = self.live.get_mut(round).ok_or(RoundError::UnknownRound)?;
        let ordered = live.ordered_mut();
        if ordered.has_expired(now) {
            return Err(RoundError::Expired);
        }
        Ok(ordered)
    }

    /// A round that has its key, while its budget lasts.
    pub(super) fn challenged(
        &mut self,
        round: &RoundId,
        now: Now,
    ) -> Result<&mut Challenged, RoundError> {
        self.live(round, now)?;
        match self.live.get_mut(round) {
            Some(Live::Challenged(challenged)) => Ok(challenged),
            _ => Err(RoundError::NotChallenged),
        }
    }

    pub(super) fn end(
        &mut self,
        round: &RoundId,
        otherwise: &RoundFailure,
        now: Now,
    ) -> Vec<Settled> {
        let ended = self.live.remove(round).map(|live| live.settle(otherwise));
        self.hand_out(ended, now)
    }

    pub(super) fn end_all(&mut self, otherwise: &RoundFailure, now: Now) -> Vec<Settled> {
        let mut ended: Vec<_> = self
            .live
            .drain()
            .map(|(_, live)| live.settle(otherwise))
            .collect();
        ended.extend(self.queue.drain(..).map(|wanted| wanted.settle(otherwise)));
        self.hand_out(ended, now)
    }

    pub(super) fn expire(&mut self, now: Now) -> Vec<Settled> {
        let ended: Vec<_> = self
            .live
            .extract_if(|_, live| live.ordered_mut().has_expired(now))
            .map(|(_, live)| live.settle(&RoundFailure::TimedOut))
            .collect();
        self.hand_out(ended, now)
    }

    pub(super) fn clear_back_offs(&mut self) {
        self.back_offs.clear();
    }

    fn hand_out(&mut self, ended: impl IntoIterator<Item = Ended>, now: Now) -> Vec<Settled> {
        let mut all = std::mem::take(&mut self.in_passing);
        self.note(&all, 0, now);
        for round in ended {
            self.note(&round.settled, round.retry_after_ms, now);
            all.extend(round.settled);
        }
        all
    }

    /// Ends the flights of what has settled, and keeps what a next try has to know.
    fn note(&mut self, settled: &[Settled], retry_after_ms: u32, now: Now) {
        for Settled { want, outcome } in settled {
            self.flights.remove(want);
            match outcome {
                Ok(()) => self.back_offs.succeeded(want),
                Err(failure) if failure.backs_off() => {
                    self.back_offs
                        .failed(want.clone(), failure.clone(), retry_after_ms, now);
                }
                Err(_) => {}
            }
        }
    }
}

impl Live {
    fn ordered_mut(&mut self) -> &mut Ordered {
        match self {
            Self::Ordered(ordered) => ordered,
            Self::Challenged(challenged) => challenged.ordered_mut(),
        }
    }

    fn settle(self, otherwise: &RoundFailure) -> Ended {
        match self {
            Self::Ordered(ordered) => ordered.settle(otherwise),
            Self::Challenged(challenged) => challenged.settle(otherwise),
        }
    }
}

/// The stage and nothing inside it.
impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ordered(_) => "Ordered",
            Self::Challenged(_) => "Challenged",
        })
    }
}
