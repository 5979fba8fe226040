//! The audit: what this replica decided, in files that nobody changes unseen.
//!
//! ```text
//! attest, release, admin, reload ── record() ──┐
//! refusal ── the first now, more counted ──────┼──▶ Head ──▶ a line ──▶ the newest file
//! each second: tick() ─────────────────────────┘
//! ```
//!
//! - **No answer without its entry.** What is released, judged or changed has its line before the
//!   answer leaves; with `full = "refuse"` there is no answer where there can be no line.
//! - **Nobody fills it alone**: refusals and failures are added up by fault, source and second, and
//!   so is what is released again to the same key. The first of a second has its line before the answer.
//! - Each replica has a chain of its own: one chain for all would be a lock for all.

pub(crate) mod entry;
pub(crate) mod folder;
mod refusals;
mod releases;
pub(crate) mod trail;

use entry::{Event, Head, Kind};
use folder::{Folder, FolderError};
use refusals::{Refusals, Told};
use releases::Releases;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;
use trail::CUT_OFF;

/// `[audit]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditSettings {
    pub(crate) folder: PathBuf,
    pub(crate) files: usize,
    pub(crate) file_len: u64,
    pub(crate) sync: Sync,
    pub(crate) full: WhenFull,
}

/// When what is written is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Before the answer leaves.
    Entry,
    /// Within a second.
    Second,
}

/// What happens where no entry can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// Nothing is released, judged or changed.
    Refuse,
    /// It is done, and the next entry that can be written says how many are missing.
    Serve,
}

/// The audit of one replica.
#[derive(Debug)]
pub(crate) struct Audit {
    /// `None` where no files are configured: the log alone has what happens.
    sink: Option<Mutex<Sink>>,
    sync: Sync,
    full: WhenFull,
    refusals: Mutex<Refusals>,
    releases: Mutex<Releases>,
    /// Who holds it syncs for all who wait: the newest entry that is on the disk.
    synced: tokio::sync::Mutex<u64>,
    lost: AtomicU64,
}

#[derive(Debug)]
struct Sink {
    folder: Folder,
    head: Head,
    current: Option<Arc<File>>,
    /// Whether the kernel alone has some of it.
    is_dirty: bool,
    /// Entries that are missing and that none says yet.
    unsaid: u64,
}

/// There is no entry, and nothing is done without one.
#[derive(Debug, Error)]
#[error("the audit cannot be written, and nothing is done without an entry")]
pub(crate) struct Unaudited(#[source] NotWritten);

#[derive(Debug, Error)]
enum NotWritten {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("the audit has no further number")]
    Exhausted,
    #[error("sync the audit")]
    Sync(#[source] std::io::Error),
    #[error("the service is ending")]
    Ending,
}

impl Audit {
    /// Takes the folder, if one is configured, and goes on with its chain.
    pub(crate) fn open(
        settings: Option<&AuditSettings>,
        now_secs: u64,
    ) -> Result<Self, FolderError> {
        let Some(settings) = settings else {
            return Ok(Self::none());
        };
        let (folder, found) = Folder::open(&settings.folder, settings.files, settings.file_len)?;
        let mut sink = Sink {
            folder,
            head: found.head,
            current: None,
            is_dirty: false,
            unsaid: 0,
        };
        let version = env!("CARGO_PKG_VERSION");
        let reason = match found.is_cut_off {
            true => format!("{CUT_OFF}; version {version}"),
            false => format!("version {version}"),
        };
        let start = Event::own(Kind::Start, reason);
        match sink.write(&start, now_secs) {
            Ok(()) => {}
            Err(NotWritten::Folder(error)) => return Err(error),
            Err(_) => sink.unsaid += 1,
        }
        Ok(Self {
            sink: Some(Mutex::new(sink)),
            sync: settings.sync,
            full: settings.full,
            ..Self::none()
        })
    }

    /// No files.
    pub(crate) fn none() -> Self {
        Self {
            sink: None,
            sync: Sync::Second,
            full: WhenFull::Serve,
            refusals: Mutex::default(),
            releases: Mutex::default(),
            synced: tokio::sync::Mutex::new(0),
            lost: AtomicU64::new(0),
        }
    }

    /// The newest entry; `None` where there are no files.
    pub(crate) fn head(&self) -> Option<Head> {
        self.sink().map(|sink| sink.head)
    }

    /// Entries that could not be written.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether nothing is done because the newest entry could not be written.
    pub(crate) fn is_refusing(&self) -> bool {
        self.full == WhenFull::Refuse && self.sink().is_some_and(|sink| sink.unsaid > 0)
    }

    /// Writes an entry before what it tells is answered, or counts it; whether it is the first of its
    /// kind in this second.
    pub(crate) async fn record(&self, event: &Event<'_>, now_secs: u64) -> Result<bool, Unaudited> {
        // While nothing is done without an entry and none can be written, none is counted either.
        if !self.is_refusing() && self.releases().count(event) {
            return Ok(false);
        }
        let written = self.write(event, now_secs);
        let synced = match (written, self.sync) {
            (Ok(Some(sequence)), Sync::Entry) => self.sync_to(sequence).await,
            (Ok(_), _) => Ok(()),
            (Err(error), _) => Err(error),
        };
        match (synced, self.full) {
            (Ok(()), _) => {
                self.releases().written(event);
                Ok(true)
            }
            (Err(error), WhenFull::Refuse) => Err(Unaudited(error)),
            (Err(_), WhenFull::Serve) => Ok(true),
        }
    }

    /// Writes what was refused, or counts it; whether it is the first of its kind in this second. That
    /// there is no room for it changes nothing: it is refused already.
    pub(crate) fn refused(&self, event: &Event<'_>, now_secs: u64) -> bool {
        let is_first = self.refusals().note(event) == Told::Now;
        if is_first {
            let _ = self.write(event, now_secs);
        }
        is_first
    }

    /// Writes what happened whatever the audit says of it.
    pub(crate) fn note(&self, event: &Event<'_>, now_secs: u64) {
        let _ = self.write(event, now_secs);
    }

    /// Ends a second. Blocks on the disk.
    pub(crate) fn tick(&self, now_secs: u64) {
        let (refused, released) = (self.refusals().collect(), self.releases().collect());
        for event in refused.iter().chain(&released) {
            let _ = self.write(event, now_secs);
        }
        self.sync_now();
    }

    /// Has everything on the disk. Blocks on it.
    pub(crate) fn close(&self, now_secs: u64) {
        self.tick(now_secs);
        self.note(&Event::own(Kind::Stop, ""), now_secs);
        self.sync_now();
    }

    fn sync_now(&self) {
        let file = self.sink().and_then(|mut sink| {
            let is_dirty = std::mem::take(&mut sink.is_dirty);
            sink.current.clone().filter(|_| is_dirty)
        });
        if let Some(file) = file
            && let Err(error) = file.sync_data()
        {
            self.not_synced(error);
        }
    }

    /// The entry's number; `None` where there are no files.
    fn write(&self, event: &Event<'_>, now_secs: u64) -> Result<Option<u64>, NotWritten> {
        let Some(mut sink) = self.sink() else {
            return Ok(None);
        };
        let written = sink
            .say_lost(now_secs)
            .and_then(|()| sink.write(event, now_secs));
        match written {
            Ok(()) => Ok(Some(sink.head.sequence)),
            Err(error) => {
                sink.unsaid = sink.unsaid.saturating_add(1);
                drop(sink);
                self.lose(1, &error);
                Err(error)
            }
        }
    }

    async fn sync_to(&self, sequence: u64) -> Result<(), NotWritten> {
        let mut synced = self.synced.lock().await;
        if *synced >= sequence {
            return Ok(());
        }
        let found = self
            .sink()
            .map(|sink| (sink.head.sequence, sink.current.clone()));
        let Some((newest, Some(file))) = found else {
            return Ok(());
        };
        let syncing = tokio::task::spawn_blocking(move || file.sync_data());
        let done = syncing.await.map_err(|_| NotWritten::Ending)?;
        if let Err(error) = done {
            return Err(self.not_synced(error));
        }
        *synced = newest;
        Ok(())
    }

    /// The kernel drops what it could not write, and the next sync of that file says nothing of it: what
    /// follows is in another file, and says that something is missing.
    fn not_synced(&self, error: std::io::Error) -> NotWritten {
        let error = NotWritten::Sync(error);
        if let Some(mut sink) = self.sink() {
            sink.folder.leave_file();
            sink.unsaid = sink.unsaid.saturating_add(1);
        }
        self.lose(1, &error);
        error
    }

    fn lose(&self, count: u64, error: &dyn std::error::Error) {
        // One line for the first, and then one for every hundred: a full disk is not told by filling it.
        if self
            .lost
            .fetch_add(count, Ordering::Relaxed)
            .is_multiple_of(100)
        {
            let cause = error.source().map(ToString::to_string);
            tracing::error!(%error, cause, "an entry of the audit is missing");
        }
    }

    fn sink(&self) -> Option<MutexGuard<'_, Sink>> {
        let sink = self.sink.as_ref()?;
        Some(sink.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn releases(&self) -> MutexGuard<'_, Releases> {
        self.releases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Audit {
    /// Has every write fail, as on a full disk, or not any more.
    pub(crate) fn set_full(&self, is_full: bool) {
        self.sink().unwrap().folder.is_full = is_full;
    }

    /// Has the next sync fail, as on a broken disk: a pipe has none.
    fn break_file(&self) {
        let (_, end) = std::io::pipe().unwrap();
        let end = File::from(std::os::fd::OwnedFd::from(end));
        self.sink().unwrap().current = Some(Arc::new(end));
    }
}

impl Sink {
    fn write(&mut self, event: &Event<'_>, now_secs: u64) -> Result<(), NotWritten> {
        let (line, next) = self
            .head
            .write(event, now_secs)
            .ok_or(NotWritten::Exhausted)?;
        self.current = Some(self.folder.append(&line)?);
        self.is_dirty = true;
        self.head = next;
        Ok(())
    }

    /// What is missing is said before anything else is.
    fn say_lost(&mut self, now_secs: u64) -> Result<(), NotWritten> {
        if self.unsaid > 0 {
            let reason = match self.folder.is_torn() {
                true => format!("{CUT_OFF}; entries could not be written"),
                false => "entries could not be written".to_owned(),
            };
            let lost = Event {
                count: self.unsaid,
                outcome: "lost".into(),
                ..Event::own(Kind::Loss, reason)
            };
            self.write(&lost, now_secs)?;
            self.unsaid = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
