//! When a connection is busy enough to be lent a buffer that any packet fits.

use std::time::Duration;

/// A connection that is silent for so long gives its buffer back.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Packets after which a connection is busy, at first and at most.
const FEWEST: u32 = 16;
const MOST: u32 = 1024;

/// A packet that does not fit its buffer is lost, so a thread looks how long the next one is before
/// it takes it. With a buffer that any packet fits it need not look, which spares a system call of
/// three; but there is room for few of those. So a busy connection has one until it pauses.
#[derive(Debug)]
pub(super) struct Loan {
    /// Packets since the last pause that was noticed.
    packets: u32,
    /// Packets before the next loan: more after each pause that followed soon.
    wanted: u32,
}

impl Loan {
    pub(super) fn new() -> Self {
        Self {
            packets: 0,
            wanted: FEWEST,
        }
    }

    /// Counts a packet; whether the connection is busy now.
    pub(super) fn is_due(&mut self) -> bool {
        self.packets = self.packets.saturating_add(1);
        self.packets >= self.wanted
    }

    /// There was a pause during a loan.
    pub(super) fn end(&mut self) {
        let was_worth_it = self.packets >= self.wanted.saturating_mul(2);
        self.wanted = if was_worth_it {
            FEWEST
        } else {
            MOST.min(self.wanted * 2)
        };
        self.packets = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets_before(loan: &mut Loan) -> u32 {
        (1..).find(|_| loan.is_due()).unwrap()
    }

    #[test]
    fn connection_that_pauses_soon_is_lent_a_buffer_less_and_less_often() {
        let mut loan = Loan::new();
        let mut waits = Vec::new();
        for _ in 0..9 {
            waits.push(packets_before(&mut loan));
            loan.end();
        }
        assert_eq!(waits, [16, 32, 64, 128, 256, 512, 1024, 1024, 1024]);
    }

    #[test]
    fn connection_that_used_its_loan_has_the_next_one_soon() {
        let mut loan = Loan::new();
        packets_before(&mut loan);
        loan.end();
        packets_before(&mut loan);
        (0..100).for_each(|_| assert!(loan.is_due()));
        loan.end();
        assert_eq!(packets_before(&mut loan), FEWEST);
    }
}
