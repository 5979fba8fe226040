//! Enrolling a passphrase, so that a kill at any moment leaves a volume that unlocks.
//!
//! ```text
//! begin ──no slot has it──> Absent ──add──┐
//!   └────one slot has it────────────────> Proved ──retire──> Finished
//! ```
//!
//! Nothing is kept of where it was: each stage reads the header anew and tries the passphrases, so
//! that whoever begins again goes on where the last one was cut off. A slot is removed by a
//! [`Proved`] alone, which exists only where the new passphrase has just unlocked another slot, on
//! the very path that a boot takes. Each single step is cryptsetup's: a slot's material is written
//! before the header lists it, and the header has two copies.

mod disk;
#[cfg(test)]
mod tests;

pub(crate) use disk::{Disk, DiskError};

use crate::passphrase::Passphrase;
use thiserror::Error;

/// What a volume's slots can be asked and told. Each call reads the header as it is now.
pub(crate) trait Slots {
    /// Why a call failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The numbers of the slots, in their order.
    fn numbers(&mut self) -> Result<Vec<u8>, Self::Error>;
    /// Those of them that a boot tries, which leaves out what the header says to ignore.
    fn tried_at_boot(&mut self) -> Result<Vec<u8>, Self::Error>;
    /// Whether the passphrase unlocks the slot.
    fn opens(&mut self, slot: u8, passphrase: &Passphrase) -> Result<bool, Self::Error>;
    /// Adds a slot for `new`.
    fn add(&mut self, existing: &Passphrase, new: &Passphrase) -> Result<(), Self::Error>;
    /// Removes a slot, if `remaining` unlocks another.
    fn remove(&mut self, slot: u8, remaining: &Passphrase) -> Result<(), Self::Error>;
}

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Task<'a> {
    /// The passphrase that is to unlock from now on.
    pub(crate) new: &'a Passphrase,
    /// Those that unlocked until now; one of them lets the new one in.
    pub(crate) old: &'a [Passphrase],
    /// Whether the slots of the old ones stay.
    pub(crate) keep_old: bool,
    /// Slots to remove in any case.
    pub(crate) remove: &'a [u8],
}

/// Why the task was not finished. The volume unlocks as it did before, or by the new passphrase too.
#[derive(Debug, Error)]
pub(crate) enum EnrolError<E: std::error::Error + 'static> {
    #[error("the new passphrase is the old one, so there is nothing to enrol")]
    Same,
    #[error("no slot has the new passphrase, and none that was given unlocks the volume")]
    NoWayIn,
    #[error("a slot was added, and the new passphrase unlocks none: no slot was removed")]
    NotProved,
    #[error("slot {slot} is the one that the new passphrase unlocks, so it is not removed")]
    OwnSlot { slot: u8 },
    #[error("slot {slot} was removed, and is still there")]
    StillThere { slot: u8 },
    #[error("the slots cannot be looked at or changed")]
    Slots(#[source] E),
}

impl<E: std::error::Error + 'static> EnrolError<E> {
    /// What to do about it, as a sentence without its stop; `None`: the source says it.
    pub(crate) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Same => Some(
                "have the service or the vault make another passphrase, or name another of the \
                 volume's passphrases",
            ),
            Self::NoWayIn => Some("give a passphrase that unlocks it: --existing"),
            Self::NotProved | Self::StillThere { .. } => Some(
                "see that nobody else changes the volume's slots, and begin again: nothing is lost",
            ),
            Self::OwnSlot { .. } => Some("name another slot: nitride-unlock status lists them"),
            Self::Slots(_) => None,
        }
    }
}

/// Where the task stands.
#[derive(Debug)]
pub(crate) enum Begun {
    Absent(Absent),
    Proved(Proved),
}

/// No slot has the new passphrase.
#[derive(Debug)]
pub(crate) struct Absent(());

/// The new passphrase unlocks this slot, as a boot would.
#[derive(Debug)]
pub(crate) struct Proved {
    slot: u8,
}

/// What is left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    /// The slot of the new passphrase.
    pub(crate) slot: u8,
    pub(crate) removed: Vec<u8>,
    /// Other slots that are still there.
    pub(crate) left: Vec<u8>,
}

/// All of it, from wherever it stands.
pub(crate) fn run<S: Slots>(
    slots: &mut S,
    task: &Task<'_>,
) -> Result<Finished, EnrolError<S::Error>> {
    let proved = match begin(slots, task)? {
        Begun::Proved(proved) => proved,
        Begun::Absent(absent) => absent.add(slots, task)?,
    };
    proved.retire(slots, task)
}

/// Finds out where the task stands.
pub(crate) fn begin<S: Slots>(
    slots: &mut S,
    task: &Task<'_>,
) -> Result<Begun, EnrolError<S::Error>> {
    if task.old.iter().any(|old| old.is_same(task.new)) {
        return Err(EnrolError::Same);
    }
    Ok(match prove(slots, task.new)? {
        Some(proved) => Begun::Proved(proved),
        None => Begun::Absent(Absent(())),
    })
}

/// The first slot that the passphrase unlocks at boot.
fn prove<S: Slots>(
    slots: &mut S,
    new: &Passphrase,
) -> Result<Option<Proved>, EnrolError<S::Error>> {
    for slot in slots.tried_at_boot().map_err(EnrolError::Slots)? {
        if slots.opens(slot, new).map_err(EnrolError::Slots)? {
            return Ok(Some(Proved { slot }));
        }
    }
    Ok(None)
}

impl Absent {
    /// Adds a slot, and proves it.
    pub(crate) fn add<S: Slots>(
        self,
        slots: &mut S,
        task: &Task<'_>,
    ) -> Result<Proved, EnrolError<S::Error>> {
        for old in task.old {
            if prove(slots, old)?.is_some() {
                slots.add(old, task.new).map_err(EnrolError::Slots)?;
                return prove(slots, task.new)?.ok_or(EnrolError::NotProved);
            }
        }
        Err(EnrolError::NoWayIn)
    }
}

impl Proved {
    /// Removes the slots of the old passphrases and those that were named, one by one; before each,
    /// the new one is proved again.
    pub(crate) fn retire<S: Slots>(
        self,
        slots: &mut S,
        task: &Task<'_>,
    ) -> Result<Finished, EnrolError<S::Error>> {
        if task.remove.contains(&self.slot) {
            return Err(EnrolError::OwnSlot { slot: self.slot });
        }
        let mut removed = Vec::new();
        let mut left = Vec::new();
        for slot in slots.numbers().map_err(EnrolError::Slots)? {
            if slot == self.slot {
                continue;
            }
            if !self.is_retired(slots, task, slot)? {
                left.push(slot);
                continue;
            }
            let tried = slots.tried_at_boot().map_err(EnrolError::Slots)?;
            let still = slots
                .opens(self.slot, task.new)
                .map_err(EnrolError::Slots)?;
            if !still || !tried.contains(&self.slot) {
                return Err(EnrolError::NotProved);
            }
            slots.remove(slot, task.new).map_err(EnrolError::Slots)?;
            let now = slots.numbers().map_err(EnrolError::Slots)?;
            if now.contains(&slot) {
                return Err(EnrolError::StillThere { slot });
            }
            removed.push(slot);
        }
        Ok(Finished {
            slot: self.slot,
            removed,
            left,
        })
    }

    fn is_retired<S: Slots>(
        &self,
        slots: &mut S,
        task: &Task<'_>,
        slot: u8,
    ) -> Result<bool, EnrolError<S::Error>> {
        if task.remove.contains(&slot) {
            return Ok(true);
        }
        if task.keep_old {
            return Ok(false);
        }
        for old in task.old {
            if slots.opens(slot, old).map_err(EnrolError::Slots)? {
                return Ok(true);
            }
        }
        // A second slot of the new passphrase, as two that enrol at once would leave.
        slots.opens(slot, task.new).map_err(EnrolError::Slots)
    }
}
