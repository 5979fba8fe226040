//! The JSON forms of the KBS protocol, one a TEE, into allegations.

use super::{Allegation, Tee, UnverifiedEvidence, azure, sample, snp, tdx, tpm};
use crate::authenticity::Refusal;
use crate::budget::Budget;

/// Reads the form of the evidence's TEE and no other.
pub(crate) fn read(
    evidence: &UnverifiedEvidence<'_>,
    budget: &mut Budget,
) -> Result<Allegation, Refusal> {
    budget.spend_json(evidence.primary)?;
    match evidence.tee {
        Tee::Sample => sample::read(evidence.primary).map(Allegation::Sample),
        Tee::Snp => snp::read(evidence.primary, budget).map(|snp| Allegation::Snp(Box::new(snp))),
        Tee::Tdx => tdx::read(evidence.primary, budget).map(Allegation::Tdx),
        Tee::Tpm => tpm::read(evidence.primary, budget).map(|tpm| Allegation::Tpm(Box::new(tpm))),
        Tee::AzSnpVtpm => {
            let azure = azure::read_snp(evidence.primary, budget)?;
            Ok(Allegation::Azure(Box::new(azure)))
        }
        Tee::AzTdxVtpm => {
            let azure = azure::read_tdx(evidence.primary, budget)?;
            Ok(Allegation::Azure(Box::new(azure)))
        }
        tee => Err(Refusal::FormNotKnown { tee }),
    }
}
