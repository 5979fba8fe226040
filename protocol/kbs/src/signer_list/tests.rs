use super::*;
use crate::envelope::UnverifiedEnvelope;
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use proptest::prelude::*;

const KID: &[u8] = b"list-1";

fn key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

fn genuine(parts: &[&[u8]], signature: &[u8; 64]) -> bool {
    VerifyingKey::from(&key())
        .verify(&parts.concat(), &Signature::from_slice(signature).unwrap())
        .is_ok()
}

fn listed(first: u8) -> ListedKey {
    let mut point = [first; 65];
    point[0] = UNCOMPRESSED;
    ListedKey {
        point,
        from_secs: 0,
        until_secs: None,
    }
}

fn list() -> SignerList {
    SignerList {
        owner: "owner".to_owned(),
        serial: 2,
        previous: Some([3; 32]),
        created_secs: 1_767_225_600,
        keys: vec![
            listed(1),
            ListedKey {
                from_secs: 100,
                until_secs: Some(200),
                ..listed(2)
            },
        ],
    }
}

fn signed(list: &SignerList) -> Result<Vec<u8>, SignerListError> {
    let signature: Signature = key().sign(&to_be_signed(KID, list)?);
    assemble(KID, list, &signature.to_bytes().into())
}

fn read(bytes: &[u8]) -> Result<SignerList, SignerListError> {
    UnverifiedSignerList::parse(bytes)?.verified_by(genuine)
}

#[test]
fn a_list_says_what_was_signed() {
    let bytes = signed(&list()).unwrap();
    let unverified = UnverifiedSignerList::parse(&bytes).unwrap();
    assert_eq!(unverified.kid(), KID);
    assert_eq!(
        unverified.digest(),
        <[u8; 32]>::from(Sha256::digest(to_be_signed(KID, &list()).unwrap()))
    );
    assert_eq!(read(&bytes).unwrap(), list());
}

fn golden() -> Vec<u8> {
    let text = include_str!("../../golden/signer-list.hex").trim();
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}

/// RFC 6979, A.2.5.
const SIGNER: [u8; 32] = [
    0xC9, 0xAF, 0xA9, 0xD8, 0x45, 0xBA, 0x75, 0x16, 0x6B, 0x5C, 0x21, 0x57, 0x67, 0xB1, 0xD6, 0x93,
    0x4E, 0x50, 0xC3, 0xDB, 0x36, 0xE8, 0x9B, 0x12, 0x7B, 0x8A, 0x62, 0x2B, 0x12, 0x0F, 0x67, 0x21,
];

#[test]
fn another_implementations_list_is_ours_byte_for_byte() {
    let key = SigningKey::from_slice(&SIGNER).unwrap();
    let check = |parts: &[&[u8]], signature: &[u8; 64]| {
        let signature = Signature::from_slice(signature).unwrap();
        key.verifying_key()
            .verify(&parts.concat(), &signature)
            .is_ok()
    };
    let golden = golden();
    let read = UnverifiedSignerList::parse(&golden).unwrap();
    assert_eq!(read.kid(), KID);
    let read = read.verified_by(check).unwrap();
    assert_eq!((read.owner.as_str(), read.serial), ("acme", 2));
    assert_eq!(
        read.previous,
        Some(std::array::from_fn(|at| u8::try_from(at).unwrap()))
    );
    let point = key.verifying_key().to_sec1_point(false);
    assert_eq!(read.keys[0].point.as_slice(), point.as_bytes());
    assert_eq!((read.keys[0].from_secs, read.keys[0].until_secs), (0, None));
    let bounded = &read.keys[1];
    assert_eq!(
        (bounded.from_secs, bounded.until_secs),
        (1_767_225_600, Some(1_893_456_000))
    );
    let signature: Signature = key.sign(&to_be_signed(KID, &read).unwrap());
    let again = assemble(KID, &read, &signature.to_bytes().into());
    assert_eq!(again.unwrap(), golden);
}

#[test]
fn a_list_that_was_changed_is_refused() {
    let bytes = signed(&list()).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(read(&changed).is_err(), "byte {at}");
    }
}

#[test]
fn a_list_is_no_envelope_and_an_envelope_is_no_list() {
    let bytes = signed(&list()).unwrap();
    let envelope = UnverifiedEnvelope::parse(&bytes).unwrap();
    assert!(envelope.verified_by(genuine).is_err());
    let envelope = include_str!("../../golden/envelope.hex").trim();
    let envelope: Vec<u8> = (0..envelope.len() / 2)
        .map(|at| u8::from_str_radix(&envelope[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let list = UnverifiedSignerList::parse(&envelope).unwrap();
    assert!(matches!(
        list.verified_by(|_, _| true),
        Err(SignerListError::Malformed {
            part: "payload",
            ..
        })
    ));
}

#[test]
fn what_no_list_may_say_is_neither_written_nor_read() {
    let refused = |change: fn(&mut SignerList)| {
        let mut list = list();
        change(&mut list);
        signed(&list).unwrap_err().to_string()
    };
    type Change = (fn(&mut SignerList), &'static str);
    let cases: [Change; 8] = [
        (|list| list.owner.clear(), "owner"),
        (|list| list.owner = "o".repeat(MAX_OWNER_LEN + 1), "owner"),
        (|list| list.serial = 0, "serial"),
        (|list| list.serial = 1, "previous"),
        (|list| list.previous = None, "previous"),
        (|list| list.keys[0].point[0] = 2, "point"),
        (|list| list.keys[1].until_secs = Some(99), "until-secs"),
        (|list| list.keys[1].point = list.keys[0].point, "twice"),
    ];
    for (change, field) in cases {
        let told = refused(change);
        assert!(told.contains(field), "{told}");
    }
    // Who has the list key may write without asking here: it is held against the same when it is read.
    let (bytes, points) = (signed(&list()).unwrap(), list().keys);
    let (first, second) = (points[0].point, points[1].point);
    let at = |point: &[u8; 65]| {
        bytes
            .windows(65)
            .position(|window| window == point)
            .unwrap()
    };
    let mut doubled = bytes.clone();
    doubled[at(&second)..][..65].copy_from_slice(&first);
    let mut compressed = bytes.clone();
    compressed[at(&first)] = 2;
    for (changed, told) in [(doubled, "twice"), (compressed, "point")] {
        let unverified = UnverifiedSignerList::parse(&changed).unwrap();
        let refused = unverified.verified_by(|_, _| true).unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
    }
    let mut many = list();
    many.keys = (0..=64).map(listed).collect();
    assert!(signed(&many).is_err());
    many.keys.pop();
    assert_eq!(read(&signed(&many).unwrap()).unwrap(), many);
    let none = SignerList {
        keys: Vec::new(),
        ..list()
    };
    assert_eq!(read(&signed(&none).unwrap()).unwrap(), none);
}

#[test]
fn another_label_is_refused() {
    let bytes = signed(&list()).unwrap();
    let at = bytes
        .windows(LABEL.len())
        .position(|window| window == LABEL.as_bytes())
        .unwrap();
    let mut other = bytes;
    other[at + LABEL.len() - 1] = b'2';
    let unverified = UnverifiedSignerList::parse(&other).unwrap();
    assert!(matches!(
        unverified.verified_by(|_, _| true),
        Err(SignerListError::OtherLabel)
    ));
}

#[test]
fn more_bytes_than_any_list_has_are_refused_unread() {
    let refused = UnverifiedSignerList::parse(&[0; MAX_SIGNER_LIST_LEN + 1]);
    assert!(matches!(refused, Err(SignerListError::TooLong { .. })));
}

#[test]
fn a_key_counts_within_its_time_and_without_a_clock_only_if_it_has_none() {
    let bounded = list().keys[1].clone();
    for (now, counts) in [
        (0, false),
        (99, false),
        (100, true),
        (200, true),
        (201, false),
    ] {
        assert_eq!(bounded.counts_at(now), counts, "{now}");
    }
    assert!(listed(1).counts_at(0) && listed(1).counts_at(u64::MAX));
}

#[test]
fn the_cddl_states_these_bounds() {
    let cddl = include_str!("../../cddl/signer-list.cddl");
    for stated in [
        format!("At most {MAX_SIGNER_LIST_LEN} bytes in all."),
        format!("owner: tstr .size (1..{MAX_OWNER_LEN}),"),
        format!("keys: [0*{MAX_LISTED_KEYS} listed-key],"),
        format!("label: {LABEL:?},"),
        format!("serial: 1..{},", u64::MAX),
        format!("4 => bstr .size (1..{}),", crate::limits::MAX_KID_LEN),
    ] {
        assert!(cddl.contains(&stated), "{stated}");
    }
}

fn any_key() -> impl Strategy<Value = ListedKey> {
    (any::<[u8; 32]>(), any::<u32>(), any::<Option<u32>>()).prop_map(|(x, from, until)| {
        let mut point = [UNCOMPRESSED; 65];
        point[1..33].copy_from_slice(&x);
        let from_secs = u64::from(from);
        ListedKey {
            point,
            from_secs,
            until_secs: until.map(|until| from_secs + u64::from(until)),
        }
    })
}

fn any_list() -> impl Strategy<Value = SignerList> {
    let keys = proptest::collection::vec(any_key(), 0..=MAX_LISTED_KEYS);
    (
        "[a-z]{1,255}",
        1..=u64::MAX,
        any::<[u8; 32]>(),
        any::<u64>(),
        keys,
    )
        .prop_map(|(owner, serial, previous, created_secs, keys)| SignerList {
            owner,
            serial,
            previous: (serial > 1).then_some(previous),
            created_secs,
            keys,
        })
}

#[test]
fn an_error_over_a_bare_secret_repeats_none_of_it() {
    // It begins as a list does, and announces 0x0102030405060708 entries.
    let secret = [0xd2, 0x9b, 1, 2, 3, 4, 5, 6, 7, 8];
    let error = UnverifiedSignerList::parse(&secret).unwrap_err();
    let shown = format!("{error:?}");
    assert!(
        !shown.contains("72623859790382856") && shown.contains("entries"),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn any_list_reads_as_it_was_written(list in any_list()) {
        let bytes = signed(&list).unwrap();
        prop_assert_eq!(read(&bytes).unwrap(), list);
    }

    #[test]
    fn any_bytes_give_a_list_of_one_spelling_or_an_error(
        noise in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..300, list in any_list(),
    ) {
        let mut bytes = signed(&list).unwrap();
        let at = at % bytes.len();
        for (place, byte) in bytes[at..].iter_mut().zip(&noise) {
            *place = *byte;
        }
        for bytes in [&bytes, &noise] {
            let Ok(unverified) = UnverifiedSignerList::parse(bytes) else { continue };
            let (kid, signature) = (unverified.kid(), *unverified.frame.signature);
            if let Ok(list) = unverified.verified_by(|_, _| true) {
                prop_assert_eq!(&assemble(kid, &list, &signature).unwrap(), bytes);
            }
        }
    }
}
