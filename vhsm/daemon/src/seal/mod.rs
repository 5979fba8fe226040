//! The seal: keys that come back after a reboot, without the service. The thin shell around
//! [`nitride_vault::seal`]: the file, the platform's part of the key, the counter, and when.
//!
//! ```text
//!  start, each second ── open ──> file + platform's part + provisioned part ──> vault.unseal
//!                          │
//!                          └─ not there yet: waits; not ours, changed, put back: closed
//!  a reply that is to leave ── settle ── is every change in the file? ── no ──> write
//!                                                                                 │
//!       vault.seal ──> vault.sealed.next ──> counter ──> vault.sealed ────────────┘
//! ```
//!
//! - A file that could not be opened is never written over, and does not stop vhsmd.
//! - No answer leaves that rests on a change which is not in the file, as long as it can be
//!   written: one write covers all who wait for it.
//! - What cannot be written is tried again each second, and said.

mod fault;
mod folder;
mod open;
mod platform;
mod shown;
mod write;

pub(crate) use fault::SealError;
pub(crate) use shown::{Shown, told};

use crate::config::{Config, SealSettings};
use crate::daemon::Daemon;
use folder::Folder;
use nitride_vault::seal::{Ladder, Sealing};
use platform::{Part, Source};
use shown::State;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The folder of the unit's credentials, as systemd names it.
pub(crate) fn credentials_folder() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// The sealed file, and what is needed to write it.
#[derive(Debug)]
pub(crate) struct Seal {
    settings: SealSettings,
    source: Source,
    work: Mutex<Work>,
    /// Writes that were begun.
    begun: AtomicU64,
    /// The vault's changes up to which the file has them.
    covered: AtomicU64,
    is_open: AtomicBool,
    /// Whether the last write failed.
    is_behind: AtomicBool,
    /// Whether to write without a change that the vault counts.
    is_due: AtomicBool,
    shown: Mutex<Shown>,
}

/// What one thread at a time works on.
#[derive(Debug)]
struct Work {
    folder: Folder,
    /// A part that was asked for, and with which params, for the next try.
    asked: Option<(Vec<u8>, Part)>,
    opened: Option<Opened>,
    /// The last write, if it failed, by its number among those that were begun.
    failed: Option<(u64, Arc<SealError>)>,
    is_wiped: bool,
    /// When to try to open it again.
    next_try_ms: u64,
    pause_ms: u64,
}

/// What writes the next file.
#[derive(Debug)]
struct Opened {
    part: Part,
    ladder: Ladder,
    /// Up to which count the file is the newest.
    generation: u64,
}

/// The answer to a change that is not in the file.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "what changed holds in memory and is sealed as soon as that can be; a reboot before loses it"
)]
pub(crate) struct NotSealed(#[source] Arc<SealError>);

/// Tries to open it are this far apart at first, and at most.
const FIRST_PAUSE_MS: u64 = 1000;
const LONGEST_PAUSE_MS: u64 = 60_000;

impl Seal {
    /// Makes the folder, which has to be there before vhsmd gives up what is outside its own.
    pub(crate) fn new(config: &Config, settings: &SealSettings) -> Self {
        let helper = config.evidence.as_ref();
        Self {
            source: Source::new(settings, credentials_folder(), helper),
            work: Mutex::new(Work {
                folder: Folder::make(&settings.folder),
                asked: None,
                opened: None,
                failed: None,
                is_wiped: false,
                next_try_ms: 0,
                pause_ms: FIRST_PAUSE_MS,
            }),
            settings: settings.clone(),
            begun: AtomicU64::new(0),
            covered: AtomicU64::new(0),
            is_open: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
            is_due: AtomicBool::new(false),
            shown: Mutex::new(Shown::new(settings.platform)),
        }
    }

    /// Opens it if that can be, before anybody is served; `has_records` says that keys of an
    /// earlier process are there, of which the file may not know.
    pub(crate) fn begin(&self, daemon: &Daemon, has_records: bool) {
        daemon.vault.set_sealing(Sealing::Closed);
        self.is_due.store(has_records, Ordering::Release);
        self.try_to_open(daemon);
    }

    /// Each second: opens what is not open, and writes what is not written.
    pub(crate) fn tick(&self, daemon: &Daemon) {
        if !self.is_open() {
            // Whatever comes to be meanwhile is to be in the file.
            self.is_due.store(true, Ordering::Release);
            self.try_to_open(daemon);
        } else if self.is_due.load(Ordering::Acquire) || !self.covers(daemon.vault.seal_changes()) {
            // It is said where it goes wrong.
            let _ = self.write_for(daemon, None);
        }
    }

    /// Before a reply leaves: has the file have every change that it may rest on. `before` is what
    /// the vault counted before the request; `rests` says whether the reply is worth nothing
    /// without a version that may not be in the file.
    ///
    /// # Errors
    /// [`NotSealed`] where the request itself, or another at the same time, changed something that
    /// is not in the file, or where it rests on that.
    pub(crate) fn settle(
        &self,
        daemon: &Daemon,
        before: u64,
        rests: bool,
    ) -> Result<(), NotSealed> {
        let changes = daemon.vault.seal_changes();
        if self.covers(changes) || !self.is_open() {
            return Ok(());
        }
        let needs_it = changes != before || rests;
        // Others are not kept from their work for as long as a disk is full.
        if !needs_it && self.is_behind.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.write_for(daemon, Some(changes)) {
            Err(error) if needs_it => Err(NotSealed(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Notes that the policy has changed, which says what is sealed.
    pub(crate) fn note_policy(&self) {
        self.is_due.store(true, Ordering::Release);
    }

    /// Leaves nothing that opens: the files are removed and, where there is a counter, no copy of
    /// one ever counts again. No file is written any more.
    ///
    /// # Errors
    /// [`SealError`]; as much was done as could be.
    pub(crate) fn wipe(&self) -> Result<(), SealError> {
        let mut work = self.work();
        work.is_wiped = true;
        self.is_open.store(false, Ordering::Release);
        self.shown().set(State::Closed, &SealError::Wiped);
        work.folder.take()?;
        let removed = work.remove_all();
        work.opened = None;
        work.asked = None;
        let forgotten = match self.settings.counter {
            true => self.source.forget(),
            false => Ok(()),
        };
        removed.and(forgotten)
    }

    /// How it is, for people.
    pub(crate) fn how(&self) -> Shown {
        self.shown().clone()
    }

    fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    fn covers(&self, changes: u64) -> bool {
        changes <= self.covered.load(Ordering::Acquire)
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
