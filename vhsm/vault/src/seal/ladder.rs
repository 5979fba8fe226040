//! Which file counts: the rule that keeps the host from playing an older one.
//!
//! ```text
//! counter      c            c           c + 1          c + 1
//! vault.sealed [c]          [c]         [c]            [c + 1]
//!      .next        write   [c + 1]  increment  [c + 1]  rename
//! counts       [c]          [c]         [c + 1]        [c + 1]    acknowledged
//! ```
//!
//! At each moment exactly one value of the counter is the present one, and a file is for one value.
//! So a kill between any two steps leaves a file that counts, and it has all that was acknowledged.
//!
//! But a life that ends before its increment leaves a file for c + 1 behind, and so may many lives;
//! the host keeps them all. Whoever is not certain that no such file exists writes twice: the first
//! time for c + 1, which competes with those, and acknowledges nothing; then for c + 2, for which
//! nobody has written before, since the counter came to c + 1 by this very call. The tests try all
//! of it: every kill, every error, every older file.
//!
//! Whoever finds a step that it did not make is not alone: a copy of this memory runs elsewhere, or
//! this is the copy, and what is in memory may be older than what the other one acknowledged. It
//! writes no more, and looks before each file, so that it takes no step either: that would end the
//! other's file. Only two that write at the same moment end each other's. And only a step of its own that failed and may have been done is told from another's
//! by nothing; so much a host that also breaks into the counter's bus has.

use super::Generation;
use thiserror::Error;

/// What the rule works with: two files, `vault.sealed` and `vault.sealed.next`, and a counter that
/// only goes up. Each step is on the disk, or in the counter, when it returns.
pub trait Shelf {
    /// Why a step was not done, or may not have been.
    type Error;

    /// The counter's value.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    fn counter(&mut self) -> Result<u64, Self::Error>;

    /// Counts up by one; gives the value after it.
    ///
    /// # Errors
    /// It may have been counted or not.
    fn increment(&mut self) -> Result<u64, Self::Error>;

    /// What the head of `.next` says; `None` where there is none, or no head.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    fn next_generation(&mut self) -> Result<Option<Generation>, Self::Error>;

    /// Seals what is to be sealed now and puts it, whole or not at all, into the place of `.next`.
    ///
    /// # Errors
    /// `.next` may be the one before, the new one, or gone.
    fn write_next(&mut self, generation: Generation) -> Result<(), Self::Error>;

    /// Puts `.next` into the place of `vault.sealed`.
    ///
    /// # Errors
    /// It may have been done or not.
    fn rename_next(&mut self) -> Result<(), Self::Error>;
}

/// Where one life of the vault stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder {
    counted: Option<Counted>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Counted {
    /// The highest value that was seen, if one was.
    value: Option<u64>,
    /// Whether a step failed since, which may have been done.
    may_be_next: bool,
    /// Whether the last file is written and acknowledged, and nothing was tried since.
    is_certain: bool,
    /// What it should have been and was, when somebody else had counted.
    outrun: Option<(u64, u64)>,
}

/// Why a change is not sealed. What was sealed before is; [`Ladder::commit`] may be tried again,
/// but for [`LadderFault::Moved`], which stays.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LadderFault<E> {
    /// A step failed.
    #[error("the sealed file was not written")]
    Shelf(#[from] E),
    /// Another counter, or one that was reset: older files could count again.
    #[error("the rollback counter went back from {from} to {to}: it is another counter")]
    WentBack {
        /// What it was.
        from: u64,
        /// What it is.
        to: u64,
    },
    /// Somebody else counts, too. What is in memory may be older than what they wrote, so nothing
    /// more is written by this life.
    #[error(
        "the rollback counter is at {found}, and was counted up to {expected} here: another copy \
         of this machine counts too"
    )]
    Moved {
        /// What it should be.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// 2^64 files were written.
    #[error("the rollback counter is at its end")]
    Over,
}

impl Ladder {
    /// One without a counter: the host may play any file.
    #[must_use]
    pub const fn without_counter() -> Self {
        Self { counted: None }
    }

    /// One whose life begins.
    #[must_use]
    pub fn with_counter() -> Self {
        Self {
            counted: Some(Counted::default()),
        }
    }

    /// Which of the files counts, `vault.sealed` or `.next`, by what their heads say: the index of
    /// the first. Where there are files and this is none of them, what is there is older than what
    /// was acknowledged: it is not opened, and not overwritten either.
    ///
    /// # Errors
    /// [`LadderFault::Shelf`], [`LadderFault::WentBack`], [`LadderFault::Moved`].
    pub fn choose<S: Shelf>(
        &mut self,
        shelf: &mut S,
        heads: [Option<Generation>; 2],
    ) -> Result<Option<usize>, LadderFault<S::Error>> {
        let value = match &mut self.counted {
            Some(counted) => counted.read(shelf)?,
            None => 0,
        };
        Ok(heads
            .iter()
            .position(|head| head.is_some_and(|head| head.accepts(value))))
    }

    /// Has everything written that is to be sealed by now. Only once it has returned may what it
    /// wrote be acknowledged.
    ///
    /// # Errors
    /// [`LadderFault`]: nothing is acknowledged; what was before is still there.
    pub fn commit<S: Shelf>(&mut self, shelf: &mut S) -> Result<(), LadderFault<S::Error>> {
        let Some(counted) = &mut self.counted else {
            shelf.write_next(Generation::NONE)?;
            shelf.rename_next()?;
            return Ok(());
        };
        if let Some((expected, found)) = counted.outrun {
            return Err(LadderFault::Moved { expected, found });
        }
        // A step cannot be taken back, and would end the file of whoever else counted: the older
        // of two copies has to see that before it takes one.
        let mut value = counted.read(shelf)?;
        if !counted.is_certain {
            // It may be the only one that counts, and its place is needed.
            if (shelf.next_generation()?).is_some_and(|next| next.accepts(value)) {
                shelf.rename_next()?;
            }
            value = counted.write(shelf, value)?;
        }
        counted.is_certain = false;
        counted.write(shelf, value)?;
        counted.is_certain = true;
        Ok(())
    }

    /// Makes the counter pass whatever was ever written. To be called when the files are gone.
    ///
    /// # Errors
    /// [`LadderFault::Shelf`], [`LadderFault::WentBack`]: what the host kept may still count.
    pub fn retire<S: Shelf>(&mut self, shelf: &mut S) -> Result<(), LadderFault<S::Error>> {
        let Some(counted) = &mut self.counted else {
            return Ok(());
        };
        counted.is_certain = false;
        // Whoever else counts: what they wrote is dead, too.
        counted.see(shelf.counter()?)?;
        // At c there may be files for c and for c + 1.
        for _ in 0..2 {
            counted.may_be_next = true;
            counted.see(shelf.increment()?)?;
        }
        Ok(())
    }
}

impl Counted {
    /// Reads the value, which nobody but this life may have changed.
    fn read<S: Shelf>(&mut self, shelf: &mut S) -> Result<u64, LadderFault<S::Error>> {
        let ours = self.value;
        let expected = ours.map(|ours| ours.saturating_add(u64::from(self.may_be_next)));
        let found = self.see(shelf.counter()?)?;
        match expected.filter(|expected| found > *expected) {
            Some(expected) => Err(self.is_outrun(expected, found)),
            None => Ok(found),
        }
    }

    fn see<E>(&mut self, value: u64) -> Result<u64, LadderFault<E>> {
        if let Some(from) = self.value
            && value < from
        {
            return Err(LadderFault::WentBack { from, to: value });
        }
        self.value = Some(value);
        self.may_be_next = false;
        Ok(value)
    }

    fn is_outrun<E>(&mut self, expected: u64, found: u64) -> LadderFault<E> {
        self.outrun = Some((expected, found));
        LadderFault::Moved { expected, found }
    }

    /// Writes a file for the value after `value`, and counts up to it; gives that.
    fn write<S: Shelf>(&mut self, shelf: &mut S, value: u64) -> Result<u64, LadderFault<S::Error>> {
        let next = Generation::next(value).ok_or(LadderFault::Over)?;
        shelf.write_next(next)?;
        self.may_be_next = true;
        let found = self.see(shelf.increment()?)?;
        if !next.accepts(found) {
            return Err(self.is_outrun(next.0, found));
        }
        shelf.rename_next()?;
        Ok(found)
    }
}
