use std::time::Duration;
use tokio::time::Instant;

/// The clock of rounds: milliseconds since the process began, on a clock that never runs backwards.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    began: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The instant at which [`Clock::now_ms`] reaches `at_ms`.
    pub(crate) fn instant(&self, at_ms: u64) -> Instant {
        self.began + Duration::from_millis(at_ms)
    }
}

/// Fresh randomness for jitter. Without any, machines come back at the same time; that is not a
/// reason to stop.
pub(crate) fn draw() -> u64 {
    getrandom::u64().unwrap_or_default()
}
