//! Logs of every shape, and those that are none.

use super::*;
use proptest::prelude::*;

/// A log's first event, which declares `algorithms`.
fn spec_id(algorithms: &[(u16, u16)]) -> Vec<u8> {
    let mut data = SPEC_ID_SIGNATURE.to_vec();
    data.extend([0, 0, 0, 0, 0, 2, 0, 2]);
    data.extend(u32::try_from(algorithms.len()).unwrap().to_le_bytes());
    for (algorithm, len) in algorithms {
        data.extend(algorithm.to_le_bytes());
        data.extend(len.to_le_bytes());
    }
    data.push(0);
    let mut event = [1u32.to_le_bytes(), 3u32.to_le_bytes()].concat();
    event.extend([0; 20]);
    event.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    event.extend(data);
    event
}

fn event(register: u32, kind: u32, digests: &[(u16, &[u8])], data: &[u8]) -> Vec<u8> {
    let mut event = [register.to_le_bytes(), kind.to_le_bytes()].concat();
    event.extend(u32::try_from(digests.len()).unwrap().to_le_bytes());
    for (algorithm, digest) in digests {
        event.extend(algorithm.to_le_bytes());
        event.extend(*digest);
    }
    event.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    event.extend(data);
    event
}

#[test]
fn a_log_gives_its_events_in_order() {
    let both: &[(u16, &[u8])] = &[(SHA384, &[1; 48]), (0xb, &[2; 32])];
    let swapped: &[(u16, &[u8])] = &[(0xb, &[4; 32]), (SHA384, &[3; 48])];
    let parts = [
        spec_id(&[(0xb, 32), (SHA384, 48)]),
        event(1, 0x8000_0001, both, b"first"),
        event(3, EV_NO_ACTION, swapped, b""),
    ];
    for fill in [&[][..], &[0xff; 64], &[0; 9]] {
        let bytes = [parts.concat(), fill.to_vec()].concat();
        let log = EventLog::parse(&bytes).unwrap();
        let [first, second] = log.events() else {
            panic!("two events")
        };
        assert_eq!((first.register, first.kind), (1, 0x8000_0001));
        assert_eq!(first.data, b"first");
        assert_eq!(first.digest(SHA384), Some(&[1u8; 48][..]));
        assert_eq!(first.digest(0xb), Some(&[2u8; 32][..]));
        assert_eq!(first.digest(4), None);
        assert!(first.is_extended());
        assert_eq!(second.digest(SHA384), Some(&[3u8; 48][..]));
        assert!(!second.is_extended());
    }
}

#[test]
fn a_log_without_events_is_a_log() {
    let log = spec_id(&[(SHA384, 48)]);
    assert!(EventLog::parse(&log).unwrap().events().is_empty());
}

#[test]
fn a_first_event_of_another_kind_is_refused() {
    let good = spec_id(&[(SHA384, 48)]);
    let mut other_type = good.clone();
    other_type[4] = 8;
    let mut other_signature = good.clone();
    other_signature[46] = b'2';
    let many: Vec<(u16, u16)> = (0..9).map(|algorithm| (algorithm, 32)).collect();
    let logs = [
        (Vec::new(), "not whole"),
        (good[..31].to_vec(), "not whole"),
        (other_type, "EV_NO_ACTION"),
        (other_signature, "signature"),
        (spec_id(&[]), "no algorithm"),
        (spec_id(&many), "no algorithm"),
        (spec_id(&[(SHA384, 48), (SHA384, 48)]), "twice"),
        (spec_id(&[(SHA384, 32)]), "length"),
        (spec_id(&[(0xb, 0)]), "length"),
        (spec_id(&[(0xb, 65)]), "length"),
    ];
    for (log, word) in logs {
        let error = EventLog::parse(&log).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn events_that_are_not_whole_or_not_as_declared_are_refused() {
    let head = spec_id(&[(0xb, 32), (SHA384, 48)]);
    let both: &[(u16, &[u8])] = &[(0xb, &[2; 32]), (SHA384, &[1; 48])];
    let whole = event(1, 1, both, b"data");
    for cut in 1..whole.len() {
        let log = [head.clone(), whole[..cut].to_vec()].concat();
        let found = EventLog::parse(&log).map(|log| log.events().len());
        assert_eq!(found, Err(LogMalformed::Truncated { index: 0 }), "{cut}");
    }
    for digests in [
        &[(0xb, &[2; 32][..])][..],
        &[(0xb, &[2; 32]), (0xb, &[2; 32])],
        &[(0xb, &[2; 32]), (4, &[2; 20])],
        &[(0xb, &[2; 32]), (SHA384, &[1; 48]), (4, &[2; 20])],
    ] {
        let log = [head.clone(), whole.clone(), event(1, 1, digests, b"")].concat();
        let found = EventLog::parse(&log).map(|log| log.events().len());
        assert_eq!(found, Err(LogMalformed::Digests { index: 1 }));
    }
}

#[test]
fn an_event_that_claims_more_than_the_log_holds_is_refused() {
    let mut log = spec_id(&[(SHA384, 48)]);
    log.extend(event(1, 1, &[(SHA384, &[1; 48])], b""));
    let at = log.len() - 4;
    log[at..].copy_from_slice(&u32::MAX.to_le_bytes());
    let found = EventLog::parse(&log).map(|log| log.events().len());
    assert_eq!(found, Err(LogMalformed::Truncated { index: 0 }));
}

#[test]
fn too_long_a_log_and_too_many_events_are_refused() {
    let log = [spec_id(&[(4, 1)]), vec![0xff; MAX_LOG_LEN]].concat();
    let found = EventLog::parse(&log).map(|log| log.events().len());
    assert_eq!(found, Err(LogMalformed::TooLong { len: log.len() }));
    let mut log = spec_id(&[(4, 1)]);
    for _ in 0..MAX_EVENTS {
        log.extend(event(1, 1, &[(4, &[7])], b""));
    }
    assert_eq!(EventLog::parse(&log).unwrap().events().len(), MAX_EVENTS);
    log.extend(event(1, 1, &[(4, &[7])], b""));
    let found = EventLog::parse(&log).map(|log| log.events().len());
    assert_eq!(found, Err(LogMalformed::TooMany));
}

proptest! {
    #[test]
    fn any_bytes_are_a_log_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = EventLog::parse(&bytes);
        let _ = EventLog::parse(&[spec_id(&[(SHA384, 48)]), bytes].concat());
    }

    #[test]
    fn any_change_of_a_log_is_a_log_or_an_error(index in 0usize..300, byte in any::<u8>()) {
        let mut log = spec_id(&[(SHA384, 48)]);
        log.extend(event(1, 1, &[(SHA384, &[1; 48])], b"some data"));
        log.extend(event(2, 4, &[(SHA384, &[2; 48])], b""));
        log.extend([0xff; 32]);
        let index = index % log.len();
        log[index] = byte;
        if let Ok(log) = EventLog::parse(&log) {
            prop_assert!(log.events().len() <= 4);
        }
    }
}
