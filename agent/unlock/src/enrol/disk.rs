use super::Slots;
use crate::copy::{CheckedCopy, CopyError, HeaderCopy};
use crate::cryptsetup::{Cryptsetup, CryptsetupError};
use crate::luks2::Wanted;
use crate::passphrase::Passphrase;
use std::path::Path;
use thiserror::Error;

/// A volume's slots, over cryptsetup. What is asked is asked of a fresh copy of the header, checked
/// as a boot checks it; a header that a boot would refuse is not enrolled in.
#[derive(Debug)]
pub(crate) struct Disk<'a> {
    pub(crate) cryptsetup: Cryptsetup,
    pub(crate) device: &'a Path,
    pub(crate) wanted: &'a Wanted,
}

/// Why the slots could not be looked at or changed.
#[derive(Debug, Error)]
pub(crate) enum DiskError {
    #[error("the volume's header cannot be used")]
    Header(#[source] CopyError),
    #[error("the volume's slots cannot be used")]
    Cryptsetup(#[source] CryptsetupError),
}

impl DiskError {
    /// What to do about it, as a sentence without its stop.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Header(error) => error.remedy(),
            Self::Cryptsetup(error) => error.remedy(),
        }
    }
}

impl Disk<'_> {
    fn copy(&self) -> Result<CheckedCopy, DiskError> {
        HeaderCopy::take(self.device)
            .and_then(|copy| copy.check(self.wanted))
            .map_err(DiskError::Header)
    }
}

impl Slots for Disk<'_> {
    type Error = DiskError;

    fn numbers(&mut self) -> Result<Vec<u8>, DiskError> {
        let copy = self.copy()?;
        let slots = copy.header().header().keyslots();
        Ok(slots.iter().map(|slot| slot.number).collect())
    }

    fn tried_at_boot(&mut self) -> Result<Vec<u8>, DiskError> {
        let copy = self.copy()?;
        let slots = copy.header().header().keyslots().iter();
        let tried = slots.filter(|slot| !slot.is_ignored);
        Ok(tried.map(|slot| slot.number).collect())
    }

    fn opens(&mut self, slot: u8, passphrase: &Passphrase) -> Result<bool, DiskError> {
        let copy = self.copy()?;
        self.cryptsetup
            .opens(&copy, Some(slot), passphrase)
            .map_err(DiskError::Cryptsetup)
    }

    fn add(&mut self, existing: &Passphrase, new: &Passphrase) -> Result<(), DiskError> {
        self.cryptsetup
            .add_slot(self.device, existing, new)
            .map_err(DiskError::Cryptsetup)
    }

    fn remove(&mut self, slot: u8, remaining: &Passphrase) -> Result<(), DiskError> {
        self.cryptsetup
            .remove_slot(self.device, slot, remaining)
            .map_err(DiskError::Cryptsetup)
    }
}
