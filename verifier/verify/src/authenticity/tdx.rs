//! TDX quotes: is every signature below the PCK right, and does the quote bind what is expected?
//!
//! ```text
//!  Intel root ─▶ Platform CA ─▶ PCK ─▶ QE report ─▶ attestation key ─▶ header and TD report
//!  `── checks 4, 5, 9 to 12: by collateral ─´   `──────────── here: 1 to 3, 6 to 8, 19, 21 ──────´
//! ```
//!
//! What is verified here rests on the PCK certificate of the quote itself, so that it means nothing
//! before [`TdxCollateral::judge`](crate::TdxCollateral::judge) has found that certificate genuine.

use super::{Bench, Facts, Found, Refusal};
use crate::budget::Budget;
use crate::checks::tdx::{
    BODY, COLLATERAL, HEADER, INIT_DATA, LAYOUT, PCK_DATES, QE_REPORT_DATA, QE_REPORT_SIGNATURE,
    QUOTE_SIGNATURE, REPORT_DATA, TRAILING_BYTES,
};
use crate::collateral::{TcbFacts, TdxEvidence, TdxTrust};
use crate::evidence::TdxAllegation;
use crate::evidence::tdx_quote::{QuoteMalformed, TdReport, TdxQuote};
use crate::ledger::Ledger;
use crate::x509::{Certificate, CertificateFault, PublicKey, SignatureAlgorithm, split_pem};
use aws_lc_rs::digest::{Context, SHA256};
use std::sync::Arc;
use subtle::ConstantTimeEq;
use thiserror::Error;

/// The names of the certificates of a PCK chain, in its order.
const CHAIN: [&str; 3] = ["PCK", "PCK CA", "root"];
/// DER of a `SubjectPublicKeyInfo` for P-256 up to the point (RFC 5480).
const P256_SPKI: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
    \x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04";

/// What an authentic quote says.
#[derive(Debug)]
pub(crate) struct TdxFacts {
    /// 4 or 5.
    pub(crate) version: u16,
    /// What the TDX module reported.
    pub(crate) report: TdReport,
    /// The event log, which is still alleged.
    pub(crate) event_log: Option<Vec<u8>>,
    /// What Intel says about the platform.
    pub(crate) tcb: TcbFacts,
    /// Whether init-data was expected and is bound.
    pub(crate) binds_init_data: bool,
}

/// Why a TDX quote is not authentic.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TdxRefusal {
    /// It is no quote that can be judged.
    #[error("not a TDX quote that is judged here")]
    Malformed(#[from] QuoteMalformed),
    /// The PCK chain is not three certificates in PEM.
    #[error("the PCK certificate chain is not of its form")]
    Chain(#[from] ChainFault),
    /// A certificate of the chain is not valid at this time.
    #[error(
        "the {certificate} certificate is valid from {from} to {to}, and it is {now} (seconds since 1970)"
    )]
    Dates {
        /// Which one.
        certificate: &'static str,
        /// The first second.
        from: u64,
        /// The last second.
        to: u64,
        /// The verifier's time.
        now: u64,
    },
    /// A signature is not valid.
    #[error("the signature over the {over} is not valid under the {by}")]
    Signature {
        /// What is signed.
        over: &'static str,
        /// The key.
        by: &'static str,
    },
    /// The quoting enclave vouches for another attestation key.
    #[error("the quoting enclave's report does not bind the attestation key")]
    AttestationKeyUnbound,
    /// There is nothing to judge the platform by.
    #[error("Intel's collateral is not at hand; fetch it, or bundle it with the verifier")]
    NoCollateral,
    /// Intel's collateral does not bear it out.
    #[error("{0}")]
    ByCollateral(String),
}

/// What is wrong with a PCK chain's form.
#[derive(Debug, Error)]
pub enum ChainFault {
    /// Not PEM.
    #[error("not certificates in PEM, each from its BEGIN to its END line")]
    Pem,
    /// Not PCK, CA and root.
    #[error("{0} certificates, not 3")]
    Count(usize),
    /// One is no certificate.
    #[error("one of them is none")]
    Certificate(#[from] CertificateFault),
}

/// Makes the checks in order.
pub(super) fn verify(
    evidence: TdxAllegation,
    bench: &Bench<'_>,
    budget: &mut Budget,
    ledger: &mut Ledger,
) -> Result<Found, Refusal> {
    let quote = parse(&evidence.quote, ledger)?;
    let pck_chain = ledger.check(LAYOUT, split_chain(quote.pck_chain))?;
    let certificates = check_dates(&pck_chain, bench, budget, ledger)?;
    let [pck, ..] = &certificates;
    check_signatures(&quote, pck, budget, ledger)?;
    let report = quote.report;
    ledger.require(
        REPORT_DATA,
        bench.expected.report_data.fills(&report.report_data),
        || Refusal::ReportDataMismatch,
    )?;
    let binds_init_data = check_init_data(&report, bench, ledger)?;
    let Some(collateral) = bench.collateral.intel else {
        return ledger.check(COLLATERAL, Err(TdxRefusal::NoCollateral));
    };
    let tcb = collateral.judge(
        &TdxEvidence {
            raw: &evidence.quote,
            quote: &quote,
            pck_chain: &pck_chain,
            pck,
        },
        &TdxTrust::new(&bench.policy.danger_test_anchors().value),
        bench.now_secs,
        budget,
        ledger,
    )?;
    if let Some(memo) = bench.collateral.memo {
        // All three are verified now; a platform and its authority are asked about again.
        for certificate in &certificates {
            memo.remember(certificate);
        }
    }
    Ok(Found {
        anchor: tcb.anchor,
        facts: Facts::Tdx(Box::new(TdxFacts {
            version: quote.version,
            report,
            event_log: evidence.event_log,
            tcb,
            binds_init_data,
        })),
    })
}

/// Checks 1 to 3, whose failures are faults of the form.
fn parse<'a>(quote: &'a [u8], ledger: &mut Ledger) -> Result<TdxQuote<'a>, Refusal> {
    match TdxQuote::parse(quote) {
        Ok(quote) => {
            ledger.pass(HEADER);
            ledger.pass(BODY);
            ledger.pass(TRAILING_BYTES);
            Ok(quote)
        }
        Err(fault) => {
            let name = match fault {
                QuoteMalformed::Version { .. }
                | QuoteMalformed::TeeType { .. }
                | QuoteMalformed::KeyType { .. }
                | QuoteMalformed::QeVendor => HEADER,
                QuoteMalformed::BodyType { .. } | QuoteMalformed::BodySize { .. } => BODY,
                QuoteMalformed::Trailing { .. } => TRAILING_BYTES,
                QuoteMalformed::TooLong { .. }
                | QuoteMalformed::Truncated { .. }
                | QuoteMalformed::CertificationType { .. }
                | QuoteMalformed::Surplus { .. }
                | QuoteMalformed::ChainTooLong { .. } => LAYOUT,
            };
            ledger.check(name, Err(TdxRefusal::from(fault)))
        }
    }
}

fn check_dates(
    chain: &[Vec<u8>; 3],
    bench: &Bench<'_>,
    budget: &mut Budget,
    ledger: &mut Ledger,
) -> Result<[Arc<Certificate>; 3], Refusal> {
    let now_secs = bench.now_secs;
    let mut check = || {
        let mut certificates = Vec::with_capacity(CHAIN.len());
        for (certificate, der) in CHAIN.into_iter().zip(chain) {
            let parsed = match bench.collateral.memo {
                Some(memo) => memo.certificate(der, budget),
                None => Certificate::parse(der, budget).map(Arc::new),
            };
            let parsed = parsed.map_err(ChainFault::Certificate)?;
            let (from, to) = parsed.validity_secs();
            if !parsed.is_valid_at(now_secs) {
                return Err(TdxRefusal::Dates {
                    certificate,
                    from,
                    to,
                    now: now_secs,
                });
            }
            certificates.push(parsed);
        }
        let count = certificates.len();
        <[Arc<Certificate>; 3]>::try_from(certificates)
            .map_err(|_| TdxRefusal::Chain(ChainFault::Count(count)))
    };
    let checked = check();
    ledger.check(PCK_DATES, checked)
}

/// Checks 6 to 8: the PCK signs the quoting enclave's report, that binds the attestation key, and
/// that signs the quote.
fn check_signatures(
    quote: &TdxQuote<'_>,
    pck: &Certificate,
    budget: &mut Budget,
    ledger: &mut Ledger,
) -> Result<(), Refusal> {
    let fixed = SignatureAlgorithm::EcdsaP256Fixed;
    ledger.before(QE_REPORT_SIGNATURE, budget.spend_signature())?;
    let signed = pck
        .public_key()
        .verify(fixed, quote.qe_report, quote.qe_report_signature);
    ledger.check(
        QE_REPORT_SIGNATURE,
        signed.map_err(|_| TdxRefusal::Signature {
            over: "quoting enclave's report",
            by: "PCK",
        }),
    )?;
    ledger.check(
        QE_REPORT_DATA,
        binds_attestation_key(quote)
            .then_some(())
            .ok_or(TdxRefusal::AttestationKeyUnbound),
    )?;
    ledger.before(QUOTE_SIGNATURE, budget.spend_signature())?;
    let key = [P256_SPKI, quote.attestation_key].concat();
    let signed = PublicKey::of_spki(&key).verify(fixed, quote.signed, quote.signature);
    ledger.check(
        QUOTE_SIGNATURE,
        signed.map_err(|_| TdxRefusal::Signature {
            over: "quote",
            by: "attestation key",
        }),
    )
}

/// SHA-256 over the attestation key and the quoting enclave's authentication data, then 32 zeros.
fn binds_attestation_key(quote: &TdxQuote<'_>) -> bool {
    let mut context = Context::new(&SHA256);
    context.update(quote.attestation_key);
    context.update(quote.qe_authentication_data);
    let mut bound = [0; 64];
    bound[..32].copy_from_slice(context.finish().as_ref());
    bool::from(bound.ct_eq(quote.qe_report_data()))
}

/// What came as init-data must be what the host stated at launch, as MRCONFIGID.
fn check_init_data(
    report: &TdReport,
    bench: &Bench<'_>,
    ledger: &mut Ledger,
) -> Result<bool, Refusal> {
    let Some(init_data) = &bench.expected.init_data else {
        ledger.not_applicable(INIT_DATA);
        return Ok(false);
    };
    let tee = crate::evidence::Tee::Tdx;
    ledger.require(INIT_DATA, init_data.fills(&report.mr_config_id), || {
        Refusal::InitDataUnbound { tee }
    })?;
    Ok(true)
}

/// Three certificates in PEM.
fn split_chain(pem: &[u8]) -> Result<[Vec<u8>; 3], TdxRefusal> {
    let chain = split_pem(pem, CHAIN.len()).ok_or(TdxRefusal::Chain(ChainFault::Pem))?;
    let count = chain.len();
    <[Vec<u8>; 3]>::try_from(chain).map_err(|_| TdxRefusal::Chain(ChainFault::Count(count)))
}
