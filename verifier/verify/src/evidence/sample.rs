//! `sample` evidence: `{"svn":"1","report_data":"<standard base64 of 48 bytes>"}`.

use crate::authenticity::Refusal;
use base64ct::{Base64, Encoding};
use serde::Deserialize;
use std::borrow::Cow;

/// An svn is a small number written as text.
const MAX_SVN_LEN: usize = 64;

/// What `sample` evidence says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleAllegation {
    /// Plays the measurement.
    pub svn: String,
    /// What binds challenge and key.
    pub report_data: [u8; 48],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleForm<'a> {
    #[serde(borrow)]
    svn: Cow<'a, str>,
    #[serde(borrow)]
    report_data: Cow<'a, str>,
}

impl SampleAllegation {
    /// The KBS form, as `primary_evidence`.
    #[must_use]
    pub fn to_kbs_form(&self) -> String {
        let report_data = Base64::encode_string(&self.report_data);
        serde_json::json!({ "svn": self.svn, "report_data": report_data }).to_string()
    }
}

/// Reads the JSON form, whose cost is paid.
pub(super) fn read(primary: &str) -> Result<SampleAllegation, Refusal> {
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
    Ok(SampleAllegation {
        svn: sample.svn.into_owned(),
        report_data,
    })
}
