use super::attest::Attestation;
use super::buffers::Place;
use super::shared::Buffers;
use crate::backup::Passage;
use crate::watch::Tally;
use nitride_vault::Session;

/// What one connection keeps from request to request, and a parked request on its own.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Who is there and what the policy says of it.
    pub(crate) session: Session,
    /// Where replies are made.
    pub(crate) reply: Place,
    /// The memory that is shared with the peer.
    pub(crate) buffers: Buffers,
    /// What was used, until it is written down.
    pub(crate) tally: Tally,
    /// What nitride-quote said to the request that is performed again with it.
    pub(super) attestation: Option<Attestation>,
    /// The backup that goes out or comes in.
    pub(crate) passage: Passage,
}

impl Seat {
    pub(crate) fn new(session: Session, buffers: Buffers) -> Self {
        Self {
            session,
            reply: Place::default(),
            buffers,
            tally: Tally::default(),
            attestation: None,
            passage: Passage::default(),
        }
    }
}
