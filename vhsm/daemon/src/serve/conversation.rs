use super::buffers::Place;
use super::link::{Link, Received, SentByAnother};
use super::loan::{LONGEST_PAUSE, Loan};
use super::parked::ParkedRequest;
use super::perform::{Performed, Request, log_refusal, perform, refuse};
use super::seat::Seat;
use super::shared::{Attached, Buffers};
use super::spin::Spin;
use crate::daemon::Daemon;
use crate::event::Event;
use crate::rounds::Moment;
use nitride_ipc::{NextPacket, Patience, RecvError};
use nitride_protocol::application::Hello;
use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_protocol::{Message, Operation, Status, open_request, refusal_of};
use nitride_vault::Want;
use std::error::Error;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Of a packet that is not read whole, as much as its head takes at most, in bytes: the array of
/// three, the id and the operation. What follows may be a secret, and this is not the arena.
const HEAD_LEN: usize = 1 + 5 + 3;

/// One connection, from its first packet to its end: on a thread of its own, or among others.
#[derive(Debug)]
pub(crate) struct Conversation {
    daemon: Arc<Daemon>,
    link: Arc<Link>,
    seat: Seat,
    packet: Place,
    spin: Spin,
    loan: Loan,
    /// Whether a pause ends the loan, which costs a timer at each packet.
    is_loan_bounded: bool,
    has_begun: bool,
    /// Whether a version was agreed on.
    is_greeted: bool,
    /// The generation of the policy under which the peer was last identified.
    generation: u64,
}

/// The connection has ended, or has to.
struct Ended;

/// What one look at a connection came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// A packet was answered; there may be more.
    Served,
    /// Nothing is there.
    Idle,
    /// The next packet has something attached, which may take long to close.
    Attached,
    /// It is over.
    Ended,
}

/// The peer has not agreed on a version yet.
#[derive(Debug, thiserror::Error)]
#[error("no hello was said on this connection")]
struct NotGreeted;

/// More than any packet has.
#[derive(Debug, thiserror::Error)]
#[error("a packet of {len} bytes is longer than any may be")]
struct PacketTooLong {
    len: usize,
}

/// The vault is stopping.
#[derive(Debug, thiserror::Error)]
#[error("vhsmd is stopping")]
struct Stopping;

/// The request takes no descriptors, or just one.
#[derive(Debug, thiserror::Error)]
#[error("the packet carries descriptors that the request does not take")]
struct Unexpected;

impl Conversation {
    pub(crate) fn new(daemon: Arc<Daemon>, link: Arc<Link>) -> Self {
        Self {
            // Before the session: a policy that comes in between has the peer identified again.
            generation: daemon.generation(),
            seat: Seat::new(
                daemon.vault.session(link.peer(), link.socket),
                Buffers::default(),
            ),
            spin: Spin::new(daemon.processors),
            loan: Loan::new(),
            is_loan_bounded: false,
            daemon,
            link,
            packet: Place::default(),
            has_begun: false,
            is_greeted: false,
        }
    }

    /// The connection.
    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Answers packets until the connection ends.
    pub(crate) fn run(mut self) {
        let _end = self.when_over();
        self.begin();
        while self.turn().is_ok() {}
    }

    /// Answers the next packet, or finds that the peer pauses.
    fn turn(&mut self) -> Result<(), Ended> {
        if self.packet.borrowed().is_some() {
            return self.turn_in_haste();
        }
        let Ok(Some(next)) = self.next() else {
            return Err(Ended);
        };
        self.serve(next)?;
        if self.loan.is_due() && self.packet.borrow(self.link.account()) {
            self.bound_loan();
        }
        Ok(())
    }

    /// Has a pause end the loan, as soon as another connection may be kept from one by it. Until
    /// then nobody waits for it. Whoever sleeps when the others come has it until it speaks again,
    /// and they have to look at their packets first: that is all that they lose.
    fn bound_loan(&mut self) {
        let connections = self.daemon.quota.connections();
        if self.is_loan_bounded || !self.link.account().are_loans_scarce(connections) {
            return;
        }
        match self.bound_pause(Some(LONGEST_PAUSE)) {
            Ok(()) => self.is_loan_bounded = true,
            // Where the pause cannot be bounded, nothing is borrowed.
            Err(_) => self.packet.end_loan(),
        }
    }

    /// Takes the next packet into the borrowed buffer, and answers it.
    fn turn_in_haste(&mut self) -> Result<(), Ended> {
        self.bound_loan();
        if self.packet.borrowed().is_none() {
            return Ok(());
        }
        let connections = self.daemon.quota.connections();
        // What was found is taken in the same way as what was not.
        let _ = self.spin.look(self.link.connection(), connections);
        let room = self.packet.borrowed().ok_or(Ended)?;
        match self.link.recv_unseen(room) {
            Ok(Some(received)) => {
                let _ = self.loan.is_due();
                self.serve_received(received)
            }
            Err(RecvError::TimedOut) => {
                self.loan.end();
                self.packet.end_loan();
                self.is_loan_bounded = false;
                self.bound_pause(None).map_err(|_| Ended)
            }
            Err(RecvError::Truncated { len, room }) => {
                let mut head = [0; HEAD_LEN];
                head.copy_from_slice(self.packet.written(HEAD_LEN));
                self.packet.clear(room);
                self.refuse_by_head(&head, Status::TooLarge, &PacketTooLong { len })
            }
            Ok(None) | Err(_) => Err(Ended),
        }
    }

    fn bound_pause(&self, longest: Option<Duration>) -> Result<(), RecvError> {
        self.link.connection().set_read_timeout(longest)
    }

    /// Answers the packet that is there, if there is one, for a worker that serves others besides.
    pub(super) fn progress(&mut self) -> Progress {
        if !self.has_begun {
            self.begin();
        }
        match self.link.connection().next_packet(Patience::None) {
            Ok(Some(next)) if next.has_attachment => Progress::Attached,
            Ok(Some(next)) if self.serve(next).is_ok() => Progress::Served,
            Err(RecvError::TimedOut) => {
                // Thousands are silent at a time, and the arena is small.
                self.packet.give_back();
                self.seat.reply.give_back();
                Progress::Idle
            }
            Ok(_) | Err(_) => Progress::Ended,
        }
    }

    /// Ends the connection.
    pub(super) fn end(self) {
        drop(self.when_over());
    }

    fn when_over(&self) -> End {
        End {
            daemon: Arc::clone(&self.daemon),
            link: Arc::clone(&self.link),
        }
    }

    /// What is looked at before the first packet, and takes too long for the thread that accepts.
    fn begin(&mut self) {
        self.has_begun = true;
        if self.link.look_closer(&self.daemon) {
            self.seat.session = self
                .daemon
                .vault
                .session(self.link.peer(), self.link.socket);
        }
    }

    fn next(&mut self) -> Result<Option<NextPacket>, RecvError> {
        let connections = self.daemon.quota.connections();
        self.spin.next(self.link.connection(), connections)
    }

    /// Takes the packet that is next, and answers it.
    fn serve(&mut self, next: NextPacket) -> Result<(), Ended> {
        let len = next.len;
        if len > MAX_PACKET_LEN {
            return self.refuse_unread(Status::TooLarge, &PacketTooLong { len });
        }
        let room = match self.packet.room(len, self.link.account()) {
            Ok(room) => room,
            Err(no_room) => return self.refuse_unread(no_room.status(), &no_room),
        };
        let Ok(Some(received)) = self.link.recv(next, room) else {
            return Err(Ended);
        };
        self.serve_received(received)
    }

    fn serve_received(&mut self, received: Received) -> Result<(), Ended> {
        let len = received.len;
        let performed = self.answer(received);
        self.seat.buffers.attach(Attached::Nothing);
        self.packet.clear(len);
        match performed {
            Performed::End => Err(Ended),
            Performed::Answered | Performed::Wants(_) | Performed::Attests(_) => Ok(()),
        }
    }

    fn answer(&mut self, received: Received) -> Performed {
        let Received {
            len,
            is_from_peer,
            attached,
        } = received;
        let link = Arc::clone(&self.link);
        let send = |reply: &[u8]| link.connection().send(reply);
        // Before looking, so that what settles meanwhile is noticed.
        let seen = self.daemon.waiting.moment();
        let packet = self.packet.written(len);
        let (head, params) = match open_request(packet) {
            Ok(opened) => opened,
            Err(error) => {
                let (id, status) = (error.id.unwrap_or(0), refusal_of(&error.error));
                self.log_unopened(id, "unknown", status, &error.error);
                let refused = refuse(id, status, &send);
                // Without an id the peer cannot tell which request this answers, or its packets
                // are not of this protocol at all.
                return error.id.map_or(Performed::End, |_| refused);
            }
        };
        let request = Request {
            head,
            params,
            packet_len: len,
        };
        if self.daemon.is_stopping() {
            log_refusal(
                &self.daemon,
                &link,
                &request,
                Status::ShuttingDown,
                &Stopping,
            );
            return refuse(head.id, Status::ShuttingDown, &send);
        }
        if !is_from_peer {
            log_refusal(
                &self.daemon,
                &link,
                &request,
                Status::Denied,
                &SentByAnother,
            );
            return refuse(head.id, Status::Denied, &send);
        }
        if let Err(ended) = recheck(&self.daemon, &link, &mut self.generation) {
            return ended;
        }
        let is_hello = head.operation == Operation::Hello.to_wire();
        if !is_hello && !self.is_greeted {
            log_refusal(
                &self.daemon,
                &link,
                &request,
                Status::UnsupportedVersion,
                &NotGreeted,
            );
            return refuse(head.id, Status::UnsupportedVersion, &send);
        }
        if !attached.is_expected_by(head.operation) {
            let status = Status::Malformed;
            log_refusal(&self.daemon, &link, &request, status, &Unexpected);
            return refuse(head.id, status, &send);
        }
        self.seat.buffers.attach(attached);
        if is_hello {
            // Before the answer: whoever has it may send the first one.
            let hello = Hello::decode_last(request.params.clone());
            link.take_descriptors(hello.is_ok_and(|hello| hello.attaches));
        }
        let performed = perform(&self.daemon, &link, &mut self.seat, &request, &send);
        match performed {
            Performed::Answered => {
                if is_hello && self.seat.session.refusal().is_none() {
                    self.is_greeted = true;
                    link.set_attaches(self.seat.session.attaches());
                } else if is_hello {
                    // What was refused announces nothing.
                    link.take_descriptors(link.attaches());
                }
                Performed::Answered
            }
            Performed::Wants(want) => {
                let id = head.id;
                self.park(id, len, want, seen)
                    .map_or_else(|status| refuse(id, status, &send), |()| Performed::Answered)
            }
            Performed::Attests(call) => {
                let kept = self.keep(len, self.daemon.config.limits.max_wait_ms);
                let asked = kept
                    .map_err(|status| (status, status.as_str().into()))
                    .and_then(|request| request.attest(&self.daemon, &call));
                if let Err((status, error)) = asked {
                    self.log_unopened(head.id, "attest", status, &*error);
                    return refuse(head.id, status, &send);
                }
                Performed::Answered
            }
            Performed::End => Performed::End,
        }
    }

    /// Lets the request wait, holding no thread; this one goes on with the next.
    fn park(&mut self, id: u32, len: usize, want: Want, seen: Moment) -> Result<(), Status> {
        let wait_ms = self
            .seat
            .session
            .wait_ms()
            .min(self.daemon.config.limits.max_wait_ms);
        if wait_ms == 0 {
            return Err(self.daemon.waited_in_vain());
        }
        let parked = self.keep(len, wait_ms)?;
        Event::Parked {
            link: &self.link,
            request: id,
            want: &want,
        }
        .emit();
        parked.wait_for(&self.daemon, want, seen)
    }

    /// Takes the request out of this connection's hands, until a later moment.
    fn keep(&mut self, len: usize, wait_ms: u32) -> Result<ParkedRequest, Status> {
        let account = self.link.account();
        let slot = account.park().map_err(|_| Status::QuotaExceeded)?;
        let packet = self
            .packet
            .take(len, account)
            .map_err(super::buffers::NoRoom::status)?;
        let now = Daemon::now();
        let parked = ParkedRequest::new(
            Arc::clone(&self.link),
            packet,
            self.seat.buffers.clone(),
            slot,
            now.boot_ms.saturating_add(wait_ms.into()),
        );
        self.link.note_parked();
        Ok(parked)
    }

    /// Writes to the log why a packet was refused whose params nobody looked at.
    fn log_unopened(
        &self,
        id: u32,
        operation: &str,
        status: Status,
        reason: &(dyn Error + 'static),
    ) {
        let refused = Event::Refused {
            link: &self.link,
            request: id,
            operation,
            key: None,
            status,
            reason,
        };
        let uid = self.link.identity().uid;
        self.daemon.log_of(Some(uid), &refused);
    }

    /// Answers a packet that there is no room for by its head, and takes it away.
    fn refuse_unread(&self, status: Status, reason: &(dyn Error + 'static)) -> Result<(), Ended> {
        let connection = self.link.connection();
        let mut head = [0; HEAD_LEN];
        match connection.recv(&mut head) {
            Ok(Some(_)) | Err(RecvError::Truncated { .. }) => {}
            Ok(None) | Err(_) => return Err(Ended),
        }
        self.refuse_by_head(&head, status, reason)
    }

    fn refuse_by_head(
        &self,
        head: &[u8],
        status: Status,
        reason: &(dyn Error + 'static),
    ) -> Result<(), Ended> {
        let connection = self.link.connection();
        // The head is read before anything that may be missing here.
        let (request, _) = open_request(head).map_err(|_| Ended)?;
        let operation = Operation::from_wire(request.operation);
        let verb = operation.map_or("unknown", Operation::as_str);
        self.log_unopened(request.id, verb, status, reason);
        match refuse(request.id, status, &|reply| connection.send(reply)) {
            Performed::Answered => Ok(()),
            _ => Err(Ended),
        }
    }
}

/// What is done when a conversation ends, by a fault of ours as well.
struct End {
    daemon: Arc<Daemon>,
    link: Arc<Link>,
}

impl Drop for End {
    fn drop(&mut self) {
        if thread::panicking() {
            self.daemon.note_fault();
        }
        // A parked request would hold the connection open for a while, and the peer need not wait
        // for it. When vhsmd stops, what is being performed is still answered.
        if !self.daemon.is_stopping() {
            self.link.connection().shutdown();
        }
        self.daemon.forget_link(&self.link);
        Event::Disconnected { link: &self.link }.emit();
    }
}

/// After a reload the peer is identified anew, since the new rules may ask for what the peer no
/// longer is.
fn recheck(daemon: &Daemon, link: &Link, seen: &mut u64) -> Result<(), Performed> {
    let generation = daemon.generation();
    if generation == *seen {
        return Ok(());
    }
    *seen = generation;
    link.check_unchanged(daemon.cgroups.as_ref())
        .map_err(|error| {
            let error = &error;
            daemon.log_of(
                Some(link.identity().uid),
                &Event::PeerChanged { link, error },
            );
            Performed::End
        })
}

#[cfg(test)]
mod tests;
