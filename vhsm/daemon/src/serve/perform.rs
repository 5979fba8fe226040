use super::buffers::{NoRoom, Place};
use super::link::Link;
use super::reply_len::{ReplyLen, reply_len};
use crate::daemon::Daemon;
use crate::event::Event;
use crate::randomness::SystemDraw;
use nitride_ipc::SendError;
use nitride_protocol::admin::Reloaded;
use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_protocol::{
    KeyName, Operation, Reader, RequestHead, Status, write_refusal, write_reply,
};
use nitride_vault::{Outcome, Session, Want};
use std::error::Error;

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
    /// The connection is to end.
    End,
}

/// Performs `request` for `session` and has `send` send the reply, which is made in `place`.
pub(crate) fn perform(
    daemon: &Daemon,
    link: &Link,
    session: &mut Session,
    request: &Request<'_>,
    place: &mut Place,
    send: &dyn Fn(&[u8]) -> Result<(), SendError>,
) -> Performed {
    let mut act = |reply: &mut [u8]| {
        let outcome = daemon.vault.perform(
            session,
            request.head,
            request.params.clone(),
            Daemon::now(),
            &mut SystemDraw,
            reply,
        );
        if let Some(refusal) = session.refusal() {
            log_refusal(daemon, link, request, refusal.status(), &refusal);
        }
        conclude(daemon, request, outcome, reply, send)
    };
    match reply_len(request.head.operation, &request.params, request.packet_len) {
        ReplyLen::Public(len) => act(&mut vec![0; len]),
        ReplyLen::Secret(len) => {
            let performed = match place.room(len, link.account()) {
                Ok(reply) => act(reply),
                Err(no_room) => {
                    log_refusal(daemon, link, request, no_room.status(), &no_room);
                    refuse(request.head.id, no_room.status(), send)
                }
            };
            place.clear(len);
            performed
        }
    }
}

fn conclude(
    daemon: &Daemon,
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
        Outcome::Reload => match daemon.reload() {
            Ok(policy_generation) => {
                let reloaded = Reloaded { policy_generation };
                match write_reply(reply, id, Status::Ok, &reloaded) {
                    Ok(len) => sent(send(reply.get(..len).unwrap_or_default())),
                    Err(_) => Performed::End,
                }
            }
            // What is wrong with the files stands in the log.
            Err(_) => refuse(id, Status::Internal, send),
        },
        Outcome::Status(asked) => {
            let mut reply = vec![0; MAX_PACKET_LEN];
            match daemon.write_status(&asked, &mut reply) {
                Outcome::Reply(len) => sent(send(reply.get(..len).unwrap_or_default())),
                _ => Performed::End,
            }
        }
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
    let refused = Event::Refused {
        link,
        request: request.head.id,
        operation: operation.map_or("unknown", Operation::as_str),
        key: operation.and_then(|operation| key_of(operation, &request.params)),
        status,
        reason,
    };
    daemon.log_of(Some(link.identity().uid), &refused);
}

/// The key that a request names: the first of the params, but for the operations without one.
fn key_of<'p>(operation: Operation, params: &Reader<'p>) -> Option<&'p str> {
    match operation {
        Operation::Hello
        | Operation::List
        | Operation::Random
        | Operation::Status
        | Operation::Reload
        | Operation::Attest
        | Operation::AuditHead
        | Operation::Batch
        | Operation::RegisterBuffer
        | Operation::CheckPolicy
        | Operation::Why
        | Operation::Wipe
        | Operation::Backup
        | Operation::Restore => None,
        _ => {
            let mut params = params.clone();
            params.array().ok()?;
            let name = KeyName::parse(params.text().ok()?).ok()?;
            Some(name.as_str())
        }
    }
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
