use super::attest::Attestation;
use super::buffers::ChargedBuf;
use super::link::Link;
use super::perform::{Performed, Request, perform, refuse};
use super::quota::ParkedSlot;
use super::seat::Seat;
use super::shared::Buffers;
use crate::daemon::Daemon;
use crate::event::Event;
use crate::rounds::{Moment, Parking, Waiter};
use crate::watch::{Watch, key_of};
use nitride_ipc::SendError;
use nitride_protocol::{Operation, Status, open_request};
use nitride_vault::{AttestCall, Want};
use std::error::Error;
use std::sync::Arc;

/// How often a request is parked. Two are natural: first the gate, then the key.
const MAX_TRIES: u8 = 8;

/// A request that waits: its packet, whose connection it came over, and until when.
#[derive(Debug)]
pub(crate) struct ParkedRequest {
    link: Arc<Link>,
    packet: ChargedBuf,
    buffers: Buffers,
    _slot: ParkedSlot,
    deadline_ms: u64,
    tries: u8,
    /// What it waits for, or waited for last.
    want: Option<Want>,
}

impl ParkedRequest {
    /// `deadline_ms` is in milliseconds of CLOCK_BOOTTIME.
    pub(super) fn new(
        link: Arc<Link>,
        packet: ChargedBuf,
        buffers: Buffers,
        slot: ParkedSlot,
        deadline_ms: u64,
    ) -> Self {
        Self {
            link,
            packet,
            buffers,
            _slot: slot,
            deadline_ms,
            tries: 0,
            want: None,
        }
    }

    /// Which connection it came over.
    pub(crate) fn connection_number(&self) -> u64 {
        self.link.number
    }

    /// Waits for `want`, which was missing at `seen`.
    ///
    /// # Errors
    /// The status to refuse the request with, where no round is begun.
    pub(super) fn wait_for(
        mut self,
        daemon: &Daemon,
        want: Want,
        seen: Moment,
    ) -> Result<(), Status> {
        self.tries += 1;
        // What has just arrived and is missing again would be fetched for ever: an approval that
        // ages faster than it comes, a lease that ends as it begins.
        if self.tries > MAX_TRIES || self.want.as_ref() == Some(&want) {
            return Err(Status::TimedOut);
        }
        self.want = Some(want.clone());
        let now = Daemon::now();
        if now.boot_ms >= self.deadline_ms {
            return Err(daemon.waited_in_vain());
        }
        let deadline_ms = self.deadline_ms;
        let waiter = Waiter::Request(Box::new(self));
        let waiting = &daemon.waiting;
        match waiting.park(&daemon.vault, want, seen, deadline_ms, waiter, now) {
            Parking::Waits => {}
            Parking::TryAgain(Waiter::Request(mut request)) => {
                // It has not waited yet.
                request.want = None;
                request.tries -= 1;
                waiting.wake([(Waiter::Request(request), Ok(()))]);
            }
            Parking::TryAgain(Waiter::Reader(_)) => {}
            Parking::Refused(refused) => return Err(refused.status()),
        }
        // Stopping may have begun between the packet and here, and not have seen this one.
        if daemon.is_stopping() {
            waiting.drain(Status::ShuttingDown);
        }
        Ok(())
    }

    /// Has evidence made for it, and is performed again with that.
    ///
    /// # Errors
    /// The status to refuse the request with, and why, where none is made.
    pub(super) fn attest(
        self,
        daemon: &Daemon,
        call: &AttestCall,
    ) -> Result<(), (Status, Box<dyn Error>)> {
        let uid = self.link.identity().uid;
        let place = daemon.attesting.place(uid);
        let place = place.map_err(|error| (Status::QuotaExceeded, error.into()))?;
        // The audit goes on meanwhile: the head is the one of this moment.
        let head = daemon.watch.audit.head();
        let asked = daemon
            .attesting
            .ask(self, (head, call.report_data(&head)), place);
        asked.map_err(|status| (status, status.as_str().into()))
    }

    /// Answers that it waited in vain, without waiting for the peer to read it.
    pub(crate) fn refuse(&self, status: Status, watch: &Watch) {
        // It was opened before it was parked.
        if let Ok((head, params)) = open_request(self.packet.expose()) {
            let operation = Operation::from_wire(head.operation);
            let key = operation.and_then(|operation| key_of(operation, &params));
            let reason = "what it waited for did not come";
            let asked = (operation, key);
            watch.refused(&self.link, head.id, asked, status, reason);
            refuse(head.id, status, &|reply| {
                self.link.answer_or_end(reply);
                Ok(())
            });
        }
    }

    /// Performs it again, with what nitride-quote said where that was waited for. The peer is
    /// identified anew first, and the policy is that of this moment.
    pub(crate) fn resume(self, daemon: &Daemon, attestation: Option<Attestation>) {
        let link = Arc::clone(&self.link);
        let send = |reply: &[u8]| -> Result<(), SendError> {
            link.answer_or_end(reply);
            Ok(())
        };
        // It was opened before it was parked.
        let Ok((head, params)) = open_request(self.packet.expose()) else {
            return;
        };
        if let Err(error) = link.check_unchanged(daemon.cgroups.as_ref()) {
            let (link, error) = (&link, &error);
            daemon.log_of(
                Some(link.identity().uid),
                &Event::PeerChanged { link, error },
            );
            return link.connection().shutdown();
        }
        let request = Request {
            head,
            params,
            packet_len: self.packet.expose().len(),
        };
        let seen = daemon.waiting.moment();
        let session = daemon.vault.session(link.peer(), link.socket);
        let mut seat = Seat::new(session, self.buffers.clone());
        seat.attestation = attestation;
        match perform(daemon, &link, &mut seat, &request, &send) {
            Performed::Answered => {}
            Performed::End => link.connection().shutdown(),
            Performed::Wants(want) => {
                let id = head.id;
                if let Err(status) = self.wait_for(daemon, want, seen) {
                    refuse(id, status, &send);
                }
            }
            Performed::Attests(call) => {
                if let Err((status, _)) = self.attest(daemon, &call) {
                    refuse(head.id, status, &send);
                }
            }
        }
    }
}

/// Performs woken requests until the line is closed. Runs on a few threads of its own.
pub(crate) fn resume_all(daemon: &Daemon) {
    while let Some(request) = daemon.waiting.next_woken() {
        request.resume(daemon, None);
    }
}
