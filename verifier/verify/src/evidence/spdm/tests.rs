use super::*;
use proptest::prelude::*;

fn field(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(value.len()).unwrap();
    [&kind.to_le_bytes()[..], &len.to_le_bytes(), value].concat()
}

fn block(index: u8, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(value.len()).unwrap();
    let outer = (len + 3).to_le_bytes();
    [&[index, 1][..], &outer, &[1], &len.to_le_bytes(), value].concat()
}

fn report(blocks: u8, record: &[u8], opaque: &[u8]) -> Vec<u8> {
    let len = u32::try_from(record.len()).unwrap().to_le_bytes();
    let opaque_len = u16::try_from(opaque.len()).unwrap().to_le_bytes();
    [
        &[0x11, 0xe0, 1, 0xff][..],
        &[7; 32],
        &[0, 0x11, 0x60, 0, 0, blocks],
        &len[..3],
        record,
        &[8; 32],
        &opaque_len,
        opaque,
        &[9; 96],
    ]
    .concat()
}

fn good() -> Vec<u8> {
    let record = [block(1, &[1; 48]), block(2, &[2; 48])].concat();
    let opaque = [
        field(DRIVER_VERSION, b"550.90.07\0"),
        field(VBIOS_VERSION, b"\x00\x9f\x00\x96\x01\x00\x00\x00"),
        field(FIRMWARE_ID, &[5; 48]),
        field(PROJECT, b"1010\0"),
        field(PROJECT_SKU, b"0200\0"),
        field(CHIP_SKU, b"882\0\0"),
    ]
    .concat();
    report(2, &record, &opaque)
}

#[test]
fn every_part_is_read_where_it_stands() {
    let bytes = good();
    let report = SpdmReport::parse(&bytes).unwrap();
    assert_eq!(report.nonce, &[7; 32]);
    assert_eq!(report.measurements.get(&2), Some(&&[2; 48][..]));
    assert_eq!(report.measurements.len(), 2);
    assert_eq!(report.signature, &[9; 96]);
    assert_eq!(report.signed.len(), bytes.len() - 96);
    assert_eq!(report.driver_version().unwrap().unwrap(), "550.90.07");
    assert_eq!(report.vbios_version().unwrap().unwrap(), "96.00.9F.00.01");
    assert_eq!(report.board().unwrap().unwrap(), "1010_0200_882");
    assert_eq!(report.firmware_id().unwrap(), Some(&[5; 48]));
}

#[test]
fn what_a_device_does_not_say_is_not_there() {
    let bytes = report(0, &[], &field(VBIOS_VERSION, b"96.10.55.00.01"));
    let report = SpdmReport::parse(&bytes).unwrap();
    assert_eq!(report.vbios_version().unwrap().unwrap(), "96.10.55.00.01");
    assert_eq!(report.driver_version(), Ok(None));
    assert_eq!(report.board(), Ok(None));
    assert_eq!(report.firmware_id(), Ok(None));
}

#[test]
fn no_shorter_and_no_longer_text_is_a_report() {
    let good = good();
    for len in 0..good.len() {
        assert!(SpdmReport::parse(&good[..len]).is_err(), "{len}");
    }
    let longer = [&good[..], &[0]].concat();
    assert!(matches!(
        SpdmReport::parse(&longer),
        Err(SpdmMalformed::Answer(_))
    ));
    let len = MAX_SPDM_LEN + 1;
    assert_eq!(
        SpdmReport::parse(&vec![0; len]),
        Err(SpdmMalformed::TooLong { len })
    );
}

#[test]
fn only_a_signed_answer_to_a_question_for_everything_will_do() {
    // Version, code, signed, all, slot.
    for at in [0, 1, 2, 3, 36] {
        let mut bytes = good();
        bytes[at] ^= 2;
        let refused = SpdmReport::parse(&bytes).unwrap_err();
        assert!(matches!(refused, SpdmMalformed::Request(_)), "{at}");
    }
    for at in [37, 38, 41, 42] {
        let mut bytes = good();
        bytes[at] ^= 1;
        let refused = SpdmReport::parse(&bytes).unwrap_err();
        assert!(matches!(refused, SpdmMalformed::Answer(_)), "{at}");
    }
}

#[test]
fn nothing_stands_twice_and_nothing_is_left_over() {
    let one = block(1, &[1; 48]);
    let mut loose = block(1, &[1; 48]);
    loose[5] -= 1;
    for (blocks, record) in [
        (2, [&one[..], &one].concat()),
        (1, [&one[..], &[0]].concat()),
        (2, one.clone()),
        (1, loose),
        (1, [&[1, 2][..], &one[2..]].concat()),
    ] {
        let bytes = report(blocks, &record, &[]);
        let refused = SpdmReport::parse(&bytes).unwrap_err();
        assert!(matches!(refused, SpdmMalformed::Answer(_)), "{record:?}");
    }
    let field = field(3, b"a");
    for opaque in [
        [&field[..], &field].concat(),
        [&field[..], &[0; 3]].concat(),
        field[..4].to_vec(),
    ] {
        let bytes = report(1, &one, &opaque);
        let refused = SpdmReport::parse(&bytes).unwrap_err();
        assert!(matches!(refused, SpdmMalformed::Opaque(_)), "{opaque:?}");
    }
}

#[test]
fn a_text_that_a_terminal_would_act_on_is_none() {
    for text in [&b"5\x1b[2J"[..], b"5\x005", b"\xff", &[b'5'; 65]] {
        let bytes = report(0, &[], &field(DRIVER_VERSION, text));
        let report = SpdmReport::parse(&bytes).unwrap();
        assert!(report.driver_version().is_err(), "{text:?}");
    }
    let bytes = report(0, &[], &field(FIRMWARE_ID, &[5; 47]));
    assert!(SpdmReport::parse(&bytes).unwrap().firmware_id().is_err());
}

proptest! {
    #[test]
    fn any_bytes_give_a_report_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = SpdmReport::parse(&bytes);
        let mut likely = good();
        for (to, from) in likely.iter_mut().skip(37).zip(&bytes) {
            *to ^= from & 0x11;
        }
        if let Ok(report) = SpdmReport::parse(&likely) {
            prop_assert!(report.record.len() + 96 < likely.len());
        }
    }
}
