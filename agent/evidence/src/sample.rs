use crate::collector::{Collect, CollectError, Evidence, REPORT_DATA_LEN};
use crate::tee::Tee;
use base64ct::{Base64, Encoding};
use serde::Serialize;
use std::time::Instant;
use thiserror::Error;

/// Greatest length of a sample's `svn` in bytes.
pub const MAX_SVN_LEN: usize = 64;

/// An `svn` that is empty, too long, or has other characters than `A-Z a-z 0-9 . _ -`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("cannot simulate with this svn: 1 to {MAX_SVN_LEN} of A-Z a-z 0-9 . _ - are expected")]
pub struct InvalidSvn;

/// The stand-in where there is no hardware.
#[derive(Debug)]
pub(crate) struct Sample {
    svn: Box<str>,
}

impl Sample {
    pub(crate) fn new(svn: &str) -> Result<Self, InvalidSvn> {
        let svn = checked_svn(svn)?.into();
        Ok(Self { svn })
    }
}

/// The svn, if it is one.
pub(crate) fn checked_svn(svn: &str) -> Result<&str, InvalidSvn> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if svn.is_empty() || svn.len() > MAX_SVN_LEN || !svn.bytes().all(allowed) {
        return Err(InvalidSvn);
    }
    Ok(svn)
}

/// Trustee's form: `report_data` is the bare 48 bytes, unlike SNP and TDX without padding to 64.
#[derive(Serialize)]
struct SampleEvidence<'a> {
    svn: &'a str,
    report_data: String,
}

impl Collect for Sample {
    fn tee(&self) -> Tee {
        Tee::Sample
    }

    fn found(&self) -> String {
        "no interface: it is simulated".to_owned()
    }

    fn collect(
        &mut self,
        report_data: &[u8; REPORT_DATA_LEN],
        _by: Instant,
    ) -> Result<Evidence, CollectError> {
        let tee = self.tee();
        let evidence = SampleEvidence {
            svn: &self.svn,
            report_data: Base64::encode_string(report_data),
        };
        Ok(Evidence {
            tee,
            primary_evidence: serde_json::to_string(&evidence)
                .map_err(|source| CollectError::Encoding { tee, source })?,
            additional_evidence: String::new(),
            warnings: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Collector;

    #[test]
    fn sample_evidence_holds_the_svn_and_the_bare_report_data() {
        let mut collector = Collector::danger_simulated("1").unwrap();
        let evidence = collector.collect(&[0xfb; REPORT_DATA_LEN]).unwrap();
        assert_eq!(
            evidence.primary_evidence,
            r#"{"svn":"1","report_data":"+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7"}"#
        );
        assert_eq!(evidence.additional_evidence, "");
        assert_eq!(evidence.tee, Tee::Sample);
    }

    #[test]
    fn an_svn_that_could_leave_its_json_string_is_refused() {
        for svn in ["", "1\"", "a b", "ä", &"1".repeat(MAX_SVN_LEN + 1)] {
            assert_eq!(Sample::new(svn).err(), Some(InvalidSvn), "{svn}");
        }
        assert!(Sample::new("2024.1-rc_3").is_ok());
    }
}
