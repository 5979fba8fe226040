use super::*;
use proptest::prelude::*;

fn number(text: &str) -> DeviceNumber {
    text.parse().unwrap()
}

fn four(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_ne_bytes()
}

/// An answer as the kernel (6.12, `retrieve_status`) writes it.
fn answer(device: DeviceNumber, flags: u32, targets: &[(u64, &str, &str)]) -> Vec<u8> {
    let mut bytes = vec![0; BUFFER_LEN];
    put(&mut bytes, 0, &VERSION.to_ne_bytes());
    put(&mut bytes, DATA_START_AT, &four(HEADER_LEN));
    put(&mut bytes, TARGET_COUNT_AT, &four(targets.len()));
    put(&mut bytes, FLAGS_AT, &flags.to_ne_bytes());
    put(&mut bytes, DEVICE_AT, &encoded(device).to_ne_bytes());
    let mut at = 0;
    for (start, kind, parameters) in targets {
        let next = (at + SPEC_LEN + parameters.len() + 1).next_multiple_of(8);
        let spec = HEADER_LEN + at;
        put(&mut bytes, spec, &start.to_ne_bytes());
        put(&mut bytes, spec + 20, &four(next));
        put(&mut bytes, spec + KIND_AT, kind.as_bytes());
        put(&mut bytes, spec + SPEC_LEN, parameters.as_bytes());
        at = next;
    }
    bytes
}

#[test]
fn a_question_names_a_device_by_its_number_alone() {
    let asked = request(number("253:4660"));
    assert_eq!(asked[..4], 4_u32.to_ne_bytes());
    assert_eq!(asked[FLAGS_AT..][..4], (1_u32 << 4).to_ne_bytes());
    // 0x1234: the low byte, the major number above it, and the rest above that.
    assert_eq!(asked[DEVICE_AT..][..8], 0x120_fd34_u64.to_ne_bytes());
    assert!(asked[48..].iter().all(|byte| *byte == 0));
}

#[test]
fn each_target_of_a_table_is_read() {
    let device = number("253:0");
    let two = [(0, "linear", "8:2 0"), (100, "verity", "1 8:2 8:3")];
    let read = parse(&answer(device, HAS_TABLE, &two), device).unwrap();
    let expected = two.map(|(start, kind, parameters)| Target {
        start,
        kind: kind.to_owned(),
        parameters: parameters.to_owned(),
    });
    assert_eq!(read, expected);
}

#[test]
fn an_answer_without_a_table_or_about_another_device_is_none() {
    let device = number("253:0");
    let one = [(0, "verity", "1")];
    for flags in [0, HAS_TABLE | IS_CUT_OFF] {
        let refused = parse(&answer(device, flags, &one), device);
        assert!(matches!(refused, Err(TableError::NoTable { .. })));
    }
    let other = answer(number("253:1"), HAS_TABLE, &one);
    assert!(matches!(parse(&other, device), Err(TableError::Form)));
}

#[test]
fn an_answer_of_another_form_is_refused() {
    let device = number("253:0");
    let good = answer(device, HAS_TABLE, &[(0, "a", "1"), (9, "b", "2")]);
    let with = |at: usize, value: u32| {
        let mut bytes = good.clone();
        put(&mut bytes, at, &value.to_ne_bytes());
        parse(&bytes, device)
    };
    for (at, value) in [
        (DATA_START_AT, 0),
        (DATA_START_AT, u32::MAX),
        // Back to itself, and past the end.
        (HEADER_LEN + 20, 0),
        (HEADER_LEN + 20, u32::MAX),
    ] {
        assert!(
            matches!(with(at, value), Err(TableError::Form)),
            "{at} {value}"
        );
    }
    let many = [(0, "a", ""); MAX_TARGETS + 1];
    let read = |count: usize| parse(&answer(device, HAS_TABLE, &many[..count]), device);
    assert_eq!(
        read(MAX_TARGETS).map(|targets| targets.len()).ok(),
        Some(64)
    );
    assert!(matches!(read(MAX_TARGETS + 1), Err(TableError::Form)));
    for len in [0, HEADER_LEN - 1, HEADER_LEN + 30, HEADER_LEN + SPEC_LEN] {
        assert!(parse(&good[..len], device).is_err(), "{len}");
    }
}

proptest! {
    #[test]
    fn whatever_an_answer_says_reading_it_ends(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..600),
        start in 300_u32..330,
        count in 0_u32..70,
    ) {
        let device = number("253:0");
        put(&mut bytes, FLAGS_AT, &HAS_TABLE.to_ne_bytes());
        put(&mut bytes, DEVICE_AT, &encoded(device).to_ne_bytes());
        put(&mut bytes, DATA_START_AT, &start.to_ne_bytes());
        put(&mut bytes, TARGET_COUNT_AT, &count.to_ne_bytes());
        if let Ok(targets) = parse(&bytes, device) {
            prop_assert!(targets.len() <= MAX_TARGETS);
        }
    }
}
