//! Writing the file, for everybody who waits for it at once.

use super::fault::SealError;
use super::folder::{Folder, Name};
use super::platform::{Part, Source};
use super::shown::State;
use super::{Seal, Work};
use crate::daemon::Daemon;
use crate::event::Event;
use crate::randomness::SystemDraw;
use nitride_vault::seal::{Generation, Head, Shelf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The disk, the counter, and what makes a file.
pub(super) struct Writing<'w> {
    folder: &'w Folder,
    source: &'w Source,
    params: &'w [u8],
    make: &'w mut dyn FnMut(Generation) -> Result<Vec<u8>, SealError>,
    /// The counter as it was last read.
    pub(super) counter: u64,
}

impl<'w> Writing<'w> {
    pub(super) fn new(
        folder: &'w Folder,
        source: &'w Source,
        params: &'w [u8],
        make: &'w mut dyn FnMut(Generation) -> Result<Vec<u8>, SealError>,
    ) -> Self {
        Self {
            folder,
            source,
            params,
            make,
            counter: 0,
        }
    }
}

impl Shelf for Writing<'_> {
    type Error = SealError;

    fn counter(&mut self) -> Result<u64, SealError> {
        self.counter = self.source.count(self.params, false)?;
        Ok(self.counter)
    }

    fn increment(&mut self) -> Result<u64, SealError> {
        self.source.count(self.params, true)
    }

    fn next_generation(&mut self) -> Result<Option<Generation>, SealError> {
        let bytes = self.folder.read_head(Name::Next)?;
        let head = bytes.and_then(|bytes| Head::parse(&bytes).ok());
        Ok(head.map(|(head, _)| head.generation))
    }

    fn write_next(&mut self, generation: Generation) -> Result<(), SealError> {
        let file = (self.make)(generation)?;
        self.folder.write_next(&file)
    }

    fn rename_next(&mut self) -> Result<(), SealError> {
        self.folder.take_over()
    }
}

const NOT_WRITTEN: &str = "the sealed file is not written";

/// What went into a file.
pub(super) struct Covered {
    keys: u64,
    left_out: Option<String>,
    changes: u64,
    pub(super) generation: Generation,
}

impl Seal {
    /// Has the file have every change up to `changes`, or all there are. Whoever holds the lock
    /// writes for those who wait for it, and a write that was begun after they came and failed has
    /// failed for them too.
    pub(super) fn write_for(
        &self,
        daemon: &Daemon,
        changes: Option<u64>,
    ) -> Result<(), Arc<SealError>> {
        let came = self.begun.load(Ordering::SeqCst);
        let mut work = self.work();
        // Whoever had the lock may have written it.
        let is_written = match changes {
            Some(changes) => self.covers(changes),
            None => {
                !self.is_due.load(Ordering::Acquire) && self.covers(daemon.vault.seal_changes())
            }
        };
        if is_written {
            return Ok(());
        }
        if let Some((number, error)) = &work.failed
            && *number > came
        {
            return Err(Arc::clone(error));
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        // Whoever finds that a write is due from here on may not be in this one.
        let was_due = self.is_due.swap(false, Ordering::AcqRel);
        match self.write(&mut work, daemon) {
            Ok(covered) => {
                let generation = covered.generation.0;
                work.failed = None;
                let is_again = self.note_written(covered);
                if is_again {
                    Event::SealWrittenAgain { generation }.emit();
                    daemon.status_bell.notify_one();
                }
                Ok(())
            }
            Err(error) => {
                let error = Arc::new(error);
                work.failed = Some((number, Arc::clone(&error)));
                // Under the lock: whoever writes next, and succeeds, says so after this.
                if was_due {
                    self.is_due.store(true, Ordering::Release);
                }
                self.is_behind.store(true, Ordering::Release);
                let is_told = !matches!(*error, SealError::Wiped | SealError::NotOpen);
                let because = is_told.then(|| self.shown().set(State::Open, &error));
                drop(work);
                if let Some(because) = because.flatten() {
                    self.tell(daemon, NOT_WRITTEN, &because);
                }
                Err(error)
            }
        }
    }

    /// Notes what the file has from now on; gives whether it was behind.
    pub(super) fn note_written(&self, covered: Covered) -> bool {
        self.covered.store(covered.changes, Ordering::Release);
        // Whatever was here before is in it.
        self.owes_records.store(false, Ordering::Release);
        self.is_behind.store(false, Ordering::Release);
        self.refresh_later();
        let mut shown = self.shown();
        let is_again = shown.set_open(covered.generation.0);
        shown.keys = covered.keys;
        shown.left_out = covered.left_out;
        is_again
    }

    /// Writes the next file, whether or not anything has changed.
    fn write(&self, work: &mut Work, daemon: &Daemon) -> Result<Covered, SealError> {
        if work.is_wiped {
            return Err(SealError::Wiped);
        }
        let Some(opened) = &mut work.opened else {
            return Err(SealError::NotOpen);
        };
        let part = &opened.part;
        let mut covered = None;
        let mut make = |generation| {
            let (file, what) = self.make(daemon, part, generation)?;
            covered = Some(what);
            Ok(file)
        };
        let mut writing = Writing::new(&work.folder, &self.source, &part.params, &mut make);
        opened.ladder.commit(&mut writing)?;
        let covered = covered.ok_or(SealError::NotOpen)?;
        opened.generation = covered.generation.0;
        daemon.vault.seal_kept(covered.generation);
        Ok(covered)
    }

    /// Writes the first file of a part: for what its counter, which nobody has stepped yet, is at.
    /// So from the moment that it is there it counts.
    pub(super) fn write_first(
        &self,
        work: &Work,
        part: &Part,
        daemon: &Daemon,
    ) -> Result<Covered, SealError> {
        let generation = match self.settings.counter {
            true => Generation(self.source.count(&part.params, false)?),
            false => Generation::NONE,
        };
        let (file, covered) = self.make(daemon, part, generation)?;
        work.folder.write_next(&file)?;
        work.folder.take_over()?;
        daemon.vault.seal_kept(generation);
        Ok(covered)
    }

    fn make(
        &self,
        daemon: &Daemon,
        part: &Part,
        generation: Generation,
    ) -> Result<(Vec<u8>, Covered), SealError> {
        let head = self.head(part, generation)?;
        let key = daemon.vault.sealing_key(&head, &part.secret)?;
        let sealed = daemon.vault.seal(&head, &key, Daemon::now())?;
        let covered = Covered {
            keys: sealed.keys,
            left_out: sealed.left_out,
            changes: sealed.changes,
            generation,
        };
        Ok((sealed.file, covered))
    }

    /// A head for one file: no two have the same salt, and so no two the same key.
    pub(super) fn head(&self, part: &Part, generation: Generation) -> Result<Head, SealError> {
        let provisioned = self.settings.provisioned.clone();
        let params = part.params.clone();
        let platform = self.settings.platform;
        Ok(Head::new(
            platform,
            params,
            provisioned,
            generation,
            &mut SystemDraw,
        )?)
    }
}

impl Work {
    /// All files, whatever becomes of each.
    pub(super) fn remove_all(&self) -> Result<(), SealError> {
        let removed = [Name::Current, Name::Next, Name::Half].map(|name| self.folder.remove(name));
        removed.into_iter().collect()
    }
}
