use super::head;
use nitride_protocol::audit::{Digest, head_report};
use nitride_secmem::crypto::sha384;
use serde_json::Value;

/// Why a head is not what the report data was made over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AttestedFault {
    /// It is not what `attest --audit-head --json` prints.
    #[error("the file is not what attest --audit-head --json prints")]
    NotAttested,
    /// The report data was made over another head, or other data.
    #[error("the report data is over another head or other data")]
    OtherReport,
}

/// The head in `said`, if the report data beside it was made over it and `data`.
///
/// That a TEE has signed that report data is for a verifier to say.
pub(super) fn head_of(said: &[u8], data: &[u8]) -> Result<(u64, Digest), AttestedFault> {
    let said: Value = serde_json::from_slice(said).map_err(|_| AttestedFault::NotAttested)?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (Some(report_data), Some(found)) = (
        text(&said["report_data"]),
        text(&said["audit_head"]).and_then(|text| head(&text).ok()),
    ) else {
        return Err(AttestedFault::NotAttested);
    };
    let (sequence, digest) = found;
    let expected = head_report(sequence, &digest, data, sha384);
    if super::hex(&expected) != report_data {
        return Err(AttestedFault::OtherReport);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::hex;
    use serde_json::json;

    #[test]
    fn a_head_is_attested_with_its_data_or_not_at_all() {
        let digest = [7; 32];
        let said = |sequence: u64, report: &[u8]| {
            let head = format!("{sequence}:{}", hex(&digest));
            let said = json!({ "audit_head": head, "report_data": hex(report), "tee": "sample" });
            said.to_string().into_bytes()
        };
        let report = head_report(9, &digest, b"nonce", sha384);
        assert_eq!(head_of(&said(9, &report), b"nonce"), Ok((9, digest)));
        let other = Err(AttestedFault::OtherReport);
        assert_eq!(head_of(&said(9, &report), b"nonc"), other);
        assert_eq!(head_of(&said(10, &report), b"nonce"), other);
        // Evidence for an application's data, whatever that says, is over another label.
        let of_application = sha384(&[b"nitride attest v1\0", b"nonce"]);
        assert_eq!(head_of(&said(9, &of_application), b"nonce"), other);
        for text in [
            "",
            "{}",
            "{\"audit_head\":\"9:00\",\"report_data\":\"\"}",
            "[]",
        ] {
            assert_eq!(
                head_of(text.as_bytes(), b""),
                Err(AttestedFault::NotAttested)
            );
        }
    }
}
