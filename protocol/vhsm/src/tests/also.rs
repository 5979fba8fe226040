//! What a question may ask for beside its answer, and what an answer has where it is marked.

use super::encoded;
use super::hostile::refused;
use crate::agent::{NextRound, PlaintextResource, RoundCause, RoundOrder};
use crate::application::{ListEntry, StatusRequest, VersionInfo};
use crate::{DecodeError, KeyName, KeyState, KeyType, Message, Reader};

#[test]
fn a_question_asks_for_what_there_is_beside_its_answer_or_for_nothing_more() {
    assert_eq!(
        refused::<NextRound>(b"\x81\x65cause\xf5"),
        DecodeError::TrailingBytes { at: 7 }
    );
    for other in [&b"\x81\x67signers"[..], b"\x81\x60"] {
        let field = "also";
        let expected = DecodeError::OutOfRange { at: 1, field };
        assert_eq!(refused::<NextRound>(other), expected);
    }
    let field = "also-signers";
    assert_eq!(
        refused::<StatusRequest>(b"\x81\x65cause"),
        DecodeError::OutOfRange { at: 1, field }
    );
    let asked = |packet| {
        let asked = NextRound::decode_last(Reader::new(packet)).unwrap();
        (asked.also_cause, asked.takes_plaintext)
    };
    assert_eq!(asked(b"\x81\x65cause"), (true, false));
    assert_eq!(asked(b"\x81\x69plaintext"), (false, true));
    assert_eq!(asked(b"\x82\x65cause\x69plaintext"), (true, true));
    for (again, at) in [
        (&b"\x82\x69plaintext\x65cause"[..], 11),
        (b"\x82\x65cause\x65cause", 7),
    ] {
        let expected = DecodeError::OutOfRange { at, field: "also" };
        assert_eq!(refused::<NextRound>(again), expected);
    }
    let asked = StatusRequest::decode_last(Reader::new(b"\x81\x67signers"));
    assert!(asked.unwrap().also_signers);
}

/// `encoded`, marked by hand: with the number of its entries, and a last one.
fn marked(encoded: &[u8], entries: u8, last: u8) -> Vec<u8> {
    let mut marked = encoded.to_vec();
    marked[0] = 0x80 | entries;
    marked.push(last);
    marked
}

#[test]
fn a_mark_is_there_or_not_and_has_one_spelling() {
    let out_of_range = |at, field| DecodeError::OutOfRange { at, field };
    let info = |plaintext_courier| VersionInfo {
        version: 1,
        state: KeyState::Enabled,
        uses: 0,
        plaintext_courier,
    };
    let plain = encoded(&info(false));
    assert_eq!(marked(&plain, 4, 0xf5), encoded(&info(true)));
    let at = plain.len();
    let spelled = marked(&plain, 4, 0xf4);
    let expected = out_of_range(at, "plaintext-courier");
    assert_eq!(refused::<VersionInfo>(&spelled), expected);
    let entry = |plaintext_courier| ListEntry {
        key: KeyName::parse("a").unwrap(),
        key_type: KeyType::Secret,
        state: KeyState::Enabled,
        newest_version: 1,
        plaintext_courier,
    };
    let plain = encoded(&entry(false));
    assert_eq!(marked(&plain, 5, 0xf5), encoded(&entry(true)));
    let spelled = marked(&plain, 5, 0xf4);
    let expected = out_of_range(plain.len(), "plaintext-courier");
    assert_eq!(refused::<ListEntry<'_>>(&spelled), expected);
}

#[test]
fn what_the_agent_read_is_kept_for_a_second_at_least_or_nothing_is_said() {
    let read = |lease_secs| {
        encoded(&PlaintextResource {
            round: [0; 16],
            resource: "a/b/c",
            version: 1,
            lease_secs,
            material: b"m",
        })
    };
    for lease_secs in [None, Some(1)] {
        let bytes = read(lease_secs);
        let read = PlaintextResource::decode_last(Reader::new(&bytes)).unwrap();
        assert_eq!(read.lease_secs, lease_secs);
    }
    let bytes = read(Some(0));
    let at = bytes.len() - 3;
    let field = "lease-secs";
    assert_eq!(
        refused::<PlaintextResource<'_>>(&bytes),
        DecodeError::OutOfRange { at, field }
    );
}

#[test]
fn an_order_says_that_it_is_in_the_clear_where_it_is() {
    let order = |cause, plaintext| {
        encoded(&RoundOrder {
            round: [0; 16],
            service: "s",
            tee: "t",
            resources: vec![],
            result_wanted: false,
            budget_ms: 1,
            cause,
            plaintext,
        })
    };
    let (plain, cause) = (order(None, false), Some(RoundCause::Request));
    assert_eq!((plain[0], order(cause, false)[0]), (0x86, 0x87));
    for (cause, wire) in [(None, 0xf6), (cause, 0x00)] {
        let in_clear = order(cause, true);
        let said = marked(&marked(&plain, 7, wire), 8, 0xf5);
        assert_eq!(in_clear, said);
        let read = RoundOrder::decode_last(Reader::new(&in_clear)).unwrap();
        assert_eq!((read.cause, read.plaintext), (cause, true));
        // Neither `false`, nor no cause where nothing follows.
        let spelled = marked(&marked(&plain, 7, wire), 8, 0xf4);
        let at = plain.len() + 1;
        let field = "plaintext";
        assert_eq!(
            refused::<RoundOrder<'_>>(&spelled),
            DecodeError::OutOfRange { at, field }
        );
    }
    refused::<RoundOrder<'_>>(&marked(&plain, 7, 0xf6));
}
