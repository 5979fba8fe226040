//! A TPM's quote under a key that is known otherwise: did a TPM make it, over this nonce, and over
//! the PCRs that came with it?

use super::{Bench, Refusal};
use crate::budget::Budget;
use crate::checks::QuoteChecks;
use crate::evidence::tpms_attest::{AttestMalformed, QuoteStatement, SHA256 as ALG_SHA256};
use crate::evidence::{InitDataDigest, ReportData, TpmQuote};
use crate::ledger::Ledger;
use crate::policy::Pcrs;
use crate::x509::{PublicKey, SignatureAlgorithm, SignatureFault};
use aws_lc_rs::digest::{Context, SHA256, digest};
use subtle::ConstantTimeEq;
use thiserror::Error;

/// Where init-data are measured.
const INIT_DATA_PCR: usize = 8;

/// What an authentic quote says.
#[derive(Debug)]
pub(crate) struct QuoteFacts {
    /// The PCRs of the SHA-256 bank that are quoted, and no other.
    pub(crate) pcrs: Pcrs,
    pub(crate) reset_count: u32,
    pub(crate) restart_count: u32,
}

/// Why a TPM's quote is not authentic.
#[derive(Debug, Error)]
pub enum QuoteRefusal {
    /// It is no quote.
    #[error("the TPM's statement is no quote")]
    Malformed(#[from] AttestMalformed),
    /// Another key signed it, or nobody did.
    #[error("the TPM's quote is not signed by the attestation key")]
    Signature(#[source] SignatureFault),
    /// It answers another challenge.
    #[error("the nonce in the TPM's quote is not that of this challenge and TEE public key")]
    Nonce,
    /// It is over other banks, or over more.
    #[error("the TPM's quote is not over PCRs of the SHA-256 bank, and of that bank alone")]
    Selection,
    /// It is over PCRs with other values.
    #[error("the PCRs that came with the TPM's quote are not those that it is over")]
    PcrDigest,
}

/// A public key, how it signs, and the signature in the form of that.
pub(super) struct SignedBy<'a> {
    pub(super) key: PublicKey<'a>,
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) signature: &'a [u8],
    pub(super) nonce: NonceForm,
}

/// How report data stand in the nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NonceForm {
    /// To the byte.
    Bare,
    /// To the byte, or with zeros up to 64 bytes.
    BareOrPadded,
}

impl NonceForm {
    /// In time that does not depend on where they differ; both lengths are known to everybody.
    fn holds(self, expected: &ReportData, nonce: &[u8]) -> bool {
        let is_padded = self == Self::BareOrPadded && nonce.len() == ReportData::MAX_LEN;
        bool::from(nonce.ct_eq(expected.as_bytes())) || (is_padded && expected.fills(nonce))
    }
}

impl QuoteFacts {
    /// Whether PCR 8 is quoted, and extended from zero by the init-data's digest of 32 bytes alone.
    pub(super) fn binds(&self, init_data: &InitDataDigest) -> bool {
        let pcr = self.pcrs.get(&INIT_DATA_PCR);
        let stated = <[u8; 32]>::try_from(init_data.as_bytes()).ok();
        pcr.zip(stated).is_some_and(|(pcr, stated)| {
            let extended = digest(&SHA256, &[[0; 32], stated].concat());
            bool::from(extended.as_ref().ct_eq(pcr))
        })
    }
}

/// Makes the checks in order.
pub(super) fn verify(
    quote: &TpmQuote,
    by: &SignedBy<'_>,
    names: &QuoteChecks,
    bench: &Bench<'_>,
    budget: &mut Budget,
    ledger: &mut Ledger,
) -> Result<QuoteFacts, Refusal> {
    let statement = parse(&quote.message, names, ledger)?;
    ledger.before(names.signature, budget.spend_signature())?;
    let signed = by.key.verify(by.algorithm, &quote.message, by.signature);
    ledger.check(names.signature, signed.map_err(QuoteRefusal::Signature))?;
    let expected = &bench.expected.report_data;
    let is_fresh = by.nonce.holds(expected, statement.extra_data);
    ledger.require(names.nonce, is_fresh, || QuoteRefusal::Nonce.into())?;
    let pcrs = ledger.check(names.selection, selected(&statement, quote))?;
    let mut context = Context::new(&SHA256);
    for pcr in pcrs.values() {
        context.update(pcr);
    }
    let is_over = bool::from(context.finish().as_ref().ct_eq(statement.pcr_digest));
    ledger.require(names.digest, is_over, || QuoteRefusal::PcrDigest.into())?;
    Ok(QuoteFacts {
        pcrs,
        reset_count: statement.reset_count,
        restart_count: statement.restart_count,
    })
}

fn parse<'a>(
    message: &'a [u8],
    names: &QuoteChecks,
    ledger: &mut Ledger,
) -> Result<QuoteStatement<'a>, Refusal> {
    let statement = QuoteStatement::parse(message);
    match &statement {
        Err(AttestMalformed::Magic(_)) => {
            return ledger.check(names.magic, statement.map_err(QuoteRefusal::from));
        }
        Err(AttestMalformed::Type(_)) => {
            return ledger.check(names.kind, statement.map_err(QuoteRefusal::from));
        }
        Ok(_) => {
            ledger.pass(names.magic);
            ledger.pass(names.kind);
        }
        Err(AttestMalformed::Form | AttestMalformed::TooLong { .. }) => {}
    }
    ledger.check(names.form, statement.map_err(QuoteRefusal::from))
}

/// The PCRs that the quote selects, in the order in which it hashes them.
fn selected(statement: &QuoteStatement<'_>, quote: &TpmQuote) -> Result<Pcrs, QuoteRefusal> {
    let [selection] = statement.selections.as_slice() else {
        return Err(QuoteRefusal::Selection);
    };
    let beyond = selection.pcrs >> quote.pcrs.len();
    if selection.hash != ALG_SHA256 || selection.pcrs == 0 || beyond != 0 {
        return Err(QuoteRefusal::Selection);
    }
    let all = quote.pcrs.iter().enumerate();
    Ok(all
        .filter(|(index, _)| selection.pcrs >> index & 1 == 1)
        .map(|(index, pcr)| (index, *pcr))
        .collect())
}
