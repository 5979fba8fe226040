use nitride_ipc::{Connection, NextPacket, Patience, RecvError};
use std::hint::spin_loop;
use std::time::{Duration, Instant};

/// How long the next packet is looked for before the thread sleeps: about twice what it costs to
/// wake a thread on another processor (decision 0018).
const LONGEST: Duration = Duration::from_micros(20);

/// After so many misses in a row nothing is longer skipped than before.
const MOST_MISSES: u32 = 10;

/// Looks for the next packet for a moment before sleeping, where that pays.
///
/// It pays where a processor is free for it and the peer asks again at once. So it is left alone
/// while there are more connections than processors for their two ends, and each time that it was
/// in vain it is left alone for twice as many packets.
#[derive(Debug)]
pub(super) struct Spin {
    processors: usize,
    misses: u32,
    skipped: u32,
}

impl Spin {
    /// `processors` are those that vhsmd may use.
    pub(super) fn new(processors: usize) -> Self {
        Self {
            processors,
            misses: 0,
            skipped: 0,
        }
    }

    /// The next packet, while there are so many connections.
    pub(super) fn next(
        &mut self,
        connection: &Connection,
        connections: usize,
    ) -> Result<Option<NextPacket>, RecvError> {
        match self.look(connection, connections) {
            Some(found) => found,
            None => connection.next_packet(Patience::Blocking),
        }
    }

    /// What is found without sleeping, where it pays to look.
    pub(super) fn look(
        &mut self,
        connection: &Connection,
        connections: usize,
    ) -> Option<Result<Option<NextPacket>, RecvError>> {
        if self.is_due(connections) {
            let start = Instant::now();
            while start.elapsed() < LONGEST {
                match connection.next_packet(Patience::None) {
                    Err(RecvError::TimedOut) => (0..16).for_each(|_| spin_loop()),
                    found => {
                        self.misses = 0;
                        return Some(found);
                    }
                }
            }
            self.misses = MOST_MISSES.min(self.misses + 1);
            self.skipped = 0;
        }
        None
    }

    fn is_due(&mut self, connections: usize) -> bool {
        if connections.saturating_mul(2) > self.processors {
            return false;
        }
        self.skipped += 1;
        self.misses == 0 || self.skipped >= 1 << self.misses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_in_vain_is_tried_less_and_less_often() {
        let mut spin = Spin::new(2);
        assert!(spin.is_due(1));
        spin.misses = 3;
        spin.skipped = 0;
        let tries: Vec<bool> = (0..8).map(|_| spin.is_due(1)).collect();
        assert_eq!(tries.iter().filter(|due| **due).count(), 1);
        assert!(tries[7]);
    }

    #[test]
    fn connections_that_share_processors_never_spin() {
        assert!(!Spin::new(1).is_due(1));
        assert!(Spin::new(2).is_due(1));
        assert!(!Spin::new(2).is_due(2));
        assert!(!Spin::new(64).is_due(33));
    }

    #[test]
    fn packet_is_found_by_looking_and_by_sleeping() {
        let (ours, theirs) = Connection::pair().unwrap();
        for processors in [1, 2] {
            theirs.send(b"now").unwrap();
            let mut spin = Spin::new(processors);
            assert_eq!(spin.next(&ours, 1).unwrap().unwrap().len, 3);
            ours.discard().unwrap();
        }
        drop(theirs);
        assert!(Spin::new(2).next(&ours, 1).unwrap().is_none());
    }
}
