//! The only place that reads clocks. Everything below takes the time as an argument.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall time for challenges and tokens, monotonic time for throttling.
#[derive(Debug, Clone)]
pub(crate) enum Clock {
    /// The machine's clocks; the instant is where monotonic time begins.
    System(Instant),
    /// A hand that a test turns, in seconds since 1970.
    #[cfg(test)]
    Manual(std::sync::Arc<std::sync::atomic::AtomicU64>),
}

impl Clock {
    pub(crate) fn system() -> Self {
        Self::System(Instant::now())
    }

    /// Seconds since 1970. A clock before 1970 reads as 0: then every token is yet to come.
    pub(crate) fn wall_secs(&self) -> u64 {
        match self {
            Self::System(_) => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            #[cfg(test)]
            Self::Manual(secs) => secs.load(std::sync::atomic::Ordering::SeqCst),
        }
    }

    /// Milliseconds since some moment before the first call.
    pub(crate) fn monotonic_ms(&self) -> u64 {
        match self {
            Self::System(start) => u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
            #[cfg(test)]
            Self::Manual(secs) => secs.load(std::sync::atomic::Ordering::SeqCst) * 1000,
        }
    }
}
