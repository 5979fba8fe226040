use crate::{Draw, Refusal};
use std::sync::atomic::{AtomicU64, Ordering};

/// How many messages one version protects.
///
/// With messages of at most 64 KiB that is 2^44 blocks, where AES-256-GCM still has a distance of
/// about 2^-41 from ideal (NIST SP 800-38D, appendix C; for GCM-SIV see RFC 8452, section 9).
const MAX_MESSAGES: u64 = 1 << 32;

/// The nonces of one key version.
///
/// For plain GCM: a prefix of 8 drawn bytes and the message's number in 4 bytes, big-endian. The
/// number is taken before the nonce is used and never given back, so no two threads get the same
/// one, and a failed call wastes it. The prefix keeps two copies of one vault apart once it has
/// been drawn anew (a live snapshot, seen by VMGENID).
#[derive(Debug)]
pub(crate) struct Nonces {
    prefix: [u8; 8],
    taken: AtomicU64,
}

impl Nonces {
    pub(crate) fn new(draw: &mut dyn Draw) -> Self {
        let mut nonces = Self {
            prefix: [0; 8],
            taken: AtomicU64::new(0),
        };
        nonces.renew_prefix(draw);
        nonces
    }

    /// Draws a new prefix. The numbers go on: the limit is for the key, not for the prefix.
    pub(crate) fn renew_prefix(&mut self, draw: &mut dyn Draw) {
        draw.fill(&mut self.prefix);
    }

    /// The next nonce for plain GCM.
    pub(crate) fn count(&self) -> Result<[u8; 12], Refusal> {
        let [p0, p1, p2, p3, p4, p5, p6, p7] = self.prefix;
        let [n0, n1, n2, n3] = self.take()?.to_be_bytes();
        Ok([p0, p1, p2, p3, p4, p5, p6, p7, n0, n1, n2, n3])
    }

    /// A random nonce for GCM-SIV, within the same limit.
    pub(crate) fn draw(&self, draw: &mut dyn Draw) -> Result<[u8; 12], Refusal> {
        self.take()?;
        let mut nonce = [0; 12];
        draw.fill(&mut nonce);
        Ok(nonce)
    }

    fn take(&self) -> Result<u32, Refusal> {
        // One more than the limit is as good as any: 2^64 calls are out of reach, so the count
        // cannot come round.
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        u32::try_from(number)
            .ok()
            .filter(|_| number < MAX_MESSAGES)
            .ok_or(Refusal::KeyExhausted)
    }

    /// As if so many messages had been protected.
    #[cfg(test)]
    pub(crate) fn start_at(&self, number: u64) {
        self.taken.store(number, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    struct Counting(u8);

    impl Draw for Counting {
        fn fill(&mut self, out: &mut [u8]) {
            self.0 += 1;
            out.fill(self.0);
        }
    }

    #[test]
    fn a_nonce_is_the_prefix_and_the_number() {
        let nonces = Nonces::new(&mut Counting(0));
        assert_eq!(nonces.count(), Ok([1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]));
        assert_eq!(nonces.count(), Ok([1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1]));
    }

    #[test]
    fn a_new_prefix_goes_on_with_the_numbers() {
        let mut draw = Counting(0);
        let mut nonces = Nonces::new(&mut draw);
        nonces.count().unwrap();
        nonces.renew_prefix(&mut draw);
        assert_eq!(nonces.count(), Ok([2, 2, 2, 2, 2, 2, 2, 2, 0, 0, 0, 1]));
    }

    #[test]
    fn the_last_nonce_is_given_once_and_then_none() {
        let nonces = Nonces::new(&mut Counting(0));
        nonces.start_at(MAX_MESSAGES - 1);
        assert_eq!(nonces.count().unwrap()[8..], [255; 4]);
        for _ in 0..3 {
            assert_eq!(nonces.count(), Err(Refusal::KeyExhausted));
            assert_eq!(nonces.draw(&mut Counting(0)), Err(Refusal::KeyExhausted));
        }
    }

    #[test]
    fn no_two_threads_get_one_nonce() {
        let nonces = Nonces::new(&mut Counting(0));
        let all: Vec<[u8; 12]> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        (0..5_000)
                            .map(|_| nonces.count().unwrap())
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 40_000);
    }
}
