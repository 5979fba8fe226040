use super::attest::Attestation;
use super::buffers::{NoRoom, with_public};
use super::bulk::perform_bulk;
use super::link::Link;
use super::reply_len::{ReplyLen, reply_len};
use super::seat::Seat;
use super::stake::stake_of;
use crate::backup;
use crate::daemon::{Daemon, PolicyError};
use crate::event::{Chain, Event};
use crate::inquiry;
use crate::randomness::SystemDraw;
use crate::refusals::RecentRefusal;
use crate::watch::{Ended, key_of};
use nitride_ipc::SendError;
use nitride_protocol::admin::{EndPhase, Reloaded, Wipe};
use nitride_protocol::application::{Attested, AuditHead, Head, RegisterBuffer, Registered};
use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_protocol::{
    Empty, KeyName, Message, Operation, Reader, RequestHead, Status, write_refusal, write_reply,
};
use nitride_vault::audit::is_denial;
use nitride_vault::{AttestCall, Outcome, Used, Want};
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::mem::take;

/// Room for any refusal, in bytes.
pub(super) const REFUSAL_LEN: usize = 32;

/// One request, with its packet opened.
#[derive(Debug, Clone)]
pub(crate) struct Request<'p> {
    /// Id and operation.
    pub(crate) head: RequestHead,
    /// The rest.
    pub(crate) params: Reader<'p>,
    /// Length of the whole packet in bytes.
    pub(crate) packet_len: usize,
}

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Performed {
    /// The reply was handed over for sending.
    Answered,
    /// Nothing has happened yet, since this is missing.
    Wants(Want),
    /// Nothing has happened yet, since evidence has to be made.
    Attests(AttestCall),
    /// The connection is to end.
    End,
}

/// Performs `request` and has `send` send the reply, which is made in the seat's place for it.
pub(crate) fn perform(
    daemon: &Daemon,
    link: &Link,
    seat: &mut Seat,
    request: &Request<'_>,
    send: &dyn Fn(&[u8]) -> Result<(), SendError>,
) -> Performed {
    match reply_len(request.head.operation, &request.params, request.packet_len) {
        ReplyLen::Public(len) => {
            with_public(len, |reply| act(daemon, link, seat, request, reply, send))
        }
        ReplyLen::Secret(len) => {
            // Out of the seat while it is written to, and back: a move of three words.
            let mut place = take(&mut seat.reply);
            let performed = match place.room(len, link.account()) {
                Ok(reply) => act(daemon, link, seat, request, reply, send),
                Err(no_room) => {
                    log_refusal(daemon, link, request, no_room.status(), &no_room);
                    refuse(request.head.id, no_room.status(), send)
                }
            };
            place.clear(len);
            seat.reply = place;
            performed
        }
    }
}

/// Performs it with the reply in `reply`. Every request of an application or an administrator ends
/// here, with its operation, key, status and duration known.
fn act(
    daemon: &Daemon,
    link: &Link,
    seat: &mut Seat,
    request: &Request<'_>,
    reply: &mut [u8],
    send: &dyn Fn(&[u8]) -> Result<(), SendError>,
) -> Performed {
    let id = request.head.id;
    let ticket = match daemon.watch.begin(request.head.operation) {
        Ok(ticket) => ticket,
        Err(unaudited) => {
            let status = Status::AuditUnavailable;
            log_refusal(daemon, link, request, status, &unaudited);
            return refuse(id, status, send);
        }
    };
    let operation = Operation::from_wire(request.head.operation);
    // One reading of the clock for both.
    let now = Daemon::now_at(ticket.began_ns);
    let ticket = Cell::new(Some(ticket));
    let unchanged = daemon.vault.seal_changes();
    let is_settled = Cell::new(false);
    let settle = |used: Option<Used>, has_changed: bool| {
        let stake = |by_anybody| {
            let has_changed = match operation {
                // Done outside the session.
                Some(Operation::Restore) => by_anybody,
                // What is in the file by now is waited for once.
                _ => has_changed && !is_settled.get(),
            };
            stake_of(operation, used, has_changed)
        };
        daemon.settle_seal(unchanged, stake)?;
        is_settled.set(true);
        Ok(())
    };
    let outcome = daemon.vault.perform(
        &mut seat.session,
        request.head,
        request.params.clone(),
        now,
        &mut SystemDraw,
        reply,
    );
    let outcome = match outcome {
        Outcome::Bulk(bulk) => {
            match perform_bulk(daemon, seat, (&bulk, &settle), link.account(), reply) {
                Ok(outcome) => outcome,
                Err(fault) => {
                    log_refusal(daemon, link, request, fault.status(), &fault);
                    write_refusal(reply, id, fault.status()).map_or(Outcome::Close, Outcome::Reply)
                }
            }
        }
        outcome => outcome,
    };
    if let Some(refusal) = seat.session.refusal() {
        log_refusal(daemon, link, request, refusal.status(), &refusal);
    }
    let (used, has_changed) = (seat.session.used(), seat.session.has_changed());
    let tally = RefCell::new(take(&mut seat.tally));
    // Whatever is sent was sealed, where it has to be, and recorded before it leaves.
    let send = |reply: &[u8]| {
        let mut refusal = [0; REFUSAL_LEN];
        let reply = match settle(used, has_changed) {
            Ok(()) => reply,
            Err(error) => {
                let status = Status::SealUnavailable;
                log_refusal(daemon, link, request, status, &error);
                let len = write_refusal(&mut refusal, id, status).unwrap_or_default();
                refusal.get(..len).unwrap_or_default()
            }
        };
        if let Some(ticket) = ticket.take() {
            let params = &request.params;
            let ended = Ended {
                link,
                id,
                params,
                used,
                reply,
            };
            daemon.watch.end(ticket, &ended, &mut tally.borrow_mut());
        }
        send(reply)
    };
    let performed = conclude(daemon, link, seat, request, outcome, reply, &send);
    seat.tally = tally.into_inner();
    performed
}

fn conclude(
    daemon: &Daemon,
    link: &Link,
    seat: &mut Seat,
    request: &Request<'_>,
    outcome: Outcome,
    reply: &mut [u8],
    send: &dyn Fn(&[u8]) -> Result<(), SendError>,
) -> Performed {
    let id = request.head.id;
    match outcome {
        Outcome::Reply(len) => sent(send(reply.get(..len).unwrap_or_default())),
        Outcome::Park(want) => Performed::Wants(want),
        Outcome::Close => Performed::End,
        Outcome::Reload => match daemon.reload(Some((link, id))) {
            Ok(policy_generation) => {
                let reloaded = Reloaded { policy_generation };
                answer(id, &reloaded, reply, send)
            }
            Err(PolicyError::Unaudited(_)) => refuse(id, Status::AuditUnavailable, send),
            // What is wrong with the files stands in the log.
            Err(_) => refuse(id, Status::PolicyInvalid, send),
        },
        Outcome::Status(asked) => {
            let mut reply = vec![0; MAX_PACKET_LEN];
            match daemon.write_status(&asked, &mut reply) {
                Outcome::Reply(len) => sent(send(reply.get(..len).unwrap_or_default())),
                _ => Performed::End,
            }
        }
        Outcome::Daemon(call) if call.operation() == Operation::RegisterBuffer => {
            let registered = RegisterBuffer::decode_last(request.params.clone());
            let Ok(RegisterBuffer { len }) = registered else {
                return refuse(id, Status::Malformed, send);
            };
            match seat.buffers.register(len, link.account()) {
                Ok(buffer) => answer(id, &Registered { buffer }, reply, send),
                Err(fault) => {
                    log_refusal(daemon, link, request, fault.status(), &fault);
                    refuse(id, fault.status(), send)
                }
            }
        }
        Outcome::Daemon(call) if call.operation() == Operation::AuditHead => {
            if AuditHead::decode_last(request.params.clone()).is_err() {
                return refuse(id, Status::Malformed, send);
            }
            let chain = daemon.watch.audit.head();
            let head = Head {
                sequence: chain.sequence(),
                digest: chain.digest(),
            };
            answer(id, &head, reply, send)
        }
        Outcome::Daemon(call) if backup::takes(call.operation()) => {
            let uid = seat.session.peer().uid;
            let passage = (&mut seat.passage, uid);
            match backup::answer(daemon, passage, &call, request.params.clone(), reply) {
                Ok(len) => sent(send(reply.get(..len).unwrap_or_default())),
                Err(fault) => {
                    log_refusal(daemon, link, request, fault.status(), &fault);
                    refuse(id, fault.status(), send)
                }
            }
        }
        Outcome::Daemon(call) if inquiry::takes(call.operation()) => {
            let mut reply = vec![0; MAX_PACKET_LEN];
            let asked = (id, request.params.clone());
            match inquiry::answer(daemon, call.operation(), asked, &mut reply) {
                Ok(len) => sent(send(reply.get(..len).unwrap_or_default())),
                Err(no_answer) => {
                    log_refusal(daemon, link, request, no_answer.status(), &no_answer);
                    refuse(id, no_answer.status(), send)
                }
            }
        }
        Outcome::Attest(call) => {
            let Some(attestation) = seat.attestation.take() else {
                return Performed::Attests(call);
            };
            let Attestation {
                head,
                report_data,
                made,
            } = attestation;
            match made {
                // It is made of the same packet, so this is so; evidence over other data would be
                // somebody else's.
                Ok(_) if report_data != call.report_data(&head) => {
                    refuse(id, Status::Internal, send)
                }
                Ok(evidence) => {
                    let tee = daemon.config.evidence.as_ref();
                    let attested = Attested {
                        tee: tee.map_or("none", |from| &from.tee),
                        report_data: &report_data,
                        primary_evidence: &evidence.primary,
                        additional_evidence: &evidence.additional,
                        audit_head: call.binds_head().then(|| Head {
                            sequence: head.sequence(),
                            digest: head.digest(),
                        }),
                    };
                    answer(id, &attested, reply, send)
                }
                Err(error) => {
                    let status = Status::EvidenceUnavailable;
                    log_refusal(daemon, link, request, status, &error);
                    refuse(id, status, send)
                }
            }
        }
        Outcome::Daemon(call) if call.operation() == Operation::Wipe => {
            if Wipe::decode_last(request.params.clone()).is_err() {
                return refuse(id, Status::Malformed, send);
            }
            match daemon.wipe() {
                Ok(()) => answer(id, &Empty, reply, send),
                Err(error) => {
                    let status = Status::SealUnavailable;
                    log_refusal(daemon, link, request, status, &error);
                    refuse(id, status, send)
                }
            }
        }
        Outcome::Daemon(call) if call.operation() == Operation::EndPhase => {
            let Ok(EndPhase { protection }) = EndPhase::decode_last(request.params.clone()) else {
                return refuse(id, Status::Malformed, send);
            };
            match daemon.end_phase(protection) {
                Ok(ended) => answer(id, &ended, reply, send),
                Err(error) => {
                    let status = Status::EvidenceUnavailable;
                    log_refusal(daemon, link, request, status, &error);
                    refuse(id, status, send)
                }
            }
        }
        // Taken by `act`, or done by nobody yet.
        Outcome::Bulk(_) | Outcome::Daemon(_) => refuse(id, Status::UnknownOperation, send),
    }
}

#[expect(
    single_use_lifetimes,
    reason = "an elided lifetime in impl Trait is unstable"
)]
fn answer<'a>(
    id: u32,
    result: &impl Message<'a>,
    reply: &mut [u8],
    send: &dyn Fn(&[u8]) -> Result<(), SendError>,
) -> Performed {
    match write_reply(reply, id, Status::Ok, result) {
        Ok(len) => sent(send(reply.get(..len).unwrap_or_default())),
        Err(_) => Performed::End,
    }
}

/// Sends a refusal, which holds no secret.
pub(super) fn refuse(
    id: u32,
    status: Status,
    send: &dyn Fn(&[u8]) -> Result<(), SendError>,
) -> Performed {
    let mut reply = [0; REFUSAL_LEN];
    match write_refusal(&mut reply, id, status) {
        Ok(len) => sent(send(reply.get(..len).unwrap_or_default())),
        Err(_) => Performed::End,
    }
}

fn sent(result: Result<(), SendError>) -> Performed {
    result.map_or(Performed::End, |()| Performed::Answered)
}

/// Writes to the log what the peer is not told.
pub(super) fn log_refusal(
    daemon: &Daemon,
    link: &Link,
    request: &Request<'_>,
    status: Status,
    reason: &(dyn Error + 'static),
) {
    let operation = Operation::from_wire(request.head.operation);
    let key = operation.and_then(|operation| key_of(operation, &request.params));
    if is_denial(status) {
        let reason = Chain(reason).to_string();
        let watch = &daemon.watch;
        watch.refused(link, request.head.id, (operation, key), status, &reason);
    }
    let key = key.map(KeyName::as_str);
    let called = (link.number, request.head.id);
    let asked = (operation, key);
    daemon.refusals.note(RecentRefusal::new(
        called,
        link.peer(),
        asked,
        status,
        reason,
    ));
    let refused = Event::Refused {
        link,
        request: request.head.id,
        operation: operation.map_or("unknown", Operation::as_str),
        key,
        status,
        reason,
    };
    daemon.log_of(Some(link.identity().uid), &refused);
}

impl NoRoom {
    /// What the peer learns.
    pub(crate) fn status(self) -> Status {
        match self {
            Self::Arena(_) => Status::ArenaFull,
            Self::Quota(_) => Status::QuotaExceeded,
        }
    }
}
