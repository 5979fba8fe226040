//! Is the evidence authentic: did the platform say it, about this challenge and this key?
//!
//! Nothing here knows what is wanted; that is [`crate::appraisal`].

mod azure;
mod gpu;
mod refusal;
mod sample;
mod snp;
mod tdx;
mod tpm;
mod tpm_quote;

pub use azure::AzureRefusal;
pub use gpu::GpuRefusal;
pub use refusal::{Refusal, Refused};
pub use snp::SnpRefusal;
pub use tdx::{ChainFault, TdxRefusal};
pub use tpm::TpmRefusal;
pub use tpm_quote::QuoteRefusal;

pub(crate) use azure::AzureFacts;
pub(crate) use gpu::GpuFacts;
pub(crate) use snp::{SnpFacts, vek_id};
pub(crate) use tdx::TdxFacts;
pub(crate) use tpm::{BoundBy, TpmFacts};

use crate::budget::Budget;
use crate::collateral::Collateral;
use crate::evidence::{Allegation, Expected, ReportData, SampleAllegation, Tee};
use crate::ledger::Ledger;
use crate::policy::AttestationPolicy;
use crate::verdict::Anchor;

/// Evidence that passed every check of authenticity. It has no other constructor.
#[derive(Debug)]
pub struct VerifiedEvidence {
    tee: Tee,
    report_data: ReportData,
    anchor: Anchor,
    facts: Facts,
}

/// What authentic evidence says, as its appraisal reads it.
#[derive(Debug)]
pub(crate) enum Facts {
    /// Without hardware.
    Sample(SampleAllegation),
    /// A SEV-SNP report.
    Snp(Box<SnpFacts>),
    /// A TDX quote.
    Tdx(Box<TdxFacts>),
    /// A confidential VM on Azure.
    Azure(Box<AzureFacts>),
    /// An NVIDIA device.
    Gpu(Box<GpuFacts>),
    /// A TPM 2.0 alone.
    Tpm(Box<TpmFacts>),
}

/// What a TEE's own checks found. Each kind of evidence states all of it: a flag that this module
/// filled in would be right for one kind and open for the next.
struct Found {
    anchor: Anchor,
    facts: Facts,
}

/// What every check of authenticity may look at, besides the evidence.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) expected: &'a Expected,
    pub(crate) policy: &'a AttestationPolicy,
    pub(crate) collateral: &'a Collateral<'a>,
    pub(crate) now_secs: u64,
    /// The devices that were verified before this one, by their ids: one device must not play two.
    pub(crate) devices_before: &'a [String],
}

impl VerifiedEvidence {
    /// The TEE it is of.
    #[must_use]
    pub fn tee(&self) -> Tee {
        self.tee
    }

    /// What vouches for it.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// The id of the device, if it is one beside a machine.
    pub(crate) fn device_id(&self) -> Option<&str> {
        match &self.facts {
            Facts::Gpu(facts) => Some(&facts.id),
            Facts::Sample(_) | Facts::Snp(_) | Facts::Tdx(_) | Facts::Azure(_) | Facts::Tpm(_) => {
                None
            }
        }
    }

    pub(crate) fn into_parts(self) -> (ReportData, Anchor, Facts) {
        (self.report_data, self.anchor, self.facts)
    }
}

/// Verifies that `allegation` is authentic and binds what is expected; the first check that fails
/// refuses.
pub(crate) fn verify(
    allegation: Allegation,
    bench: &Bench<'_>,
    budget: &mut Budget,
    ledger: &mut Ledger,
) -> Result<VerifiedEvidence, Refusal> {
    let tee = allegation.tee();
    let Found { anchor, facts } = match allegation {
        Allegation::Sample(sample) => sample::verify(sample, bench, ledger)?,
        Allegation::Snp(snp) => snp::verify(&snp, bench, budget, ledger)?,
        Allegation::Tdx(tdx) => tdx::verify(tdx, bench, budget, ledger)?,
        Allegation::Azure(azure) => azure::verify(*azure, bench, budget, ledger)?,
        Allegation::Gpu(gpu) => gpu::verify(&gpu, bench, budget, ledger)?,
        Allegation::Tpm(tpm) => tpm::verify(*tpm, bench, budget, ledger)?,
    };
    Ok(VerifiedEvidence {
        tee,
        report_data: bench.expected.report_data.clone(),
        anchor,
        facts,
    })
}
