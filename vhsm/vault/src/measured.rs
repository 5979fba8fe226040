//! Releases that are measured first. The daemon knows how; a use knows when.

use crate::{Now, Refusal};
use nitride_protocol::{KeyName, KeyNameBuf};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Has the release of a key measured, and says what time it was then, if it was. It may take a while,
/// so that a lease or a gate's approval may have ended meanwhile.
pub type Measure = Box<dyn Fn(KeyName<'_>) -> Option<Now> + Send + Sync>;

/// What was measured, and how more is.
#[derive(Default)]
pub(crate) struct Releases {
    measure: OnceLock<Measure>,
    measured: Mutex<BTreeSet<KeyNameBuf>>,
}

impl Releases {
    /// The first one stays.
    pub(crate) fn set_measure(&self, measure: Measure) {
        let _ = self.measure.set(measure);
    }

    pub(crate) fn has(&self, key: KeyName<'_>) -> bool {
        let measured = self.measured.lock();
        let measured = measured.unwrap_or_else(PoisonError::into_inner);
        measured.contains(key.as_str())
    }

    /// Has it measured, and says what time it is after that; without anybody who could, it is not.
    pub(crate) fn measure(&self, key: KeyName<'_>) -> Result<Now, Refusal> {
        let measure = self.measure.get();
        let now = measure
            .and_then(|measure| measure(key))
            .ok_or(Refusal::ReleaseNotMeasured)?;
        let measured = self.measured.lock();
        let mut measured = measured.unwrap_or_else(PoisonError::into_inner);
        measured.insert(key.to_owned());
        Ok(now)
    }
}

impl fmt::Debug for Releases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Releases").finish_non_exhaustive()
    }
}
