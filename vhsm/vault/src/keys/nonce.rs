use super::record::{MESSAGES, NONCE_PREFIX};
use crate::{Draw, Refusal};
use nitride_secmem::Record;
use std::sync::atomic::Ordering;

/// How many messages one version protects.
///
/// With messages of at most 64 KiB that is 2^44 blocks, where AES-256-GCM still has a distance of
/// about 2^-41 from ideal (NIST SP 800-38D, appendix C; for GCM-SIV see RFC 8452, section 9).
const MAX_MESSAGES: u64 = 1 << 32;

/// The nonces of one key version, counted in its record, so that no restart gives one again.
///
/// For plain GCM: a prefix of 8 drawn bytes and the message's number in 4 bytes, big-endian. The
/// number is taken in the record before the nonce is used and never given back, so no two threads
/// get the same one, and a failed call or a kill wastes it. The prefix keeps two copies of one
/// vault apart once it has been drawn anew (a live snapshot, seen by VMGENID).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nonces<'r> {
    record: &'r Record,
}

impl<'r> Nonces<'r> {
    pub(super) fn of(record: &'r Record) -> Self {
        Self { record }
    }

    /// A prefix that nobody has had.
    pub(super) fn new_prefix(draw: &mut dyn Draw) -> u64 {
        let mut prefix = [0; 8];
        draw.fill(&mut prefix);
        u64::from_be_bytes(prefix)
    }

    /// Draws a new prefix. The numbers go on: the limit is for the key, not for the prefix.
    pub(super) fn renew_prefix(self, draw: &mut dyn Draw) {
        let prefix = Self::new_prefix(draw);
        self.record
            .counter(NONCE_PREFIX)
            .store(prefix, Ordering::SeqCst);
    }

    /// The next nonce for plain GCM.
    pub(crate) fn count(self) -> Result<[u8; 12], Refusal> {
        let prefix = self.record.counter(NONCE_PREFIX).load(Ordering::Relaxed);
        let [p0, p1, p2, p3, p4, p5, p6, p7] = prefix.to_be_bytes();
        let [n0, n1, n2, n3] = self.take()?.to_be_bytes();
        Ok([p0, p1, p2, p3, p4, p5, p6, p7, n0, n1, n2, n3])
    }

    /// A random nonce for ciphers that can do with one, within the same limit.
    pub(crate) fn draw<const N: usize>(self, draw: &mut dyn Draw) -> Result<[u8; N], Refusal> {
        self.take()?;
        let mut nonce = [0; N];
        draw.fill(&mut nonce);
        Ok(nonce)
    }

    fn take(self) -> Result<u32, Refusal> {
        // One more than the limit is as good as any: 2^64 calls are out of reach, so the count
        // cannot come round.
        let number = self
            .record
            .counter(MESSAGES)
            .fetch_add(1, Ordering::Relaxed);
        u32::try_from(number)
            .ok()
            .filter(|_| number < MAX_MESSAGES)
            .ok_or(Refusal::KeyExhausted)
    }

    /// As if so many messages had been protected.
    #[cfg(test)]
    pub(crate) fn start_at(self, number: u64) {
        self.record
            .counter(MESSAGES)
            .store(number, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::world::arenas;
    use nitride_secmem::{Draft, RecordId, RecordKind};
    use std::collections::HashSet;

    struct Counting(u8);

    impl Draw for Counting {
        fn fill(&mut self, out: &mut [u8]) {
            self.0 += 1;
            out.fill(self.0);
        }
    }

    fn record(draw: &mut dyn Draw) -> Record {
        arenas();
        let draft = Draft::new(RecordKind::TRANSIENT, RecordId([0; 16]), 0, 0).unwrap();
        let record = draft.commit();
        Nonces::of(&record).renew_prefix(draw);
        record
    }

    #[test]
    fn a_nonce_is_the_prefix_and_the_number() {
        let record = record(&mut Counting(0));
        let nonces = Nonces::of(&record);
        assert_eq!(nonces.count(), Ok([1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]));
        assert_eq!(nonces.count(), Ok([1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1]));
    }

    #[test]
    fn a_new_prefix_goes_on_with_the_numbers() {
        let mut draw = Counting(0);
        let record = record(&mut draw);
        let nonces = Nonces::of(&record);
        nonces.count().unwrap();
        nonces.renew_prefix(&mut draw);
        assert_eq!(nonces.count(), Ok([2, 2, 2, 2, 2, 2, 2, 2, 0, 0, 0, 1]));
    }

    #[test]
    fn the_last_nonce_is_given_once_and_then_none() {
        let record = record(&mut Counting(0));
        let nonces = Nonces::of(&record);
        nonces.start_at(MAX_MESSAGES - 1);
        assert_eq!(nonces.count().unwrap()[8..], [255; 4]);
        for _ in 0..3 {
            assert_eq!(nonces.count(), Err(Refusal::KeyExhausted));
            let drawn = nonces.draw::<24>(&mut Counting(0));
            assert_eq!(drawn, Err(Refusal::KeyExhausted));
        }
    }

    #[test]
    fn no_two_threads_get_one_nonce() {
        let record = record(&mut Counting(0));
        let nonces = Nonces::of(&record);
        let count = || -> Vec<_> { (0..5_000).map(|_| nonces.count().unwrap()).collect() };
        let all: HashSet<[u8; 12]> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(count)).collect();
            let threads = threads.into_iter();
            threads.flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(all.len(), 40_000);
    }
}
