//! Where a TDX quote has what it covers (Intel TDX DCAP quote, versions 4 and 5).

use thiserror::Error;

const HEADER_LEN: usize = 48;
/// Body type and size, which version 5 has between header and body.
const DESCRIPTOR_LEN: usize = 6;
/// The shortest body, of TD 1.0; the others continue it.
const BODY_LEN: usize = 584;
const REPORT_DATA_AT: usize = 520;
const TEE_TYPE_TDX: u32 = 0x81;

/// Why a quote is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum QuoteError {
    #[error("the quote has only {0} bytes")]
    Short(usize),
    #[error("the quote is of version {0}: 4 and 5 are known")]
    Version(u16),
    #[error("the quote is of TEE type {0:#x}, not of TDX ({TEE_TYPE_TDX:#x})")]
    TeeType(u32),
}

/// What the quote was asked to cover.
pub(crate) fn report_data(quote: &[u8]) -> Result<&[u8; 64], QuoteError> {
    let short = QuoteError::Short(quote.len());
    let array = |at: usize| quote.get(at..).ok_or(short);
    let version = u16::from_le_bytes(*array(0)?.first_chunk().ok_or(short)?);
    let tee_type = u32::from_le_bytes(*array(4)?.first_chunk().ok_or(short)?);
    let body_at = match version {
        4 => HEADER_LEN,
        5 => HEADER_LEN + DESCRIPTOR_LEN,
        _ => return Err(QuoteError::Version(version)),
    };
    if tee_type != TEE_TYPE_TDX {
        return Err(QuoteError::TeeType(tee_type));
    }
    let body: &[u8; BODY_LEN] = array(body_at)?.first_chunk().ok_or(short)?;
    let data = body.get(REPORT_DATA_AT..).and_then(<[u8]>::first_chunk);
    data.ok_or(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(version: u8, body_at: usize) -> Vec<u8> {
        let mut quote = vec![0; body_at + BODY_LEN];
        quote[0] = version;
        quote[4] = 0x81;
        quote[body_at + REPORT_DATA_AT..].fill(0xab);
        quote
    }

    #[test]
    fn report_data_is_found_in_both_versions() {
        assert_eq!(report_data(&quote(4, 48)), Ok(&[0xab; 64]));
        assert_eq!(report_data(&quote(5, 54)), Ok(&[0xab; 64]));
    }

    #[test]
    fn what_is_no_whole_quote_of_tdx_is_named() {
        for (version, body_at) in [(4, 48), (5, 54)] {
            let whole = quote(version, body_at);
            for len in 0..whole.len() {
                assert_eq!(report_data(&whole[..len]), Err(QuoteError::Short(len)));
            }
        }
        assert_eq!(report_data(&quote(3, 48)), Err(QuoteError::Version(3)));
        let mut sgx = quote(4, 48);
        sgx[4] = 0;
        assert_eq!(report_data(&sgx), Err(QuoteError::TeeType(0)));
    }

    /// The files are not ours to publish: they lie where `NITRIDE_VECTORS` says.
    #[test]
    fn real_quotes_of_both_versions_have_report_data() {
        let Some(folder) = std::env::var_os("NITRIDE_VECTORS") else {
            eprintln!("skipped: NITRIDE_VECTORS is not set");
            return;
        };
        let folder = std::path::Path::new(&folder).join("tdx");
        for name in [
            "v4-spr-gce",
            "v4-trustee",
            "v4-uptodate-with-collateral",
            "v5-outdated-with-collateral",
            "v5-sample",
        ] {
            let quote = std::fs::read(folder.join(name).join("quote.bin")).unwrap();
            assert!(report_data(&quote).is_ok(), "{name}");
        }
    }
}
