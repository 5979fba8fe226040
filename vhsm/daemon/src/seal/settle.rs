//! What has to be in the file before an answer leaves.

use super::{Seal, SealError};
use crate::daemon::Daemon;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How an answer stands to what the file may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stake {
    /// Nothing of it is lost with what the file lacks.
    Nothing,
    /// It shows how sealed keys are: it waits for the file, but not for as long as a disk is full.
    Shows,
    /// It says that a sealed key changed, or is worth nothing without the version that it was made
    /// with: without the file it does not leave.
    Rests,
}

/// The answer to a change that is not in the file.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "what changed holds in memory and is sealed as soon as that can be; a reboot before loses it"
)]
pub(crate) struct NotSealed(#[source] Arc<SealError>);

impl Seal {
    /// Before a reply leaves: has the file have every change that it may rest on. `before` is what
    /// the vault counted before the request; `stake` is told whether it counted more since, by this
    /// request or by another at the same time: which of them, the session knows.
    ///
    /// # Errors
    /// [`NotSealed`] where the reply rests on what is not in the file, or may not be.
    pub(crate) fn settle(
        &self,
        daemon: &Daemon,
        before: u64,
        stake: impl FnOnce(bool) -> Stake,
    ) -> Result<(), NotSealed> {
        let changes = daemon.vault.seal_changes();
        if self.covers(changes) {
            return Ok(());
        }
        let stake = stake(changes != before);
        if stake == Stake::Nothing {
            return Ok(());
        }
        if !self.is_open() {
            // What is here then outlived another process, and which file has it cannot be seen.
            return match stake {
                Stake::Rests => Err(NotSealed(Arc::new(SealError::NotOpen))),
                Stake::Shows | Stake::Nothing => Ok(()),
            };
        }
        if stake == Stake::Shows && self.is_behind.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.write_for(daemon, Some(changes)) {
            Err(error) if stake == Stake::Rests => Err(NotSealed(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
