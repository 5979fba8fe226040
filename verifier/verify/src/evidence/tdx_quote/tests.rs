//! Quotes of every shape, and bytes that are none.

use super::*;
use proptest::prelude::*;

/// A quote of the given version and body, every part filled with a byte of its own.
fn quote(version: u16, body_type: u16, body_len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(version.to_le_bytes());
    bytes.extend(KEY_TYPE_ECDSA_P256.to_le_bytes());
    bytes.extend(TEE_TYPE_TDX.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(INTEL_QE_VENDOR_ID);
    bytes.extend([0; 20]);
    if version == 5 {
        bytes.extend(body_type.to_le_bytes());
        bytes.extend(u32::try_from(body_len).unwrap().to_le_bytes());
    }
    bytes.extend((0..body_len).map(|index| u8::try_from(index % 251).unwrap()));
    let section = section(b"chain");
    bytes.extend(u32::try_from(section.len()).unwrap().to_le_bytes());
    bytes.extend(section);
    bytes
}

fn section(chain: &[u8]) -> Vec<u8> {
    let mut certified = [vec![3; 384], vec![4; 64], vec![2, 0, 5, 5]].concat();
    certified.extend(CERTIFICATION_PCK_CHAIN.to_le_bytes());
    certified.extend(u32::try_from(chain.len()).unwrap().to_le_bytes());
    certified.extend(chain);
    let mut section = [vec![1; 64], vec![2; 64]].concat();
    section.extend(CERTIFICATION_QE_REPORT.to_le_bytes());
    section.extend(u32::try_from(certified.len()).unwrap().to_le_bytes());
    section.extend(certified);
    section
}

fn set(bytes: &[u8], at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

#[test]
fn each_form_is_split_into_its_parts() {
    for (version, body_type, body_len) in [(4, 0, 584), (5, 2, 584), (5, 3, 648), (5, 4, 885)] {
        let bytes = [quote(version, body_type, body_len), vec![9; 70]].concat();
        let quote = TdxQuote::parse(&bytes).unwrap();
        let body_at = if version == 5 { 54 } else { 48 };
        assert_eq!(quote.version, version);
        assert_eq!(quote.body_type, (version == 5).then_some(body_type));
        assert_eq!(quote.signed, &bytes[..body_at + body_len]);
        assert_eq!(quote.report.tee_tcb_svn[..], bytes[body_at..body_at + 16]);
        assert_eq!(
            quote.report.report_data[..],
            bytes[body_at + 520..body_at + 584]
        );
        assert_eq!(
            quote.report.rtmr[3][..],
            bytes[body_at + 472..body_at + 520]
        );
        assert_eq!(quote.signature, &[1; 64]);
        assert_eq!(quote.attestation_key, &[2; 64]);
        assert_eq!(quote.qe_report, &[3; 384]);
        assert_eq!(quote.qe_report_data(), &[3; 64]);
        assert_eq!(quote.qe_report_signature, &[4; 64]);
        assert_eq!(quote.qe_authentication_data, [5, 5]);
        assert_eq!(quote.pck_chain, b"chain");
        assert_eq!(quote.trailing_len, 70);
        assert_eq!(quote.report.v15.is_some(), body_len > 584);
        if let Some(v15) = quote.report.v15 {
            assert_eq!(v15.tee_tcb_svn_2[..], bytes[body_at + 584..body_at + 600]);
            assert_eq!(v15.mr_service_td[..], bytes[body_at + 600..body_at + 648]);
            assert_eq!(v15.ex.is_some(), body_len == 885);
            if let Some(ex) = v15.ex {
                assert_eq!(ex.vm_id, bytes[body_at + 648]);
                assert_eq!(
                    ex.current_service_td_hash[..],
                    bytes[body_at + 829..body_at + 877]
                );
            }
        }
    }
}

#[test]
fn what_the_header_says_is_refused_by_name() {
    let good = quote(4, 0, 584);
    use QuoteMalformed::*;
    for (bytes, wanted) in [
        (set(&good, 0, &[3, 0]), Version { version: 3 }),
        (set(&good, 0, &[6, 0]), Version { version: 6 }),
        (set(&good, 2, &[3, 0]), KeyType { key_type: 3 }),
        (set(&good, 4, &[0]), TeeType { tee_type: 0 }),
        (set(&good, 12, &[0]), QeVendor),
        (
            vec![0; MAX_QUOTE_LEN + 1],
            TooLong {
                len: MAX_QUOTE_LEN + 1,
            },
        ),
        (Vec::new(), Truncated { part: "header" }),
    ] {
        assert_eq!(TdxQuote::parse(&bytes).unwrap_err(), wanted);
    }
}

#[test]
fn a_body_of_another_type_or_size_is_refused() {
    let good = quote(5, 3, 648);
    for body_type in [0u16, 1, 5] {
        let bytes = set(&good, 48, &body_type.to_le_bytes());
        let wanted = QuoteMalformed::BodyType { body_type };
        assert_eq!(TdxQuote::parse(&bytes).unwrap_err(), wanted);
    }
    for size in [0u32, 584, 647, 649, u32::MAX] {
        let bytes = set(&good, 50, &size.to_le_bytes());
        let wanted = QuoteMalformed::BodySize {
            body_type: 3,
            size,
            expected: 648,
        };
        assert_eq!(TdxQuote::parse(&bytes).unwrap_err(), wanted);
    }
}

#[test]
fn unsigned_bytes_are_bounded_and_none_hide_between_the_parts() {
    let good = quote(4, 0, 584);
    let trailing = [good.clone(), vec![0; MAX_TRAILING_LEN]].concat();
    assert!(TdxQuote::parse(&trailing).is_ok());
    let trailing = [trailing, vec![0]].concat();
    let len = MAX_TRAILING_LEN + 1;
    let wanted = QuoteMalformed::Trailing { len };
    assert_eq!(TdxQuote::parse(&trailing).unwrap_err(), wanted);

    let head = 48 + 584;
    let rebuilt = |section: Vec<u8>| {
        let len = u32::try_from(section.len()).unwrap();
        [good[..head].to_vec(), len.to_le_bytes().to_vec(), section].concat()
    };
    let outer = [section(b"chain"), vec![0]].concat();
    let part = "signature section";
    let wanted = QuoteMalformed::Surplus { part, len: 1 };
    assert_eq!(TdxQuote::parse(&rebuilt(outer)).unwrap_err(), wanted);
    let mut inner = [section(b"chain"), vec![0]].concat();
    inner[130] += 1;
    let part = "QE certification data";
    let wanted = QuoteMalformed::Surplus { part, len: 1 };
    assert_eq!(TdxQuote::parse(&rebuilt(inner)).unwrap_err(), wanted);
    let long = section(&vec![b'A'; MAX_CHAIN_LEN + 1]);
    let len = MAX_CHAIN_LEN + 1;
    let wanted = QuoteMalformed::ChainTooLong { len };
    assert_eq!(TdxQuote::parse(&rebuilt(long)).unwrap_err(), wanted);
}

#[test]
fn certification_data_of_another_type_is_refused() {
    let good = quote(4, 0, 584);
    let outer = 48 + 584 + 4 + 128;
    let inner = outer + 6 + 384 + 64 + 4;
    for (at, wanted) in [(outer, 6), (inner, 5)] {
        let bytes = set(&good, at, &[1, 0]);
        let wanted = QuoteMalformed::CertificationType { found: 1, wanted };
        assert_eq!(TdxQuote::parse(&bytes).unwrap_err(), wanted);
    }
}

#[test]
fn every_cut_is_refused() {
    for whole in [quote(4, 0, 584), quote(5, 4, 885)] {
        for cut in 0..whole.len() {
            let error = TdxQuote::parse(&whole[..cut]).unwrap_err();
            assert!(
                matches!(error, QuoteMalformed::Truncated { .. }),
                "{cut}: {error}"
            );
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_quote_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..1500)) {
        let _ = TdxQuote::parse(&bytes);
    }

    #[test]
    fn any_change_of_a_quote_is_a_quote_or_an_error(
        changes in proptest::collection::vec((0usize..1500, any::<u8>()), 1..4),
        version_5 in any::<bool>(),
    ) {
        let mut bytes = if version_5 { quote(5, 3, 648) } else { quote(4, 0, 584) };
        for (index, byte) in changes {
            let index = index % bytes.len();
            bytes[index] = byte;
        }
        let _ = TdxQuote::parse(&bytes);
    }
}
