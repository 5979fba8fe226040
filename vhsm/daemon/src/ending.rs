//! How all keys end, and how a vault leaves its phase of the boot.

use crate::config::AcrossSwitchRoot;
use crate::daemon::Daemon;
use crate::event::Event;
use crate::phase;
use crate::quote::QuoteFault;
use crate::seal::{Seal, SealError, told};
use crate::store::Keeping;
use nitride_protocol::admin::{PhaseEnded, Protection};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// Whether this process is at its end before anybody has told it to stop.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    is_wiped: AtomicBool,
    has_left: AtomicBool,
    /// Rung when nothing is to be served any more.
    pub(crate) bell: Notify,
}

impl Ending {
    /// Whether every key was ended.
    pub(crate) fn is_wiped(&self) -> bool {
        self.is_wiped.load(Ordering::Acquire)
    }

    /// Whether the phase has ended, so that the process stays and serves nobody: one that ended
    /// would be started again, in a phase that is over.
    pub(crate) fn has_left(&self) -> bool {
        self.has_left.load(Ordering::Acquire)
    }
}

impl Daemon {
    /// Ends every key, whatever comes after: no later process finds one. Nothing new is begun from
    /// then on, and the process ends, so that nothing of a key is left in its memory either.
    ///
    /// # Errors
    /// [`SealError`] where a sealed file may still open; all else is done.
    pub(crate) fn wipe(&self) -> Result<(), SealError> {
        // First, so that whoever is answered after this has not used a key after this.
        self.begin_stopping();
        // Before the records: a crash between the two leaves what was not said to be wiped.
        let sealed = self.seal.as_ref().map_or(Ok(()), Seal::wipe);
        if let Err(error) = &sealed {
            Event::SealFailed {
                what: "a sealed file may be left after the wipe",
                because: &told(error),
            }
            .emit();
        }
        // One atomic store: a crash leaves every key or none.
        nitride_secmem::wipe_all();
        Event::Wiped.emit();
        self.ending.is_wiped.store(true, Ordering::Release);
        self.ending.bell.notify_one();
        sealed
    }

    /// Ends what a request has still brought to its end after all keys had ended. To be called once
    /// nothing is served any more, and before the process may be killed.
    pub(crate) fn end_late_keys(&self) {
        if self.ending.is_wiped() {
            nitride_secmem::wipe_all();
            self.vault.forget_keys();
        }
    }

    /// Leaves the phase that this process belongs to. Its end is measured first: until then nothing
    /// has changed, and it can be asked again. Then nobody is served any more, and unless the
    /// configuration and `protection` keep them, every key ends: the root that comes next may have
    /// been written by whoever holds the disk.
    ///
    /// What is sealed in a file stays as it is: the platform says who may open that.
    ///
    /// # Errors
    /// [`QuoteFault`]: the end is not measured.
    pub(crate) fn end_phase(&self, protection: Protection) -> Result<PhaseEnded, QuoteFault> {
        phase::end(&self.config)?;
        let boot = self.config.boot.as_ref();
        let across = boot.map_or(AcrossSwitchRoot::default(), |boot| boot.across_switch_root);
        let kept = self.keeping == Keeping::Kept && across.keeps(protection);
        // First, so that whoever is answered after this has not used a key after this.
        self.begin_stopping();
        if !kept {
            if let Some(seal) = &self.seal {
                seal.end(self);
                seal.leave();
            }
            // One atomic store for what a crash would leave, and then the memory itself: the service
            // manager holds it for whoever comes next.
            nitride_secmem::wipe_all();
            self.vault.forget_keys();
            self.ending.is_wiped.store(true, Ordering::Release);
        }
        self.ending.has_left.store(true, Ordering::Release);
        Event::PhaseEnded {
            phase: boot.and_then(|boot| boot.phase.as_deref()),
            protection: protection.as_str(),
            keys_kept: kept,
        }
        .emit();
        self.ending.bell.notify_one();
        Ok(PhaseEnded { kept })
    }
}
