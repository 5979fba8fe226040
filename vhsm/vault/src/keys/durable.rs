//! What the seal says to changes of keys: whether they may happen, and that they did.

use super::Body;
use crate::Refusal;
use crate::policy::KeyRule;
use crate::seal::{Generation, Sealing};
use std::cell::Cell;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Whether one request has changed what the seal has to know: others change things meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Noted(Cell<bool>);

impl Noted {
    pub(crate) fn has_changed(&self) -> bool {
        self.0.get()
    }

    pub(crate) fn clear(&self) {
        self.0.set(false);
    }
}

/// The seal's state, and how often something changed that it should know.
#[derive(Debug, Default)]
pub(crate) struct Durable {
    /// One of the words below.
    sealing: AtomicU8,
    changes: AtomicU64,
    /// The generation of the newest file that counts: no older one does any more.
    kept: AtomicU64,
}

const OFF: u8 = 0;
const CLOSED: u8 = 1;
const OPEN: u8 = 2;
const DURABLE: u8 = 3;

impl Durable {
    pub(crate) fn set(&self, sealing: Sealing) {
        let word = match sealing {
            Sealing::Off => OFF,
            Sealing::Closed => CLOSED,
            Sealing::Open { is_durable: false } => OPEN,
            Sealing::Open { is_durable: true } => DURABLE,
        };
        self.sealing.store(word, Ordering::SeqCst);
    }

    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Says that the file of this generation counts from now on.
    pub(crate) fn keep(&self, Generation(generation): Generation) {
        self.kept.store(generation, Ordering::SeqCst);
    }

    /// Whether the seal has to know what becomes of a key: the file is to have it, or one that may
    /// still count has it, whatever its rule says by now.
    pub(crate) fn concerns(&self, body: &Body, rule: Option<&KeyRule>) -> bool {
        body.is_sealed(rule) || body.filed_mark() > self.kept.load(Ordering::SeqCst)
    }

    /// Counts a change that has happened, if the seal has to know of it.
    pub(crate) fn note(&self, is_sealed: bool) {
        if is_sealed {
            self.changes.fetch_add(1, Ordering::Release);
        }
    }

    /// As [`Durable::note`], and notes whose change it was.
    pub(crate) fn note_by(&self, noted: &Noted, is_sealed: bool) {
        self.note(is_sealed);
        noted.0.set(noted.0.get() || is_sealed);
    }

    /// Whether what is sealed brings keys.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.sealing.load(Ordering::SeqCst), OPEN | DURABLE)
    }

    /// Whether a key that is not here may be there once the seal opens.
    pub(crate) fn is_closed(&self) -> bool {
        self.sealing.load(Ordering::SeqCst) == CLOSED
    }

    /// Whether a key may come or change, if the seal has to know of it.
    pub(crate) fn may_change(&self, is_sealed: bool) -> Result<(), Refusal> {
        match is_sealed && self.is_closed() {
            true => Err(Refusal::SealClosed),
            false => Ok(()),
        }
    }

    /// Whether what can never be taken back may happen, if the seal has to know of it: an older
    /// file would take it back.
    pub(crate) fn may_promise(&self, is_sealed: bool) -> Result<(), Refusal> {
        self.may_change(is_sealed)?;
        match is_sealed && self.sealing.load(Ordering::SeqCst) == OPEN {
            true => Err(Refusal::NotDurable),
            false => Ok(()),
        }
    }
}
