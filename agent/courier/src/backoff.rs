/// How long to wait between attempts, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Wait after the first failure, before jitter. At least 1.
    pub first_ms: u64,
    /// Greatest wait, before jitter.
    pub max_ms: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first_ms: 200,
            max_ms: 5_000,
        }
    }
}

impl Backoff {
    /// The wait after `failures` failures in a row (at least one), with `draw` as its randomness.
    ///
    /// Doubles from `first_ms` to `max_ms`; half of that is certain and half is drawn, so that
    /// machines that lost the same service at the same time do not come back at the same time, and
    /// none comes back at once.
    pub fn after(&self, failures: u32, draw: u64) -> u64 {
        let doublings = failures.saturating_sub(1).min(32);
        let whole = self
            .first_ms
            .max(1)
            .saturating_mul(1 << doublings)
            .min(self.max_ms.max(1));
        let certain = whole.div_ceil(2);
        // A `u64` draw over a span of seconds has a bias of 2^-50: below what jitter is for.
        certain.saturating_add(draw % (whole - certain + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_double_up_to_the_greatest() {
        let backoff = Backoff {
            first_ms: 100,
            max_ms: 1000,
        };
        let longest: Vec<u64> = (1..7)
            .map(|failures| (0..=50).map(|draw| backoff.after(failures, draw)).max())
            .map(Option::unwrap_or_default)
            .collect();
        assert_eq!(longest[..2], [100, 150]);
        assert_eq!(backoff.after(5, 0), 500);
        assert_eq!(backoff.after(5, 500), 1000);
    }

    proptest! {
        #[test]
        fn a_wait_is_at_least_half_and_at_most_the_whole(
            first_ms: u64, max_ms: u64, failures: u32, draw: u64,
        ) {
            let wait = Backoff { first_ms, max_ms }.after(failures, draw);
            prop_assert!(wait >= 1);
            prop_assert!(wait <= max_ms.max(1));
        }
    }
}
