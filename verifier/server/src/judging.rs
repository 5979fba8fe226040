//! Judging off the executor: signatures take milliseconds, and a machine of many devices has dozens,
//! in which a thread of the executor would answer nobody else.

use std::sync::Arc;
use std::thread;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Lets so many judge at once, and has the others wait for their turn.
#[derive(Debug)]
pub(crate) struct Judging {
    free: Arc<Semaphore>,
    at_once: usize,
}

/// Why there is no judgement: the service is ending, or has a defect.
#[derive(Debug, Error)]
#[error("a judgement was not made")]
pub(crate) struct NotJudged(#[source] Option<tokio::task::JoinError>);

impl Judging {
    /// As many at once as there are processors: more would only make each other slower.
    pub(crate) fn new() -> Self {
        Self::of(thread::available_parallelism().map_or(1, usize::from))
    }

    pub(crate) fn of(at_once: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(at_once)),
            at_once,
        }
    }

    /// How many threads it takes at the most.
    pub(crate) fn at_once(&self) -> usize {
        self.at_once
    }

    /// Does `work` on a thread of its own. It keeps its turn to its end, also if nobody waits for it
    /// any more: whoever hangs up does not get further turns by it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotJudged> {
        let turn = self.free.clone().acquire_owned().await;
        let turn = turn.map_err(|_| NotJudged(None))?;
        let working = spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        working.await.map_err(|error| NotJudged(Some(error)))
    }

    /// All turns, until what is returned is dropped.
    #[cfg(test)]
    pub(crate) fn hold(&self) -> tokio::sync::OwnedSemaphorePermit {
        let all = u32::try_from(self.free.available_permits()).unwrap();
        self.free.clone().try_acquire_many_owned(all).unwrap()
    }

    /// One turn, likewise.
    #[cfg(test)]
    pub(crate) fn hold_one(&self) -> tokio::sync::OwnedSemaphorePermit {
        self.free.clone().try_acquire_owned().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judging_is_off_the_executor_and_takes_turns() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let judging = Judging::new();
            let thread = judging.run(|| thread::current().id()).await.unwrap();
            assert_ne!(thread, thread::current().id());
            let held = judging.hold();
            let waiting = judging.run(|| ());
            let short = std::time::Duration::from_millis(100);
            assert!(tokio::time::timeout(short, waiting).await.is_err());
            drop(held);
            judging.run(|| ()).await.unwrap();
        });
    }
}
