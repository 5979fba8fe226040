//! How often the firmware is asked: a host that is asked faster than it likes may answer with an
//! error, and for most errors the kernel wipes its key to the firmware until the next boot.

use std::time::{Duration, Instant};

/// How many requests may follow each other at once.
const BURST: u32 = 4;
/// For each request beyond them.
const INTERVAL: Duration = Duration::from_millis(250);

/// Counts requests.
#[derive(Debug)]
pub(super) struct Pace {
    /// When all of the burst is there again, if nothing is asked.
    rested_at: Option<Instant>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { rested_at: None }
    }

    /// Counts one request and says how long it has to wait.
    pub(super) fn claim(&mut self, now: Instant) -> Duration {
        let rested_at = self.rested_at.map_or(now, |at| at.max(now)) + INTERVAL;
        self.rested_at = Some(rested_at);
        (rested_at - now).saturating_sub(INTERVAL * BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_its_interval() {
        let (mut pace, now) = (Pace::new(), Instant::now());
        for _ in 0..BURST {
            assert_eq!(pace.claim(now), Duration::ZERO);
        }
        assert_eq!(pace.claim(now), INTERVAL);
        assert_eq!(pace.claim(now), INTERVAL * 2);
        assert_eq!(pace.claim(now + INTERVAL * 2), INTERVAL);
    }

    #[test]
    fn who_rests_has_one_burst_again_and_no_more() {
        let (mut pace, now) = (Pace::new(), Instant::now());
        let later = now + INTERVAL * 100;
        pace.claim(now);
        let waits = [(); 6].map(|()| pace.claim(later));
        assert_eq!(waits[..4], [Duration::ZERO; 4]);
        assert_eq!(waits[4..], [INTERVAL, INTERVAL * 2]);
    }
}
