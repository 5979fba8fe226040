//! `sample` evidence: `{"svn":"1","report_data":"<standard base64 of 48 bytes>"}`.
//!
//! Nothing signs it. Anyone can make it for any key, so that "authentic" means no more here than:
//! it is of the form, it binds this challenge and key, and the policy names it.

use super::{Found, Refusal};
use crate::budget::Budget;
use crate::evidence::{Expected, UnverifiedEvidence};
use crate::policy::Anchors;
use crate::verdict::{Check, Claims};
use base64ct::{Base64, Encoding};
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use subtle::ConstantTimeEq;

/// An svn is a small number written as text.
const MAX_SVN_LEN: usize = 64;

pub(super) const ACCEPTED: &str = "sample.accepted";
pub(super) const HARDWARE_SIGNATURE: &str = "sample.hardware-signature";
pub(super) const FORM: &str = "sample.form";
pub(super) const REPORT_DATA: &str = "sample.report-data";
pub(super) const INIT_DATA: &str = "sample.init-data";
pub(super) const ADDITIONAL_EVIDENCE: &str = "sample.additional-evidence";

/// Makes the checks in order; the error names the one that failed.
pub(super) fn verify(
    evidence: &UnverifiedEvidence<'_>,
    expected: &Expected,
    anchors: &Anchors<'_>,
    budget: &mut Budget,
    checks: &mut Vec<Check>,
) -> Result<Found, (&'static str, Refusal)> {
    let accept = anchors.danger_accept_sample;
    if !accept.value {
        return Err((ACCEPTED, Refusal::SampleNotAccepted { line: accept.line }));
    }
    checks.push(Check::passed(ACCEPTED));
    checks.push(Check::waived(HARDWARE_SIGNATURE, accept.line));

    if !evidence.additional.is_empty() {
        return Err((ADDITIONAL_EVIDENCE, Refusal::AdditionalEvidenceNotJudged));
    }
    checks.push(Check::not_applicable(ADDITIONAL_EVIDENCE));
    if evidence.has_init_data {
        return Err((INIT_DATA, Refusal::InitDataUnbound { tee: evidence.tee }));
    }
    checks.push(Check::not_applicable(INIT_DATA));

    let (sample, report_data) = parse(evidence.primary, budget).map_err(|cause| (FORM, cause))?;
    checks.push(Check::passed(FORM));

    if !bool::from(report_data.ct_eq(&expected.report_data)) {
        return Err((REPORT_DATA, Refusal::ReportDataMismatch));
    }
    checks.push(Check::passed(REPORT_DATA));

    Ok(Found {
        claims: Claims(BTreeMap::from([
            ("svn", Value::from(sample.svn.into_owned())),
            ("report_data", Value::from(sample.report_data.into_owned())),
        ])),
        // There is no debug mode where there is no TEE; `simulated` says the worse.
        debug: false,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleForm<'a> {
    #[serde(borrow)]
    svn: Cow<'a, str>,
    #[serde(borrow)]
    report_data: Cow<'a, str>,
}

fn parse<'a>(primary: &'a str, budget: &mut Budget) -> Result<(SampleForm<'a>, [u8; 48]), Refusal> {
    budget.spend_json(primary)?;
    let sample: SampleForm<'_> = serde_json::from_str(primary).map_err(Refusal::Malformed)?;
    if sample.svn.is_empty() || sample.svn.len() > MAX_SVN_LEN {
        return Err(Refusal::FieldMalformed {
            field: "svn",
            fault: "is not 1 to 64 bytes",
        });
    }
    if sample.svn.chars().any(char::is_control) {
        return Err(Refusal::FieldMalformed {
            field: "svn",
            fault: "has control characters",
        });
    }
    let mut report_data = [0u8; 48];
    let decoded = Base64::decode(&*sample.report_data, &mut report_data);
    if decoded.map_or(true, |bytes| bytes.len() != 48) {
        return Err(Refusal::FieldMalformed {
            field: "report_data",
            fault: "is not 48 bytes in standard base64",
        });
    }
    Ok((sample, report_data))
}
