//! Azure's confidential VMs: the paravisor (HCL) runs where the guest cannot, and gives it a virtual
//! TPM.
//!
//! ```text
//!  vendor's root ─▶ hardware report ──binds──▶ SHA-256 of the runtime data ──name──▶ AK
//!                                                                  AK ──signs──▶ nonce and PCRs
//! ```
//!
//! The hardware's report does not know of the challenge: the paravisor asked for it at boot. What is
//! fresh is the quote of the TPM.

use super::tpm_quote::{self, NonceForm, QuoteFacts, SignedBy};
use super::{Bench, Facts, Found, Refusal, snp, tdx};
use crate::budget::Budget;
use crate::checks::azure::{AZ_SNP, AZ_TDX, AzureChecks};
use crate::evidence::hcl::{HclKind, HclMalformed, HclReport};
use crate::evidence::tdx_quote::TdxQuote;
use crate::evidence::{
    AzureAllegation, AzureHardware, Certificates, Expected, HclRuntime, HclRuntimeMalformed,
    ReportData, SnpAllegation, SnpReport, TdxAllegation,
};
use crate::ledger::Ledger;
use crate::x509::{PublicKey, SignatureAlgorithm, rsa_spki};
use aws_lc_rs::digest::{SHA256, digest};
use thiserror::Error;

/// What authentic evidence of a confidential VM on Azure says.
#[derive(Debug)]
pub(crate) struct AzureFacts {
    /// The names of its checks.
    pub(crate) names: &'static AzureChecks,
    /// What the hardware's report says about the paravisor.
    pub(crate) hardware: Facts,
    /// What the paravisor says.
    pub(crate) runtime: HclRuntime,
    /// What its TPM says.
    pub(crate) quote: QuoteFacts,
    /// Whether the paravisor's user data are the challenge's.
    pub(crate) binds_user_data: bool,
    /// Whether init-data came, and its PCR is extended by them alone.
    pub(crate) binds_init_data: bool,
}

/// Why evidence of a confidential VM on Azure is not authentic.
#[derive(Debug, Error)]
pub enum AzureRefusal {
    /// It is no report of the paravisor.
    #[error("not a report of Azure's paravisor")]
    Hcl(#[from] HclMalformed),
    /// It is of the other hardware.
    #[error("the paravisor's report is of other hardware than its evidence")]
    Hardware,
    /// The runtime data are not those that the hardware's report binds.
    #[error("the hardware's report does not bind the paravisor's runtime data")]
    RuntimeUnbound,
    /// Somebody else asked the hardware for its report.
    #[error("the hardware's report is one that the guest asked for, not the paravisor")]
    NotParavisor,
    /// They cannot be read.
    #[error("the paravisor's runtime data name no attestation key")]
    Runtime(#[from] HclRuntimeMalformed),
    /// Evidence of version 2 binds the challenge there as well.
    #[error("the paravisor's user data are not this challenge's, as version 2 promises")]
    UserData,
}

static SNP: AzureChecks = AZ_SNP;
static TDX: AzureChecks = AZ_TDX;

/// Makes the checks in order.
pub(super) fn verify(
    evidence: AzureAllegation,
    bench: &Bench<'_>,
    budget: &mut Budget,
    ledger: &mut Ledger,
) -> Result<Found, Refusal> {
    let tee = evidence.tee();
    let Some(policy) = bench.policy.azure() else {
        return Err(Refusal::NotInPolicy { tee });
    };
    let (kind, names) = match evidence.hardware {
        AzureHardware::Snp { .. } => (HclKind::Snp, &SNP),
        AzureHardware::Tdx { .. } => (HclKind::Tdx, &TDX),
    };
    let hcl = HclReport::parse(&evidence.hcl_report).map_err(AzureRefusal::from);
    let hcl = hcl.and_then(|hcl| {
        let is_of_kind = hcl.kind == kind;
        is_of_kind.then_some(hcl).ok_or(AzureRefusal::Hardware)
    });
    let hcl = ledger.check(names.hcl_report, hcl)?;
    // Not the challenge: what the paravisor had the hardware bind.
    let bound = ReportData::new(digest(&SHA256, hcl.runtime).as_ref());
    let bound = ledger.before(
        names.runtime_data,
        bound.map_err(|_| AzureRefusal::RuntimeUnbound),
    )?;
    ledger.require(names.runtime_data, bound.fills(hcl.report_data()), || {
        AzureRefusal::RuntimeUnbound.into()
    })?;
    let is_paravisor = is_of_paravisor(hcl.report, &evidence.hardware);
    ledger.require(names.paravisor, is_paravisor, || {
        AzureRefusal::NotParavisor.into()
    })?;
    let runtime = HclRuntime::parse(hcl.runtime, budget).map_err(AzureRefusal::from);
    let runtime = ledger.check(names.attestation_key, runtime)?;
    let (modulus, exponent) = &runtime.attestation_key;
    let key = rsa_spki(modulus, exponent);
    let by = SignedBy {
        key: PublicKey::of_spki(&key),
        algorithm: SignatureAlgorithm::RsaPkcs1Sha256,
        signature: &evidence.quote.signature,
        nonce: NonceForm::Bare,
    };
    let quote = tpm_quote::verify(&evidence.quote, &by, &names.quote, bench, budget, ledger)?;
    let binds_user_data = user_data(&evidence, &runtime, names, bench, ledger)?;
    let binds_init_data = init_data(&evidence, &quote, names, bench, ledger)?;
    let report = hcl.report.to_vec();
    let below = Bench {
        expected: &Expected::of(bound),
        policy: &policy.hardware,
        collateral: bench.collateral,
        now_secs: bench.now_secs,
        devices_before: bench.devices_before,
    };
    let found = match evidence.hardware {
        AzureHardware::Snp { vcek } => {
            let certificates = Certificates {
                vcek: Some(vcek),
                ..Certificates::default()
            };
            let report = SnpAllegation {
                report,
                certificates,
            };
            snp::verify(&report, &below, budget, ledger)
        }
        // That the quote is over the data of the TDREPORT, which only its own machine can verify,
        // is checked as both being over the runtime data.
        AzureHardware::Tdx { quote } => {
            let event_log = None;
            tdx::verify(TdxAllegation { quote, event_log }, &below, budget, ledger)
        }
    }?;
    Ok(Found {
        anchor: found.anchor,
        facts: Facts::Azure(Box::new(AzureFacts {
            names,
            hardware: found.facts,
            runtime,
            quote,
            binds_user_data,
            binds_init_data,
        })),
    })
}

/// Whether it was the paravisor who asked for the report. Its measurements are those of the whole
/// machine's launch, in a report that the guest asks for as well: what tells the two apart is the
/// privilege level, or the virtual machine of a partitioned trust domain. Read before the hardware's
/// own checks have found the very same bytes authentic, which all of them have to be.
fn is_of_paravisor(report: &[u8], hardware: &AzureHardware) -> bool {
    match hardware {
        AzureHardware::Snp { .. } => SnpReport::parse(report).is_ok_and(|report| report.vmpl == 0),
        AzureHardware::Tdx { quote } => TdxQuote::parse(quote)
            .ok()
            .and_then(|quote| quote.report.v15)
            .and_then(|v15| v15.ex)
            .is_none_or(|ex| ex.vm_id == 0),
    }
}

/// Evidence of version 2 has the challenge in the paravisor's user data too.
fn user_data(
    evidence: &AzureAllegation,
    runtime: &HclRuntime,
    names: &AzureChecks,
    bench: &Bench<'_>,
    ledger: &mut Ledger,
) -> Result<bool, Refusal> {
    if evidence.version < 2 {
        ledger.not_applicable(names.user_data);
        return Ok(false);
    }
    let user_data = runtime.user_data.as_deref().unwrap_or_default();
    let binds = bench.expected.report_data.fills(user_data);
    ledger.require(names.user_data, binds, || AzureRefusal::UserData.into())?;
    Ok(true)
}

/// Init-data that came have to be what PCR 8 was extended by, once and from zero.
fn init_data(
    evidence: &AzureAllegation,
    quote: &QuoteFacts,
    names: &AzureChecks,
    bench: &Bench<'_>,
    ledger: &mut Ledger,
) -> Result<bool, Refusal> {
    let Some(init_data) = &bench.expected.init_data else {
        ledger.not_applicable(names.init_data);
        return Ok(false);
    };
    ledger.require(names.init_data, quote.binds(init_data), || {
        Refusal::InitDataUnbound {
            tee: evidence.tee(),
        }
    })?;
    Ok(true)
}
