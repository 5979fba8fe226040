use crate::answer::{read_challenge, read_resource, read_token};
use crate::effect::{Effect, Ending, Outcome, Question, VaultAnswer};
use crate::endpoints::{EndpointId, Endpoints};
use crate::fault::{Action, Fault, Remedy};
use crate::http::{HttpAnswer, TransportFault};
use crate::order::Order;
use crate::stage::{Attested, By, Fetching, Opened, Phase};
use crate::tries::Tries;
use nitride_kbs::PROTOCOL_VERSION;
use nitride_kbs::audit_head::AuditHead;
use nitride_protocol::Status;
use nitride_protocol::agent::FailureClass;
use std::fmt;
use std::mem;

/// Most of the budget that is kept back for telling the vault how the round ended.
const MAX_RESERVE_MS: u64 = 500;
/// How long a token may take to be given back: it ends by itself, too.
const MAX_REVOKING_MS: u64 = 1_000;

/// What happened to the effect under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The service answered, or could not be asked.
    Http(Result<HttpAnswer, TransportFault>),
    /// The vault answered.
    Vault(VaultAnswer),
    /// The effect's `until_ms` has passed.
    Timer,
}

/// One round, from its order to its end.
pub struct Round {
    order: Order,
    /// In which version of the protocol it is asked: ours, and then what the service wants.
    version: String,
    /// After this the service is not asked any more.
    network_until_ms: u64,
    /// After this nobody is.
    deadline_ms: u64,
    /// When the effect under way is given up.
    until_ms: u64,
    tries: Tries,
    tally: Tally,
    state: State,
}

enum State {
    Requesting(Phase, EndpointId),
    Pausing(Phase),
    AwaitingEvidence(Opened),
    DeliveringResult(Attested),
    DeliveringResource(Fetching),
    /// With the stage to go on from, if the failure was one resource's.
    Reporting(Option<Fetching>),
    /// The token is given back, whatever comes of that.
    Revoking,
    Finishing,
    Ended,
}

#[derive(Default)]
struct Tally {
    delivered: usize,
    refused_by_vault: usize,
    failed: usize,
}

/// What a step is given from outside.
struct Turn<'a> {
    endpoints: &'a mut Endpoints,
    now_ms: u64,
    draw: u64,
}

impl Round {
    /// Begins a round and returns its first effect.
    ///
    /// `now_ms` is any clock that does not run backwards; `draw` is fresh randomness, at this call
    /// and at each step. `endpoints` are those of the order's service.
    pub fn begin(
        order: Order,
        endpoints: &mut Endpoints,
        now_ms: u64,
        draw: u64,
    ) -> (Self, Effect) {
        Self::begin_with(order, Phase::Auth, endpoints, now_ms, draw)
    }

    pub(crate) fn begin_with(
        order: Order,
        first: Phase,
        endpoints: &mut Endpoints,
        now_ms: u64,
        draw: u64,
    ) -> (Self, Effect) {
        let budget_ms = u64::from(order.budget_ms);
        let deadline_ms = now_ms.saturating_add(budget_ms);
        let mut round = Self {
            order,
            version: PROTOCOL_VERSION.to_owned(),
            network_until_ms: deadline_ms.saturating_sub((budget_ms / 8).min(MAX_RESERVE_MS)),
            deadline_ms,
            until_ms: now_ms,
            tries: Tries::default(),
            tally: Tally::default(),
            state: State::Ended,
        };
        let turn = Turn {
            endpoints,
            now_ms,
            draw,
        };
        let effect = round.ask_service(first, turn);
        (round, effect)
    }

    /// The round's order.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// Takes what happened and returns what to do next; `None` goes on waiting for the effect
    /// under way, since the event does not answer it.
    pub fn step(
        &mut self,
        event: Event,
        endpoints: &mut Endpoints,
        now_ms: u64,
        draw: u64,
    ) -> Option<Effect> {
        let turn = Turn {
            endpoints,
            now_ms,
            draw,
        };
        let due = now_ms >= self.until_ms;
        let effect = match (mem::replace(&mut self.state, State::Ended), event) {
            (State::Ended, _) => return None,
            (State::Finishing, Event::Vault(_)) => self.end(Ending::Finished),
            _ if now_ms >= self.deadline_ms => self.end(Ending::OutOfTime),
            (State::Requesting(phase, endpoint), Event::Http(Ok(answer))) => {
                self.take_answer(phase, endpoint, answer, turn)
            }
            (State::Requesting(phase, endpoint), Event::Http(Err(fault))) => {
                self.take_transport_fault(phase, endpoint, fault, turn)
            }
            (State::Requesting(phase, endpoint), Event::Timer) if due => {
                self.take_transport_fault(phase, endpoint, TransportFault::TimedOut, turn)
            }
            (State::Pausing(phase), Event::Timer) if due => self.ask_service(phase, turn),
            (State::AwaitingEvidence(opened), Event::Vault(answer)) => {
                self.take_evidence(opened, answer, turn)
            }
            (State::DeliveringResult(attested), Event::Vault(answer)) => {
                self.take_receipt(attested.fetching(), &answer, 0, turn)
            }
            (State::DeliveringResource(mut fetching), Event::Vault(answer)) => {
                fetching.next += 1;
                self.take_receipt(fetching, &answer, 1, turn)
            }
            (State::Reporting(then), Event::Vault(answer)) => match then {
                _ if forgotten(&answer) => self.end(Ending::Forgotten),
                Some(fetching) => self.fetch_next(fetching, turn),
                None => self.finish(),
            },
            (
                State::AwaitingEvidence(_)
                | State::DeliveringResult(_)
                | State::DeliveringResource(_),
                Event::Timer,
            ) if due => self.finish(),
            (State::Revoking, Event::Http(_)) => self.finish(),
            (State::Revoking, Event::Timer) if due => self.finish(),
            (state, _) => {
                self.state = state;
                return None;
            }
        };
        Some(effect)
    }

    /// Asks the best endpoint that is left, or pauses, or gives up.
    fn ask_service(&mut self, phase: Phase, turn: Turn<'_>) -> Effect {
        if turn.now_ms >= self.network_until_ms {
            return self.give_up(phase);
        }
        let without = self.tries.without();
        let home = phase.home().filter(|home| !without.contains(*home));
        let picked = || turn.endpoints.pick(without, turn.now_ms, turn.draw);
        if let Some(endpoint) = home.or_else(picked) {
            let request = phase.request(&self.order, &self.version, endpoint);
            self.state = State::Requesting(phase, endpoint);
            self.until_ms = turn
                .now_ms
                .saturating_add(turn.endpoints.request_timeout_ms())
                .min(self.network_until_ms);
            return Effect::Http {
                request,
                until_ms: self.until_ms,
            };
        }
        let left = turn
            .endpoints
            .pick(self.tries.excluded(), turn.now_ms, turn.draw);
        let backoff = turn.endpoints.backoff();
        let until_ms = self.tries.next_pass(backoff, turn.now_ms, turn.draw);
        if left.is_none() || until_ms >= self.network_until_ms {
            return self.give_up(phase);
        }
        self.state = State::Pausing(phase);
        self.until_ms = until_ms;
        Effect::Wait { until_ms }
    }

    fn take_transport_fault(
        &mut self,
        phase: Phase,
        endpoint: EndpointId,
        fault: TransportFault,
        turn: Turn<'_>,
    ) -> Effect {
        let fault = Fault::transport(phase.action(), fault);
        self.take_fault(phase, endpoint, fault, turn)
    }

    fn take_answer(
        &mut self,
        phase: Phase,
        endpoint: EndpointId,
        answer: HttpAnswer,
        turn: Turn<'_>,
    ) -> Effect {
        match phase {
            Phase::Auth => match read_challenge(&answer) {
                Ok(challenged) => {
                    turn.endpoints.record_answer(endpoint, turn.now_ms);
                    self.tries = Tries::default();
                    self.state = State::AwaitingEvidence(Opened {
                        home: endpoint,
                        cookies: challenged.cookies,
                        nonce: challenged.nonce.clone(),
                        takes_token_in_body: challenged.takes_token_in_body,
                    });
                    self.ask_vault(
                        Question::Challenge {
                            nonce: challenged.nonce,
                            hash: challenged.hash,
                            tee_keys: challenged.tee_keys,
                            wants_audit_head: challenged.witnesses_audit_head,
                        },
                        self.network_until_ms,
                    )
                }
                Err(fault) => self.take_fault(Phase::Auth, endpoint, fault, turn),
            },
            Phase::Attest(mut prepared) => match read_token(&answer, &mut prepared.cookies) {
                Ok(token) => {
                    turn.endpoints.record_answer(endpoint, turn.now_ms);
                    let attested = Attested {
                        home: endpoint,
                        cookies: prepared.cookies,
                        token,
                        takes_token_in_body: prepared.takes_token_in_body,
                    };
                    if self.order.result_wanted {
                        let token = attested.token.clone();
                        self.state = State::DeliveringResult(attested);
                        self.ask_vault(Question::Result { token }, self.network_until_ms)
                    } else {
                        self.fetch_next(attested.fetching(), turn)
                    }
                }
                Err(fault) => self.take_fault(Phase::Attest(prepared), endpoint, fault, turn),
            },
            Phase::Login(direct) => match direct.read_login(&answer) {
                Ok(token) => {
                    turn.endpoints.record_answer(endpoint, turn.now_ms);
                    let by = By::OpenBao(direct.logged_in(token, endpoint));
                    self.fetch_next(Fetching { by, next: 0 }, turn)
                }
                Err(fault) => self.take_fault(Phase::Login(direct), endpoint, fault, turn),
            },
            Phase::Fetch(mut fetching) => {
                let resource = self.order.resources.get(fetching.next);
                let resource = resource.map(ToString::to_string).unwrap_or_default();
                let question = match &mut fetching.by {
                    By::Kbs(_) => {
                        read_resource(answer).map(|jwe| Question::Resource { resource, jwe })
                    }
                    By::OpenBao(logged_in) => logged_in.take(resource, &answer, endpoint),
                };
                match question {
                    Ok(question) => {
                        turn.endpoints.record_answer(endpoint, turn.now_ms);
                        self.state = State::DeliveringResource(fetching);
                        self.ask_vault(question, self.network_until_ms)
                    }
                    Err(fault) => self.take_fault(Phase::Fetch(fetching), endpoint, fault, turn),
                }
            }
        }
    }

    fn take_fault(
        &mut self,
        phase: Phase,
        endpoint: EndpointId,
        fault: Fault,
        turn: Turn<'_>,
    ) -> Effect {
        // Once: a service that then wants the first version again wants neither.
        if let (Phase::Auth, Some(version)) = (&phase, &fault.spoken_version)
            && self.version == PROTOCOL_VERSION
            && version != PROTOCOL_VERSION
        {
            self.version.clone_from(version);
            return self.ask_service(phase, turn);
        }
        let at_home = phase.home().is_none_or(|home| home == endpoint);
        let remedy = match fault.remedy() {
            // It may refuse because it does not know the session; that is not the service's word.
            Remedy::None if !at_home && fault.class == FailureClass::Refused => Remedy::Elsewhere,
            remedy => remedy,
        };
        match remedy {
            Remedy::None => {
                turn.endpoints.record_answer(endpoint, turn.now_ms);
                return self.report(phase, fault);
            }
            Remedy::Again | Remedy::Elsewhere => turn.endpoints.record_failure(
                endpoint,
                (&fault.reason, fault.retry_after_ms),
                turn.now_ms,
                turn.draw,
            ),
        }
        self.tries.note(endpoint, remedy, fault, at_home);
        self.ask_service(phase, turn)
    }

    fn take_evidence(&mut self, opened: Opened, answer: VaultAnswer, turn: Turn<'_>) -> Effect {
        let VaultAnswer::Evidence {
            tee_pubkey,
            primary_evidence,
            additional_evidence,
            init_data,
            audit_head,
        } = answer
        else {
            // The vault knows why it gave none.
            return match forgotten(&answer) {
                true => self.end(Ending::Forgotten),
                false => self.finish(),
            };
        };
        let audit_head = audit_head.map(|(sequence, digest)| AuditHead { sequence, digest });
        let evidence = [&tee_pubkey, &primary_evidence, &additional_evidence];
        let evidence = evidence.map(String::as_str);
        match opened.prepare(evidence, init_data.as_deref(), audit_head) {
            Ok(prepared) => self.ask_service(Phase::Attest(prepared), turn),
            Err(what) => {
                let fault = Fault::protocol(Action::Attest, &what);
                self.report(Phase::Auth, fault)
            }
        }
    }

    /// The vault's word on a delivery of `resources` resources, or of the result.
    fn take_receipt(
        &mut self,
        fetching: Fetching,
        answer: &VaultAnswer,
        resources: usize,
        turn: Turn<'_>,
    ) -> Effect {
        match answer {
            VaultAnswer::Accepted => self.tally.delivered += resources,
            _ if forgotten(answer) => return self.end(Ending::Forgotten),
            // What else was ordered may still be wanted: the vault says so by not ending the round.
            VaultAnswer::Evidence { .. } | VaultAnswer::Refused(_) => {
                self.tally.refused_by_vault += 1;
            }
        }
        self.fetch_next(fetching, turn)
    }

    fn fetch_next(&mut self, fetching: Fetching, turn: Turn<'_>) -> Effect {
        self.tries = Tries::default();
        if fetching.next < self.order.resources.len() {
            return self.ask_service(Phase::Fetch(fetching), turn);
        }
        match fetching.by {
            By::OpenBao(logged_in) if turn.now_ms < self.network_until_ms => {
                self.state = State::Revoking;
                self.until_ms = turn
                    .now_ms
                    .saturating_add(MAX_REVOKING_MS)
                    .min(self.network_until_ms);
                Effect::Http {
                    request: logged_in.revocation(),
                    until_ms: self.until_ms,
                }
            }
            By::OpenBao(_) | By::Kbs(_) => self.finish(),
        }
    }

    /// Reports what the tries at this request came to.
    fn give_up(&mut self, phase: Phase) -> Effect {
        let spent = || Fault::transport(phase.action(), TransportFault::TimedOut);
        let fault = self.tries.take_fault().unwrap_or_else(spent);
        self.report(phase, fault)
    }

    fn report(&mut self, phase: Phase, fault: Fault) -> Effect {
        let (resource, then) = match phase {
            Phase::Auth | Phase::Attest(_) | Phase::Login(_) => {
                self.tally.failed = self.order.resources.len();
                (None, None)
            }
            // A service that cannot be reached cannot be reached for the rest, either.
            Phase::Fetch(fetching) if fault.remedy() == Remedy::Again => {
                self.tally.failed += self.order.resources.len() - fetching.next;
                (None, None)
            }
            Phase::Fetch(mut fetching) => {
                let resource = self.order.resources.get(fetching.next);
                self.tally.failed += 1;
                fetching.next += 1;
                (resource, Some(fetching))
            }
        };
        let failure = fault.into_failure(resource);
        self.state = State::Reporting(then);
        self.ask_vault(Question::Failure(failure), self.deadline_ms)
    }

    fn finish(&mut self) -> Effect {
        self.state = State::Finishing;
        self.ask_vault(Question::Finish, self.deadline_ms)
    }

    fn ask_vault(&mut self, question: Question, until_ms: u64) -> Effect {
        self.until_ms = until_ms;
        Effect::AskVault { question, until_ms }
    }

    fn end(&mut self, ending: Ending) -> Effect {
        self.state = State::Ended;
        Effect::Done(Outcome {
            ending,
            delivered: self.tally.delivered,
            refused_by_vault: self.tally.refused_by_vault,
            failed: self.tally.failed,
        })
    }
}

fn forgotten(answer: &VaultAnswer) -> bool {
    matches!(
        answer,
        VaultAnswer::Refused(Status::RoundNotFound | Status::ShuttingDown)
    )
}

impl fmt::Debug for Round {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Round")
            .field("order", &self.order)
            .field("deadline_ms", &self.deadline_ms)
            .finish_non_exhaustive()
    }
}
