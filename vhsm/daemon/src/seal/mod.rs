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
//! - No answer leaves that rests on a change which is not in the file: one write covers all who
//!   wait for it, and nobody else waits.
//! - What outlived the process may be in no file, until this one has written.
//! - What cannot be written is tried again each second, and said.

mod fault;
mod folder;
mod open;
mod platform;
mod settle;
mod shown;
#[cfg(test)]
mod tests;
mod wipe;
mod write;

pub(crate) use fault::SealError;
pub(crate) use settle::{NotSealed, Stake};
pub(crate) use shown::{Shown, told};

use crate::config::{Config, SealSettings};
use crate::daemon::Daemon;
use folder::Folder;
use nitride_vault::seal::{Ladder, Sealing};
use platform::{Part, Source};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
    /// Whether there are keys of an earlier process that no file need have: it ended as it did.
    owes_records: AtomicBool,
    is_open: AtomicBool,
    /// Whether the last write failed.
    is_behind: AtomicBool,
    /// Whether to write without a change that the vault counts.
    is_due: AtomicBool,
    /// When to write even so: ages and uses are of the last write after a reboot.
    refresh_at_ms: AtomicU64,
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

/// Tries to open it are this far apart at first, and at most.
const FIRST_PAUSE_MS: u64 = 1000;
const LONGEST_PAUSE_MS: u64 = 60_000;
/// Ages and uses that `rotate-after` goes by are at most so much younger after a reboot that
/// nobody saw coming. A counter bears a step this often for decades.
const REFRESH_PERIOD: Duration = Duration::from_secs(6 * 3600);

impl Seal {
    /// Makes the folder, which has to be there before vhsmd gives up what is outside its own.
    /// `credentials` is the folder of the unit's credentials.
    pub(crate) fn new(
        config: &Config,
        settings: &SealSettings,
        credentials: Option<PathBuf>,
    ) -> Self {
        let helper = config.evidence.as_ref();
        Self {
            source: Source::new(settings, credentials, helper),
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
            owes_records: AtomicBool::new(false),
            is_open: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
            is_due: AtomicBool::new(false),
            refresh_at_ms: AtomicU64::new(u64::MAX),
            shown: Mutex::new(Shown::new(settings.platform)),
        }
    }

    /// Opens it if that can be, before anybody is served; `has_records` says that keys of an
    /// earlier process are there, of which the file may not know.
    pub(crate) fn begin(&self, daemon: &Daemon, has_records: bool) {
        daemon.vault.set_sealing(Sealing::Closed);
        self.owes_records.store(has_records, Ordering::Release);
        self.is_due.store(has_records, Ordering::Release);
        self.try_to_open(daemon);
    }

    /// Each second: opens what is not open, and writes what is not written.
    pub(crate) fn tick(&self, daemon: &Daemon) {
        if !self.is_open() {
            // Whatever comes to be meanwhile is to be in the file.
            self.is_due.store(true, Ordering::Release);
            self.try_to_open(daemon);
            return;
        }
        if Daemon::now().boot_ms >= self.refresh_at_ms.load(Ordering::Acquire) {
            self.refresh_later();
            self.have_ages_written(daemon);
        }
        self.write_what_is_due(daemon);
    }

    /// The last time, when nobody is served any more: what was brought or rotated since the last
    /// second, and how old everything is by now.
    pub(crate) fn end(&self, daemon: &Daemon) {
        if self.is_open() {
            self.have_ages_written(daemon);
            self.write_what_is_due(daemon);
        }
    }

    fn have_ages_written(&self, daemon: &Daemon) {
        // Where that cannot be told, they may have aged.
        if daemon.vault.seal_ages().unwrap_or(true) {
            self.is_due.store(true, Ordering::Release);
        }
    }

    fn write_what_is_due(&self, daemon: &Daemon) {
        let changes = daemon.vault.seal_changes();
        let wanted = if self.is_due.load(Ordering::Acquire) {
            None
        } else if self.covers(changes) {
            return;
        } else {
            // Somebody may be writing that at this moment.
            Some(changes)
        };
        // It is said where it goes wrong.
        let _ = self.write_for(daemon, wanted);
    }

    /// Notes that the policy has changed, which says what is sealed.
    pub(crate) fn note_policy(&self) {
        self.is_due.store(true, Ordering::Release);
    }

    /// How it is, for people.
    pub(crate) fn how(&self) -> Shown {
        self.shown().clone()
    }

    fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Lets changes through: first those who make them have to wait for the file.
    fn let_in(&self, let_changes: impl FnOnce()) {
        self.is_open.store(true, Ordering::SeqCst);
        let_changes();
    }

    fn covers(&self, changes: u64) -> bool {
        !self.owes_records.load(Ordering::Acquire)
            && changes <= self.covered.load(Ordering::Acquire)
    }

    /// When to write next if nothing changes, from now on.
    fn refresh_later(&self) {
        let period_ms = u64::try_from(REFRESH_PERIOD.as_millis()).unwrap_or(u64::MAX);
        let at_ms = Daemon::now().boot_ms.saturating_add(period_ms);
        self.refresh_at_ms.store(at_ms, Ordering::Release);
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
