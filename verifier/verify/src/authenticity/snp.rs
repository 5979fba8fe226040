//! SEV-SNP: checks 1 to 17, 20 (who asked), 22 (init-data) and 23 of the table, in their order, on the bytes as
//! they came.

mod chain;
mod refusal;
mod report_signature;
mod sources;
mod vek;

pub use refusal::SnpRefusal;
pub(crate) use vek::vek_id;

use super::{Bench, Facts, Found, Refusal};
use crate::budget::Budget;
use crate::checks::snp as checks;
use crate::evidence::{SnpAllegation, SnpProduct, SnpReport, Tcbs, Tee};
use crate::ledger::Ledger;
use crate::policy::SigningKey;
use chain::Chain;

/// The lowest privilege that a guest asks at. The host's own requests have all ones here, and
/// report data that nobody chose.
const MAX_VMPL: u32 = 3;

/// What an authentic report says, as its appraisal reads it.
#[derive(Debug)]
pub(crate) struct SnpFacts {
    pub(crate) report: SnpReport,
    pub(crate) product: SnpProduct,
    pub(crate) signing_key: SigningKey,
    pub(crate) tcbs: Tcbs,
    /// Which cloud a VLEK is for.
    pub(crate) csp_id: Option<String>,
    /// Whether init-data came, and HOST_DATA is its digest.
    pub(crate) binds_init_data: bool,
}

/// Makes the checks in order; the first that fails refuses.
pub(super) fn verify(
    allegation: &SnpAllegation,
    bench: &Bench<'_>,
    budget: &mut Budget,
    ledger: &mut Ledger,
) -> Result<Found, Refusal> {
    let Some(policy) = bench.policy.snp() else {
        return Err(Refusal::NotInPolicy { tee: Tee::Snp });
    };
    let report = SnpReport::parse(&allegation.report);
    let report = ledger.check(checks::REPORT_LENGTH, report.map_err(SnpRefusal::from))?;
    let signing_key = head(&report, ledger)?;
    let chain = Chain::verify(
        &allegation.certificates,
        &report,
        signing_key,
        bench,
        budget,
        ledger,
    )?;
    let csp_id = vek::verify(&chain, &report, signing_key, policy, ledger)?;
    report_signature::verify(&report, &chain.vek, budget, ledger)?;
    let tcbs = reserved(&report, chain.product, ledger)?;
    let vmpl = report.vmpl;
    ledger.require(checks::REQUESTER, vmpl <= MAX_VMPL, || {
        SnpRefusal::Requester(vmpl).into()
    })?;
    let binds_init_data = bound(&report, bench, ledger)?;
    Ok(Found {
        anchor: chain.anchor,
        facts: Facts::Snp(Box::new(SnpFacts {
            report,
            product: chain.product,
            signing_key,
            tcbs,
            csp_id,
            binds_init_data,
        })),
    })
}

/// Checks 2 to 4: may the rest be read as what it looks like?
fn head(report: &SnpReport, ledger: &mut Ledger) -> Result<SigningKey, Refusal> {
    let version = report.version;
    ledger.require(checks::REPORT_VERSION, (2..=5).contains(&version), || {
        SnpRefusal::Version(version).into()
    })?;
    let algorithm = report.signature_algorithm;
    ledger.require(checks::SIGNATURE_ALGORITHM, algorithm == 1, || {
        SnpRefusal::SignatureAlgorithm(algorithm).into()
    })?;
    let signing_key = match report.signing_key() {
        0 => Ok(SigningKey::Vcek),
        1 => Ok(SigningKey::Vlek),
        other => Err(SnpRefusal::SigningKey(other)),
    };
    let signing_key = ledger.check(checks::SIGNING_KEY, signing_key)?;
    ledger.require(
        checks::CHIP_KEY_NOT_MASKED,
        !report.is_chip_key_masked(),
        || SnpRefusal::ChipKeyMasked.into(),
    )?;
    Ok(signing_key)
}

/// Check 17.
fn reserved(report: &SnpReport, product: SnpProduct, ledger: &mut Ledger) -> Result<Tcbs, Refusal> {
    let tcbs = match report.reserved_fault() {
        Some(fault) => Err(SnpRefusal::Reserved(fault)),
        None => Tcbs::read(report, product).ok_or(SnpRefusal::Reserved("bytes of a TCB version")),
    };
    ledger.check(checks::RESERVED, tcbs)
}

/// Check 23, and of 22 what does not depend on the policy: init-data that came is believed only if
/// the guest was launched with its digest.
fn bound(report: &SnpReport, bench: &Bench<'_>, ledger: &mut Ledger) -> Result<bool, Refusal> {
    let binds_init_data = match &bench.expected.init_data {
        Some(digest) => {
            ledger.require(checks::INIT_DATA, digest.fills(&report.host_data), || {
                Refusal::InitDataUnbound { tee: Tee::Snp }
            })?;
            true
        }
        None => {
            ledger.not_applicable(checks::INIT_DATA);
            false
        }
    };
    let binds = bench.expected.report_data.fills(&report.report_data);
    ledger.require(checks::REPORT_DATA, binds, || Refusal::ReportDataMismatch)?;
    Ok(binds_init_data)
}
