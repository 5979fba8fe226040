use super::back_off::BackOffs;
use super::reach::Reach;
use super::renewal::Spread;
use super::stage::{Challenged, Destination, Ended, InClear, Ordered, Wanted};
use super::{EvidenceWanted, Order, RoundError, RoundFailure, RoundId, Settled, WantRefused};
use crate::policy::TeeKeyChoice;
use crate::{Draw, Now, Want};
use nitride_kbs::tee_key::TeeKeyForm;
use nitride_protocol::agent::RoundCause;
use std::collections::{BTreeSet, HashMap, VecDeque};
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

/// Of whom something is wanted, and why.
#[derive(Debug)]
pub(super) struct Asked {
    /// The preferred one first; at least one.
    pub(super) services: Vec<String>,
    pub(super) cause: RoundCause,
    /// Keys that a round has room for, beside the lists of signers.
    pub(super) room: usize,
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
    reach: Reach,
    /// Services whose last round had a weaker key than their policy would have had rather.
    weaker: BTreeSet<String>,
    /// Where in their time leases are renewed.
    pub(super) spread: Spread,
    /// What settled while an order was put together. Until it is handed out, which the next call
    /// that ends rounds does, its wants count as under way.
    in_passing: Vec<Settled>,
}

enum Live {
    Ordered(Box<Ordered>),
    Challenged(Box<Challenged>),
    InClear(Box<InClear>),
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
        asked: Asked,
        now: Now,
        draw: &mut dyn Draw,
    ) -> Result<RoundId, WantRefused> {
        if let Some(round) = self.flights.get(want) {
            if let Some(queued) = self.queue.iter_mut().find(|queued| queued.id() == *round) {
                queued.raise(asked.cause);
            }
            return Ok(*round);
        }
        if let Some((until_boot_ms, last)) = self.back_offs.pending(want, now) {
            return Err(WantRefused::BackOff {
                until_boot_ms,
                last,
            });
        }
        let services = self.reach.in_order(&asked.services, now);
        let asked = Asked { services, ..asked };
        let new_id = || {
            let mut id = [0; 16];
            draw.fill(&mut id);
            RoundId(id)
        };
        let round = self.queue_up(want, asked, new_id);
        round.ok_or(WantRefused::NoService)
    }

    /// Puts a want in line for the first of its services; the rest are left should it not be
    /// reached.
    fn queue_up(
        &mut self,
        want: &Want,
        asked: Asked,
        new_id: impl FnOnce() -> RoundId,
    ) -> Option<RoundId> {
        let Asked {
            services,
            cause,
            room,
        } = asked;
        let mut services = services.into_iter();
        let service = services.next()?;
        let spare: Vec<String> = services.collect();
        let has_spare = !spare.is_empty();
        let mut queued = self.queue.iter_mut();
        let id = match queued.find(|round| round.takes(&service, has_spare, room)) {
            Some(round) => {
                round.add(want.clone(), spare, cause);
                round.id()
            }
            None => {
                let mut round = Wanted::new(new_id(), service, (cause, room));
                round.add(want.clone(), spare, cause);
                let id = round.id();
                self.queue.push_back(round);
                id
            }
        };
        self.flights.insert(want.clone(), id);
        Some(id)
    }

    pub(super) fn next_order(&mut self, to: &Destination<'_>, now: Now) -> Option<Order> {
        while self.live.len() < MAX_LIVE_ROUNDS {
            let wanted = self.queue.pop_front()?;
            let (ordered, settled) = wanted.order(to, now);
            self.in_passing.extend(settled);
            if let Some(ordered) = ordered {
                let order = ordered.to_order();
                let live = match ordered.is_in_clear() {
                    false => Live::Ordered(Box::new(ordered)),
                    true => Live::InClear(Box::new(InClear::new(ordered, now))),
                };
                self.live.insert(order.round, live);
                return Some(order);
            }
        }
        None
    }

    pub(super) fn challenge(
        &mut self,
        round: &RoundId,
        nonce: &str,
        offered: &[&str],
        to: &Destination<'_>,
        now: Now,
    ) -> Result<EvidenceWanted, RoundError> {
        self.live(round, now)?;
        match self.live.get(round) {
            Some(Live::Challenged(_)) => return Err(RoundError::AlreadyChallenged),
            Some(Live::InClear(_)) => return Err(RoundError::InClear),
            Some(Live::Ordered(_)) | None => {}
        }
        let ordered = self.live(round, now)?;
        let key = ordered.make_key(nonce, offered, to)?;
        let service = ordered.service().to_owned();
        // Those that the policy knows no more are nobody's to warn of.
        self.weaker
            .retain(|known| to.policy.service(known).is_some());
        self.weaker.remove(&service);
        let choice = to.policy.service(&service).map(|service| service.tee_key);
        if choice == Some(TeeKeyChoice::HybridOrP256) && key.form() != TeeKeyForm::X25519MlKem768 {
            self.weaker.insert(service);
        }
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
            Some(Live::InClear(_)) => Err(RoundError::InClear),
            _ => Err(RoundError::NotChallenged),
        }
    }

    /// A round that has no key, since the courier reads what it brings, while its budget lasts.
    pub(super) fn in_clear(
        &mut self,
        round: &RoundId,
        now: Now,
    ) -> Result<&mut InClear, RoundError> {
        self.live(round, now)?;
        match self.live.get_mut(round) {
            Some(Live::InClear(in_clear)) => Ok(in_clear),
            _ => Err(RoundError::NotInClear),
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

    pub(super) fn forget_failures(&mut self) {
        self.back_offs.clear();
        self.reach.clear();
    }

    pub(super) fn is_live(&self, round: &RoundId) -> bool {
        self.live.contains_key(round)
    }

    /// Whether the last round of this service had a weaker key than the policy would have had rather.
    pub(super) fn is_weaker(&self, service: &str) -> bool {
        self.weaker.contains(service)
    }

    /// How the last round for `want` failed, and when the next may begin.
    pub(super) fn last_failure(&self, want: &Want) -> Option<(u64, &RoundFailure)> {
        self.back_offs.last(want)
    }

    fn hand_out(&mut self, ended: impl IntoIterator<Item = Ended>, now: Now) -> Vec<Settled> {
        let mut all = std::mem::take(&mut self.in_passing);
        self.note(&all, 0, now);
        for round in ended {
            let settled = self.go_on(round, now);
            all.extend(settled);
        }
        all
    }

    /// Asks another service for what the round's could not be reached for; the rest settles.
    fn go_on(&mut self, mut round: Ended, now: Now) -> Vec<Settled> {
        self.note_reach(&round, now);
        let mut settled = Vec::with_capacity(round.settled.len());
        let mut next_id = round.round;
        for one in std::mem::take(&mut round.settled) {
            let is_no_answer = one.outcome.as_ref().is_err_and(RoundFailure::is_no_answer);
            let spare = round.spares.remove(&one.want).filter(|_| is_no_answer);
            let (queue, live) = (&self.queue, &self.live);
            let mut new_id = next_id.following();
            while live.contains_key(&new_id) || queue.iter().any(|queued| queued.id() == new_id) {
                new_id = new_id.following();
            }
            let goes_on = spare.and_then(|services| {
                let asked = Asked {
                    services: self.reach.in_order(&services, now),
                    cause: round.cause,
                    room: round.room,
                };
                self.queue_up(&one.want, asked, || new_id)
            });
            match goes_on {
                Some(_) => next_id = new_id,
                None => settled.push(one),
            }
        }
        self.note(&settled, round.retry_after_ms, now);
        settled
    }

    /// One word on the service for the whole round: an answer to anything is one.
    fn note_reach(&mut self, round: &Ended, now: Now) {
        let outcomes = || round.settled.iter().map(|one| one.outcome.as_ref());
        let is_no_answer =
            |outcome: &Result<&(), &RoundFailure>| outcome.is_err_and(RoundFailure::is_no_answer);
        let said = outcomes().find(|outcome| !is_no_answer(outcome));
        if let Some(outcome) = said.or_else(|| outcomes().next()) {
            self.reach.note(&round.service, outcome.copied(), now);
        }
    }

    /// Ends the flights of what has settled, and keeps what a next try has to know.
    fn note(&mut self, settled: &[Settled], retry_after_ms: u32, now: Now) {
        for Settled { want, outcome, .. } in settled {
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
            Self::InClear(in_clear) => in_clear.ordered_mut(),
        }
    }

    fn settle(self, otherwise: &RoundFailure) -> Ended {
        match self {
            Self::Ordered(ordered) => ordered.settle(otherwise),
            Self::Challenged(challenged) => challenged.settle(otherwise),
            Self::InClear(in_clear) => in_clear.settle(otherwise),
        }
    }
}

/// The stage and nothing inside it.
impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ordered(_) => "Ordered",
            Self::Challenged(_) => "Challenged",
            Self::InClear(_) => "InClear",
        })
    }
}
