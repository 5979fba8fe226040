//! What the evidence has to bind: report data, and init-data where there is some.

use crate::arguments::JudgementArguments;
use nitride_collateral::{Files, Obstacle, told};
use nitride_verify::{Expected, InitDataDigest, ReportData};
use std::path::PathBuf;
use std::str::FromStr;

/// A request of the KBS protocol has no more.
const MAX_INIT_DATA_LEN: u64 = 1 << 20;

/// `--report-data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReportDataArgument {
    Bytes(Vec<u8>),
    File(PathBuf),
}

impl FromStr for ReportDataArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix('@') {
            return Ok(Self::File(path.into()));
        }
        let bytes = base16ct::mixed::decode_vec(text)
            .map_err(|_| "neither hexadecimal nor a file, which begins with @")?;
        check(&bytes)?;
        Ok(Self::Bytes(bytes))
    }
}

/// Reads both.
pub(crate) fn read(common: &JudgementArguments, files: &mut Files) -> Result<Expected, Obstacle> {
    let bytes = match &common.report_data {
        ReportDataArgument::Bytes(bytes) => bytes.clone(),
        ReportDataArgument::File(path) => {
            let max_len = u64::try_from(ReportData::MAX_LEN).unwrap_or(u64::MAX);
            let bytes = files.read(path, max_len)?;
            check(&bytes).map_err(|reason| Obstacle::at(path, reason, REMEDY))?;
            bytes
        }
    };
    let report_data = ReportData::new(&bytes)
        .map_err(|fault| Obstacle::of("--report-data", fault.to_string(), REMEDY))?;
    let init_data = common.init_data.as_deref().map(|path| {
        let body = files.read_text(path, MAX_INIT_DATA_LEN)?;
        InitDataDigest::of("toml", &body)
            .map_err(|fault| Obstacle::at(path, told(&fault), "give it as the guest got it"))
    });
    Ok(Expected {
        report_data,
        init_data: init_data.transpose()?,
    })
}

const REMEDY: &str = "give 1 to 64 bytes";

/// Nothing would be bound by nothing: zeros are given as zeros.
fn check(bytes: &[u8]) -> Result<(), String> {
    if bytes.is_empty() {
        return Err("report data of no bytes".to_owned());
    }
    ReportData::new(bytes)
        .map(drop)
        .map_err(|fault| fault.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_data_stands_in_hexadecimal_or_in_a_file() {
        let bytes = ReportDataArgument::Bytes(vec![0, 0xab]);
        assert_eq!("00aB".parse(), Ok(bytes));
        let file = ReportDataArgument::File("/a b".into());
        assert_eq!("@/a b".parse(), Ok(file));
    }

    #[test]
    fn report_data_of_no_bytes_or_too_many_is_refused() {
        let long = "00".repeat(65);
        for bad in ["", "0", "0x00", "zz", &long] {
            assert!(bad.parse::<ReportDataArgument>().is_err(), "{bad}");
        }
        assert!("00".repeat(64).parse::<ReportDataArgument>().is_ok());
    }
}
