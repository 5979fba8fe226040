use super::RoundFailure;
use crate::Now;
use std::collections::HashMap;

/// For how long a service that was not reached comes last, in milliseconds; doubled by each further
/// failure.
const FIRST_MS: u64 = 15_000;
/// Never longer. Coming last keeps no key away: where nothing else is left, it is asked all the same.
const CAP_MS: u64 = 300_000;

/// Which services were not reached lately. It is the courier's word, so it decides one thing alone:
/// in which order the services that a key names are asked.
#[derive(Debug, Default)]
pub(super) struct Reach {
    by_service: HashMap<String, Unreached>,
}

#[derive(Debug)]
struct Unreached {
    failures: u32,
    until_boot_ms: u64,
}

impl Reach {
    /// `services` as stated, but those that were not reached lately last: first the one whose time
    /// is over first.
    pub(super) fn in_order(&self, services: &[String], now: Now) -> Vec<String> {
        let mut ordered = services.to_vec();
        ordered.sort_by_key(|service| {
            let unreached = self.by_service.get(service);
            unreached
                .map(|unreached| unreached.until_boot_ms)
                .filter(|until_boot_ms| now.boot_ms < *until_boot_ms)
        });
        ordered
    }

    /// Notes what a round with `service` came to.
    pub(super) fn note(&mut self, service: &str, outcome: Result<(), &RoundFailure>, now: Now) {
        match outcome {
            Err(failure) if failure.is_no_answer() => {
                let unreached = self
                    .by_service
                    .entry(service.to_owned())
                    .or_insert(Unreached {
                        failures: 0,
                        until_boot_ms: 0,
                    });
                let wait_ms = (FIRST_MS << unreached.failures.min(16)).min(CAP_MS);
                unreached.failures = unreached.failures.saturating_add(1);
                unreached.until_boot_ms = now.boot_ms.saturating_add(wait_ms);
            }
            // What ended because of us says nothing of the service.
            Err(failure) if !failure.backs_off() => {}
            Ok(()) | Err(_) => {
                self.by_service.remove(service);
            }
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.by_service.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot_ms: u64) -> Now {
        let wall_secs = 0;
        Now { boot_ms, wall_secs }
    }

    fn order(reach: &Reach, boot_ms: u64) -> String {
        let stated = ["a", "b", "c"].map(str::to_owned);
        reach.in_order(&stated, at(boot_ms)).concat()
    }

    #[test]
    fn a_service_that_was_not_reached_comes_last_for_a_while() {
        let mut reach = Reach::default();
        reach.note("a", Err(&RoundFailure::ServiceUnreachable), at(0));
        assert_eq!(order(&reach, FIRST_MS - 1), "bca");
        assert_eq!(order(&reach, FIRST_MS), "abc");
    }

    #[test]
    fn of_several_the_first_to_come_back_is_before_the_others() {
        let mut reach = Reach::default();
        for (service, boot_ms) in [("b", 0), ("a", 5), ("c", 9)] {
            reach.note(service, Err(&RoundFailure::TimedOut), at(boot_ms));
        }
        assert_eq!(order(&reach, 10), "bac");
    }

    #[test]
    fn each_failure_doubles_the_time_up_to_the_cap_and_an_answer_ends_it() {
        let mut reach = Reach::default();
        for expected in [15_000, 30_000, 60_000, 120_000, 240_000, 300_000, 300_000] {
            reach.note("a", Err(&RoundFailure::TimedOut), at(0));
            assert_eq!(order(&reach, expected - 1), "bca");
            assert_eq!(order(&reach, expected), "abc");
        }
        // A refusal is an answer.
        reach.note("a", Err(&RoundFailure::DeniedByVerifier), at(0));
        assert_eq!(order(&reach, 0), "abc");
    }

    #[test]
    fn what_ended_because_of_us_says_nothing_of_the_service() {
        let mut reach = Reach::default();
        reach.note("a", Err(&RoundFailure::TimedOut), at(0));
        reach.note("a", Err(&RoundFailure::AgentAbsent), at(1));
        reach.note("b", Err(&RoundFailure::AgentAbsent), at(1));
        assert_eq!(order(&reach, 2), "bca");
    }
}
