//! Does the event log replay to the run-time registers?
//!
//! What replays is complete and in order, event by event. It does not make true what an event's data
//! says beside its digest, and nothing here reads that.

use crate::authenticity::TdxFacts;
use crate::budget::Budget;
use crate::checks::tdx::EVENT_LOG;
use crate::evidence::ccel::{EventLog, SHA384};
use crate::ledger::Ledger;
use crate::policy::TdxPolicy;
use aws_lc_rs::digest;

/// Check 18, second half.
pub(super) fn check(
    facts: &TdxFacts,
    policy: &TdxPolicy,
    budget: &mut Budget,
    ledger: &mut Ledger,
) -> bool {
    ledger.want(EVENT_LOG, &policy.event_log, |_| {
        let log = facts.event_log.as_deref();
        let log = log.ok_or("no event log came with the quote")?;
        let log = EventLog::parse(log).map_err(|fault| fault.to_string())?;
        let paid = budget.spend_events(log.events().len());
        paid.map_err(|exceeded| exceeded.to_string())?;
        let replayed = replay(&log)?;
        for (index, (replayed, found)) in replayed.iter().zip(&facts.report.rtmr).enumerate() {
            if replayed != found {
                let replayed = super::hex(replayed);
                return Err(format!("the event log gives {replayed} for RTMR{index}"));
            }
        }
        Ok(())
    })
}

/// Extends four registers from zero, as the firmware did: register 1 of the log is RTMR0.
fn replay(log: &EventLog<'_>) -> Result<[[u8; 48]; 4], String> {
    let mut registers = [[0; 48]; 4];
    for event in log.events().iter().filter(|event| event.is_extended()) {
        let index = usize::try_from(event.register).ok();
        let register = index
            .and_then(|index| registers.get_mut(index.checked_sub(1)?))
            .ok_or_else(|| format!("an event is of register {}, not 1 to 4", event.register))?;
        let digest = event.digest(SHA384);
        let digest = digest.ok_or("the event log has no SHA-384 digests")?;
        let mut context = digest::Context::new(&digest::SHA384);
        context.update(register);
        context.update(digest);
        register.copy_from_slice(context.finish().as_ref());
    }
    Ok(registers)
}
