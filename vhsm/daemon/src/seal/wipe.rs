//! Leaving nothing that opens.

use super::folder::Name;
use super::shown::State;
use super::write::Writing;
use super::{Seal, SealError, Work};
use crate::event::Event;
use nitride_vault::seal::{Head, Platform};

impl Seal {
    /// Leaves nothing that opens: the files are removed and, where there is a counter, no copy of
    /// one ever counts again. No file is written any more.
    ///
    /// # Errors
    /// [`SealError`]; as much was done as could be.
    pub(crate) fn wipe(&self) -> Result<(), SealError> {
        let mut work = self.work();
        // Whoever waits for the file from here on waits in vain, and is told.
        work.is_wiped = true;
        self.shown().set(State::Closed, &SealError::Wiped);
        // What the files name is read before they are gone.
        let counted_by = self.counted_by(&work);
        let removed = work.folder.take().and_then(|()| work.remove_all());
        let retired = self.retire(&mut work);
        work.opened = None;
        work.asked = None;
        let forgotten = self.forget(&counted_by);
        // By the one copies are dead, by the other as well.
        let dead = match (retired, forgotten) {
            (Ok(true), Err(error)) => {
                let because = super::told(&error);
                let what = "the counter is left after the wipe, at a value that no file has";
                Event::SealFailed {
                    what,
                    because: &because,
                }
                .emit();
                Ok(())
            }
            (_, forgotten) => forgotten,
        };
        removed.and(dead)
    }

    /// Has no file written or opened any more, and leaves those that there are.
    pub(crate) fn leave(&self) {
        let mut work = self.work();
        work.is_wiped = true;
        work.opened = None;
        work.asked = None;
        self.shown().set(State::Closed, &SealError::Wiped);
    }

    /// What says by which counter a file counts, whatever is configured by now.
    fn counted_by(&self, work: &Work) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        if let Some(opened) = &work.opened {
            all.push(opened.part.params.clone());
        }
        for name in [Name::Current, Name::Next] {
            let Ok(Some(bytes)) = work.folder.read_head(name) else {
                continue;
            };
            if let Ok((head, _)) = Head::parse(&bytes)
                && head.platform == self.settings.platform
                && !all.contains(&head.params)
            {
                all.push(head.params);
            }
        }
        all
    }

    /// Has the counter pass whatever was written; gives whether that can be said.
    fn retire(&self, work: &mut Work) -> Result<bool, SealError> {
        let Some(opened) = work.opened.as_mut().filter(|_| self.settings.counter) else {
            return Ok(false);
        };
        let mut make = |_| Err(SealError::NotOpen);
        let params = &opened.part.params;
        let mut shelf = Writing::new(&work.folder, &self.source, params, &mut make);
        opened.ladder.retire(&mut shelf)?;
        Ok(true)
    }

    /// Removes the counter that is configured and those that files count by. nitride-quote makes one
    /// where its own configuration says so, and would not make another beside it.
    fn forget(&self, counted_by: &[Vec<u8>]) -> Result<(), SealError> {
        if self.settings.platform != Platform::Tpm {
            return Ok(());
        }
        let mut forgotten = match counted_by {
            [] => self.source.forget(&[]),
            _ => Ok(()),
        };
        for params in counted_by {
            forgotten = forgotten.and(match self.source.forget(params) {
                // No file of such params was ever made here; the counter that is configured is gone.
                Err(error) if error.is_foreign() => Ok(()),
                result => result,
            });
        }
        forgotten
    }
}
