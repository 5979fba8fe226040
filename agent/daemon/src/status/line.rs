//! The line of status that systemd shows.

use crate::drive::Driven;
use nitride_courier::Ending;
use sd_notify::NotifyState;
use std::fmt;

/// What has happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) connected: bool,
    pub(crate) under_way: usize,
    pub(crate) rounds: u64,
    delivered: u64,
    failed: u64,
}

impl Tally {
    pub(crate) fn count(&mut self, driven: Driven) {
        self.rounds += 1;
        match driven {
            Driven::Ended(outcome) => {
                self.delivered += outcome.delivered as u64;
                let failed = outcome.failed + outcome.refused_by_vault;
                let cut_off = usize::from(failed == 0 && outcome.ending != Ending::Finished);
                self.failed += (failed + cut_off) as u64;
            }
            Driven::Declined | Driven::VaultLost => self.failed += 1,
        }
    }
}

/// The line that `systemctl status` shows.
pub(crate) struct Line<'a> {
    pub(crate) tally: &'a Tally,
    pub(crate) healthy: (usize, usize),
    pub(crate) plain: bool,
    /// Services that the agent reads itself.
    pub(crate) read_here: usize,
    /// Why the configuration that was last asked for is not the one in force.
    pub(crate) reload_fault: Option<&'a str>,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = self.tally;
        formatter.write_str(match tally.connected {
            true => "connected to vhsmd",
            false => "waiting for vhsmd",
        })?;
        let (good, all) = self.healthy;
        write!(
            formatter,
            "; endpoints {good}/{all}; rounds {}, {} under way; resources {} delivered, {} failed",
            tally.rounds, tally.under_way, tally.delivered, tally.failed
        )?;
        if self.plain {
            formatter.write_str("; PLAIN HTTP: neither secret nor authentic")?;
        }
        if self.read_here > 0 {
            formatter.write_str("; PLAINTEXT-COURIER: not blind")?;
        }
        if let Some(fault) = self.reload_fault {
            write!(
                formatter,
                "; RELOAD FAILED, the old configuration stays: {fault}"
            )?;
        }
        Ok(())
    }
}

/// Tells systemd, if it is there. Nothing depends on its listening.
pub(crate) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot notify systemd");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nitride_courier::Outcome;

    #[test]
    fn the_line_says_what_a_person_asks_first() {
        let mut tally = Tally {
            connected: true,
            ..Tally::default()
        };
        tally.count(Driven::Ended(Outcome {
            ending: Ending::Finished,
            delivered: 3,
            refused_by_vault: 0,
            failed: 1,
        }));
        tally.count(Driven::VaultLost);
        let line = Line {
            tally: &tally,
            healthy: (1, 2),
            plain: true,
            read_here: 1,
            reload_fault: None,
        };
        assert_eq!(
            line.to_string(),
            "connected to vhsmd; endpoints 1/2; rounds 2, 0 under way; \
             resources 3 delivered, 2 failed; PLAIN HTTP: neither secret nor authentic; \
             PLAINTEXT-COURIER: not blind"
        );
    }
}
