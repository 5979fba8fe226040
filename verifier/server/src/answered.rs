//! Which key answered a challenge, as far as this replica has seen.
//!
//! Nothing rests on it: a challenge that two keys answer yields two tokens, each for what is encrypted
//! to the key that its evidence binds. But no honest guest does it, so that the replica which sees it
//! refuses the second key, and its log says so. Replicas do not tell each other.
//!
//! It is in memory, of two generations, each as long as a challenge can live; what is in neither has
//! expired. A generation holds so many answers and then notes no more: what a full memory would cost
//! honest guests is more than what it would tell.

use nitride_kbs::tee_key::TeePublicKey;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use thiserror::Error;

use crate::challenge::{CHALLENGE_TTL_SECS, MAX_SKEW_SECS};

/// Longer than any challenge is taken, whatever the clocks of the replicas say.
const GENERATION_MS: u64 = (CHALLENGE_TTL_SECS + 2 * MAX_SKEW_SECS) * 1000;
/// Of 33 bytes each, as the table has them: 1 MiB at most in each generation.
const MAX_NOTED: usize = 28_672;

/// What tells one challenge from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ChallengeId([u8; 16]);

/// The answers of the last minutes.
#[derive(Debug, Default)]
pub(crate) struct Answered(Mutex<Generations>);

/// This challenge was answered for another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("challenge was answered for another key before; ask for a new one")]
pub(crate) struct OtherKey;

#[derive(Debug, Default)]
struct Generations {
    began_ms: u64,
    current: HashMap<ChallengeId, KeyDigest>,
    before: HashMap<ChallengeId, KeyDigest>,
}

/// The first half of SHA-256 over the key's JWK.
type KeyDigest = [u8; 16];

impl ChallengeId {
    pub(crate) fn of(random: [u8; 16]) -> Self {
        Self(random)
    }
}

impl Answered {
    /// Notes that evidence of `key` has answered the challenge, unless that of another has. Of those
    /// who race, one is first. `now_ms` is monotonic.
    pub(crate) fn note(
        &self,
        challenge: ChallengeId,
        key: &TeePublicKey,
        now_ms: u64,
    ) -> Result<(), OtherKey> {
        let key = digest(key);
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        generations.age(now_ms);
        let Generations {
            current, before, ..
        } = &mut *generations;
        match before.get(&challenge).or_else(|| current.get(&challenge)) {
            Some(first) if *first == key => Ok(()),
            Some(_) => Err(OtherKey),
            None => {
                if current.len() < MAX_NOTED {
                    current.insert(challenge, key);
                }
                Ok(())
            }
        }
    }
}

impl Generations {
    fn age(&mut self, now_ms: u64) {
        let age_ms = now_ms.saturating_sub(self.began_ms);
        if age_ms >= 2 * GENERATION_MS {
            *self = Self::default();
        } else if age_ms >= GENERATION_MS {
            self.before = std::mem::take(&mut self.current);
        } else {
            return;
        }
        self.began_ms = now_ms;
    }
}

fn digest(key: &TeePublicKey) -> KeyDigest {
    let whole: [u8; 32] = Sha256::digest(key.to_jwk_json().as_bytes()).into();
    let mut half = KeyDigest::default();
    for (to, from) in half.iter_mut().zip(whole) {
        *to = from;
    }
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::KernelEntropy;
    use crate::jwe::opening::public;
    use crate::key_file::draw_p256;
    use std::sync::Barrier;

    const ONE: ChallengeId = ChallengeId([1; 16]);

    fn key() -> TeePublicKey {
        public(&draw_p256(&mut KernelEntropy).unwrap())
    }

    #[test]
    fn the_key_that_answered_first_may_answer_again_and_another_may_not() {
        let (answered, first, other) = (Answered::default(), key(), key());
        assert_eq!(answered.note(ONE, &first, 0), Ok(()));
        // Its answer was lost on the way.
        assert_eq!(answered.note(ONE, &first, 1), Ok(()));
        assert_eq!(answered.note(ONE, &other, 2), Err(OtherKey));
        assert_eq!(answered.note(ChallengeId([2; 16]), &other, 3), Ok(()));
    }

    #[test]
    fn an_answer_is_remembered_as_long_as_its_challenge_lives() {
        for began_ms in [0, 1, GENERATION_MS - 1] {
            let (answered, first, other) = (Answered::default(), key(), key());
            assert_eq!(answered.note(ONE, &first, began_ms), Ok(()));
            let late_ms = began_ms + GENERATION_MS - 1;
            let noted = answered.note(ONE, &other, late_ms);
            assert_eq!(noted, Err(OtherKey), "{began_ms}");
        }
        let answered = Answered::default();
        assert_eq!(answered.note(ONE, &key(), 0), Ok(()));
        assert_eq!(answered.note(ONE, &key(), 2 * GENERATION_MS), Ok(()));
    }

    #[test]
    fn of_those_who_race_one_is_first() {
        let (answered, begin) = (Answered::default(), Barrier::new(8));
        let won = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let key = key();
                        begin.wait();
                        answered.note(ONE, &key, 0).is_ok()
                    })
                })
                .collect();
            racers
                .into_iter()
                .filter_map(|racer| racer.join().unwrap().then_some(()))
                .count()
        });
        assert_eq!(won, 1);
    }

    #[test]
    fn its_memory_is_bounded_and_what_it_has_it_keeps() {
        let (answered, first, other) = (Answered::default(), key(), key());
        assert_eq!(answered.note(ONE, &first, 0), Ok(()));
        for number in 0..MAX_NOTED + 100 {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&(number as u64).to_be_bytes());
            assert_eq!(answered.note(ChallengeId(id), &first, 0), Ok(()));
        }
        assert_eq!(answered.0.lock().unwrap().current.len(), MAX_NOTED);
        assert_eq!(answered.note(ONE, &other, 0), Err(OtherKey));
    }
}
