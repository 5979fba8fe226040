//! The report's signature: check 16. It is over the bytes as they came, never over a form of them
//! that was read and written again.

use super::SnpRefusal;
use crate::authenticity::Refusal;
use crate::budget::Budget;
use crate::checks::snp as checks;
use crate::evidence::SnpReport;
use crate::ledger::Ledger;
use crate::x509::{Certificate, SignatureAlgorithm};

/// r and s have room for 72 bytes each, of which P-384 needs 48.
const FIELD_LEN: usize = 72;
const SCALAR_LEN: usize = 48;

/// The order of P-384 (FIPS 186-4, D.1.2.4), big-endian.
const ORDER: [u8; SCALAR_LEN] = *b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\
    \xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\
    \xc7\x63\x4d\x81\xf4\x37\x2d\xdf\x58\x1a\x0d\xb2\
    \x48\xb0\xa7\x7a\xec\xec\x19\x6a\xcc\xc5\x29\x73";

pub(super) fn verify(
    report: &SnpReport,
    vek: &Certificate,
    budget: &mut Budget,
    ledger: &mut Ledger,
) -> Result<(), Refusal> {
    let signature = ledger.check(checks::SIGNATURE_FORM, fixed(report.signature()))?;
    ledger.before(checks::SIGNATURE, budget.spend_signature())?;
    let key = vek.public_key();
    let signed = key.verify(
        SignatureAlgorithm::EcdsaP384Fixed,
        report.signed(),
        &signature,
    );
    ledger.check(checks::SIGNATURE, signed.map_err(|_| SnpRefusal::Signature))
}

/// r and s in the form that verification takes, big-endian and without padding. What the field has
/// beyond them is zero: bytes that nothing looks at could be anything.
fn fixed(field: &[u8]) -> Result<[u8; 2 * SCALAR_LEN], SnpRefusal> {
    let fault = SnpRefusal::SignatureForm("is too short");
    let (r, rest) = field.split_at_checked(FIELD_LEN).ok_or(fault.clone())?;
    let (s, tail) = rest.split_at_checked(FIELD_LEN).ok_or(fault)?;
    if tail.iter().any(|byte| *byte != 0) {
        return Err(SnpRefusal::SignatureForm("has bytes after s"));
    }
    let mut fixed = [0; 2 * SCALAR_LEN];
    let (first, second) = fixed.split_at_mut(SCALAR_LEN);
    first.copy_from_slice(&scalar(r)?);
    second.copy_from_slice(&scalar(s)?);
    Ok(fixed)
}

fn scalar(field: &[u8]) -> Result<[u8; SCALAR_LEN], SnpRefusal> {
    let too_short = SnpRefusal::SignatureForm("is too short");
    let (low, high) = field.split_first_chunk::<SCALAR_LEN>().ok_or(too_short)?;
    if high.iter().any(|byte| *byte != 0) {
        return Err(SnpRefusal::SignatureForm(
            "has more than 48 bytes in r or s",
        ));
    }
    let mut scalar = *low;
    scalar.reverse();
    if scalar == [0; SCALAR_LEN] || scalar >= ORDER {
        return Err(SnpRefusal::SignatureForm(
            "has r or s outside of the range of P-384",
        ));
    }
    Ok(scalar)
}
