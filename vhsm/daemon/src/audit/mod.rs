//! The audit's files: the thin shell around [`nitride_vault::audit`].
//!
//! ```text
//! Audit ── set_aside() ──> Reserved ── the act ── record() ──> Sink ──> current file, spare
//!   └── denied(), uses(), each second: tick()                    └──> the journal
//! ```
//!
//! An entry is written by one call into a file whose whole length the file system has promised
//! already. Where that promise cannot be had, `full` decides: without room an act is refused, or it
//! is done and the next entry that has room says how many are missing.

mod figures;
mod folder;
mod sink;
#[cfg(test)]
mod tests;

pub(crate) use figures::AuditFigures;
pub(crate) use folder::FolderError;

use crate::config::{AuditSettings, WhenFull};
use crate::event;
use figures::Figures;
use nitride_kbs::audit_head::AuditHead;
use nitride_protocol::KeyNameBuf;
use nitride_vault::Now;
use nitride_vault::audit::{
    AuditKind, AuditPeer, AuditRequest, Chain, Denial, Denials, Event, Told, Use, Uses,
};
use sink::{NotWritten, Sink};
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What happens to keys, in files that nobody changes unseen.
#[derive(Debug)]
pub(crate) struct Audit {
    /// `None` where no files are configured: the journal alone has what happens.
    sink: Option<Mutex<Sink>>,
    denials: Mutex<Denials>,
    refuses: bool,
    syncs: bool,
    /// Whether uses may be added up: read by every request, without a lock.
    has_for_uses: AtomicBool,
    /// Whether the log says so that they may not.
    is_told: AtomicBool,
    /// Whether there are entries that the kernel alone has.
    is_unsynced: AtomicBool,
    figures: Figures,
}

/// The audit has no room, and nothing is done without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit has no room for an entry, and nothing is done without one")]
pub(crate) struct Unaudited;

/// Room that is set aside for the entries of an act; what is left is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Reserved<'a> {
    audit: &'a Audit,
    units: usize,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if self.units > 0
            && let Some(mut sink) = self.audit.sink()
        {
            sink.room().give_back(self.units);
        }
    }
}

impl Reserved<'_> {
    /// Whether an entry may be written: what was set aside for it is given back at once, since it
    /// is used up under the same lock.
    fn spend(&mut self, sink: &mut Sink) -> bool {
        if self.units > 0 {
            self.units -= 1;
            sink.room().give_back(1);
            return true;
        }
        sink.room().has_for_another()
    }

    /// Keeps the room set aside beyond this value's life; [`Audit::take_kept`] takes it again.
    pub(crate) fn keep(mut self) -> usize {
        std::mem::take(&mut self.units)
    }
}

impl Audit {
    /// Takes the folder, if one is configured, and finds where its chain ends.
    pub(crate) fn open(settings: Option<&AuditSettings>, now: Now) -> Result<Self, FolderError> {
        let sink = settings.map(Sink::open).transpose()?;
        let audit = Self {
            sink: sink.map(Mutex::new),
            denials: Mutex::default(),
            refuses: settings.is_some_and(|settings| settings.full == WhenFull::Refuse),
            syncs: settings.is_some_and(|settings| settings.sync),
            has_for_uses: AtomicBool::new(true),
            is_told: AtomicBool::new(false),
            is_unsynced: AtomicBool::new(false),
            figures: Figures::default(),
        };
        audit.make_room(now);
        Ok(audit)
    }

    /// The newest entry.
    pub(crate) fn head(&self) -> Chain {
        self.sink()
            .map_or_else(Chain::default, |sink| *sink.chain())
    }

    /// The newest entry, for a witness elsewhere; `None` where there are no files, whose head would be
    /// forgotten with the process. It is on the disk by then, unless that is turned off: what a power
    /// failure takes back would look like a tampered chain. Blocks on the disk.
    pub(crate) fn witnessed_head(&self) -> Option<AuditHead> {
        let (head, file) = {
            let sink = self.sink()?;
            let (sequence, digest) = (sink.chain().sequence(), *sink.chain().digest());
            (AuditHead { sequence, digest }, sink.current())
        };
        self.sync(file);
        Some(head)
    }

    /// How it is.
    pub(crate) fn figures(&self) -> AuditFigures<'_> {
        let room_len = self.sink().map_or(0, |mut sink| sink.room().len());
        self.figures.with(self.head().sequence(), room_len)
    }

    /// Sets room aside for `units` entries of an act.
    ///
    /// # Errors
    /// [`Unaudited`] where there is none and `full = "refuse"`.
    pub(crate) fn set_aside(&self, units: usize) -> Result<Reserved<'_>, Unaudited> {
        let taken = match self.sink() {
            None => false,
            Some(mut sink) => match sink.room().take(units) {
                Ok(()) => true,
                Err(_) => {
                    // For the status, at once; `make_room` looks whether there is again.
                    let has_for_uses = sink.room().has_for_uses();
                    self.has_for_uses.store(has_for_uses, Ordering::Relaxed);
                    if self.refuses {
                        return Err(Unaudited);
                    }
                    false
                }
            },
        };
        Ok(Reserved {
            audit: self,
            units: if taken { units } else { 0 },
        })
    }

    /// Room that was kept set aside before.
    pub(crate) fn take_kept(&self, units: usize) -> Reserved<'_> {
        Reserved { audit: self, units }
    }

    /// Whether keys may be used: what is added up has room, or need not have.
    pub(crate) fn may_add_up(&self) -> Result<(), Unaudited> {
        if self.refuses && !self.has_for_uses.load(Ordering::Relaxed) {
            return Err(Unaudited);
        }
        Ok(())
    }

    /// Writes the entry of an act, in the room that was set aside for it.
    pub(crate) fn record(&self, event: &Event<'_>, now: Now, reserved: &mut Reserved<'_>) {
        let file = self.write(event, now, |sink| reserved.spend(sink));
        self.sync(file);
    }

    /// The same of what can wait a second to be on the disk, and whose thread cannot.
    pub(crate) fn record_soon(&self, event: &Event<'_>, now: Now, reserved: &mut Reserved<'_>) {
        self.write(event, now, |sink| reserved.spend(sink));
        self.is_unsynced.store(true, Ordering::Release);
    }

    fn sync(&self, file: Option<Arc<File>>) {
        if self.syncs
            && let Some(file) = file
            && let Err(error) = file.sync_data()
        {
            self.figures.count_lost(1);
            event::Event::AuditNotWritten { error: &error }.emit();
        }
    }

    /// Writes an entry for which nothing was set aside; without room it is counted as lost.
    pub(crate) fn note(&self, event: &Event<'_>, now: Now) {
        self.write(event, now, |sink| sink.room().has_for_another());
        self.is_unsynced.store(true, Ordering::Release);
    }

    /// Writes, or counts, what was denied.
    pub(crate) fn denied(&self, event: &Event<'_>, now: Now) {
        let denial = Denial {
            uid: event.peer.map(|peer| peer.uid),
            pid: event.peer.map_or(0, |peer| peer.pid),
            unit: event.peer.and_then(|peer| peer.unit).map(str::to_owned),
            key: event.key.map(nitride_protocol::KeyName::to_owned),
            operation: event.operation,
            status: event.status,
        };
        let told = self.denials().note(denial, now.boot_ms);
        if told == Told::Now {
            self.note(event, now);
        }
    }

    /// Ends a second: writes what was counted in it, and makes room for the next one.
    pub(crate) fn tick(&self, uses: Uses, now: Now) {
        let (again, beyond) = self.denials().collect(now.boot_ms);
        for (denial, count) in &again {
            self.note(&again_event(denial, *count), now);
        }
        for (uid, count) in beyond {
            let peer = uid.map(|uid| AuditPeer {
                uid,
                pid: 0,
                unit: None,
            });
            let reason = "more different denials than are told apart";
            let event = Event {
                peer,
                count,
                status: nitride_protocol::Status::Denied,
                ..Event::own(AuditKind::Denial, reason)
            };
            self.note(&event, now);
        }
        for (used, count) in uses.into_sorted() {
            self.note(&use_event(&used, count), now);
        }
        self.make_room(now);
        if self.is_unsynced.swap(false, Ordering::AcqRel) {
            let file = self.sink().and_then(|sink| sink.current());
            self.sync(file);
        }
    }

    /// Has everything on the disk.
    pub(crate) fn close(&self, now: Now) {
        self.note(&Event::own(AuditKind::Stop, ""), now);
        let file = self.sink().and_then(|sink| sink.current());
        if let Some(file) = file
            && let Err(error) = file.sync_all()
        {
            event::Event::AuditNotWritten { error: &error }.emit();
        }
    }

    /// Writes `event` if `has_room` says so, or counts it as lost; and tells the journal.
    fn write(
        &self,
        event: &Event<'_>,
        now: Now,
        has_room: impl FnOnce(&mut Sink) -> bool,
    ) -> Option<Arc<File>> {
        self.figures.count(event.kind);
        let mut written = None;
        let mut sequence = None;
        if let Some(mut sink) = self.sink() {
            let result = if has_room(&mut sink) {
                sink.write(event, now)
            } else {
                Err(NotWritten::NoRoom(nitride_vault::audit::NoRoom))
            };
            match result {
                Ok(file) => {
                    sequence = Some(sink.chain().sequence());
                    written = Some(file);
                }
                Err(error) => {
                    sink.lose(1);
                    drop(sink);
                    self.has_for_uses.store(false, Ordering::Relaxed);
                    self.figures.count_lost(1);
                    event::Event::AuditNotWritten { error: &error }.emit();
                }
            }
        }
        event::Event::Audited { sequence, event }.emit();
        written
    }

    fn make_room(&self, now: Now) {
        let Some(mut sink) = self.sink() else {
            return;
        };
        let made = sink.make_room(now);
        let has_for_uses = sink.room().has_for_uses();
        drop(sink);
        self.has_for_uses.store(has_for_uses, Ordering::Relaxed);
        let was_told = self.is_told.swap(!has_for_uses, Ordering::Relaxed);
        if let Err(error) = made
            && !has_for_uses
            && !was_told
        {
            event::Event::AuditFull {
                error: &error,
                refuses: self.refuses,
            }
            .emit();
        }
    }

    /// What is weaker than it could be, for the status.
    pub(crate) fn warning(&self) -> Option<&'static str> {
        if self.sink.is_none() {
            return Some(
                "no [audit] is configured: what happens to keys stands in the log alone, where \
                 nothing shows that it was changed",
            );
        }
        let is_full = !self.has_for_uses.load(Ordering::Relaxed);
        is_full.then_some("the audit's files cannot grow: make room on their disk")
    }

    fn sink(&self) -> Option<MutexGuard<'_, Sink>> {
        let sink = self.sink.as_ref()?;
        Some(sink.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn denials(&self) -> MutexGuard<'_, Denials> {
        self.denials.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn again_event(denial: &Denial, count: u64) -> Event<'_> {
    Event {
        peer: denial.uid.map(|uid| AuditPeer {
            uid,
            pid: denial.pid,
            unit: denial.unit.as_deref(),
        }),
        key: denial.key.as_ref().map(KeyNameBuf::as_name),
        operation: denial.operation,
        status: denial.status,
        count,
        ..Event::own(AuditKind::Denial, "again in the same second")
    }
}

fn use_event(used: &Use, count: u64) -> Event<'_> {
    Event {
        peer: Some(AuditPeer {
            uid: used.peer.uid,
            pid: used.peer.pid,
            unit: used.peer.unit.as_deref(),
        }),
        key: used.key.as_ref().map(KeyNameBuf::as_name),
        version: used.version,
        operation: Some(used.operation),
        status: used.status,
        count,
        ..Event::own(AuditKind::Uses, "")
    }
}

/// Who is at the other end of a connection, as an entry has it.
pub(crate) fn peer(identity: &nitride_ipc::peer::PeerIdentity) -> AuditPeer<'_> {
    AuditPeer {
        uid: identity.uid,
        pid: identity.pid,
        unit: identity.unit.as_deref(),
    }
}

/// Which request it is.
pub(crate) fn request(connection: u64, request: u32) -> AuditRequest {
    AuditRequest {
        connection,
        request,
    }
}
