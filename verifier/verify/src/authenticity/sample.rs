//! `sample` evidence. Nothing signs it: anyone can make it for any key, so that "authentic" means
//! no more here than: it is of the form, it binds this challenge and key, and the policy names it.

use super::{Bench, Facts, Found, Refusal};
use crate::checks::sample::{HARDWARE_SIGNATURE, INIT_DATA, REPORT_DATA};
use crate::evidence::{SampleAllegation, Tee};
use crate::ledger::Ledger;
use crate::verdict::Anchor;

/// Makes the checks in order. That the policy takes it at all, [`crate::judge`] has asked.
pub(super) fn verify(
    sample: SampleAllegation,
    bench: &Bench<'_>,
    ledger: &mut Ledger,
) -> Result<Found, Refusal> {
    let accept = bench.policy.danger_accept_sample();
    ledger.waive(HARDWARE_SIGNATURE, accept.line);
    if bench.expected.init_data.is_some() {
        let refusal = Refusal::InitDataUnbound { tee: Tee::Sample };
        return ledger.check(INIT_DATA, Err(refusal));
    }
    ledger.not_applicable(INIT_DATA);
    ledger.require(
        REPORT_DATA,
        bench.expected.report_data.fills(&sample.report_data),
        || Refusal::ReportDataMismatch,
    )?;
    Ok(Found {
        anchor: Anchor::Nobody,
        facts: Facts::Sample(sample),
    })
}
