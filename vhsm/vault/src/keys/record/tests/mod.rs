//! What a kill leaves, between any two changes of a record, and what is made of records that no
//! vault writes.

mod kills;
mod strange;

use super::codec::{CodecFault, KeyFields, VersionFields};
use super::trace::{Image, Store};
use super::{Family, KEY, VERSION};
use crate::keys::key::Former;
use crate::keys::{Keys, OwnPolicy, Owner, Voucher};
use crate::policy::{Rate, ReleaseTo};
use nitride_kbs::disk::DiskExpectation;
use nitride_protocol::{KeyNameBuf, KeyState, KeyType, Operation, OperationSet, Origin};
use proptest::prelude::*;
use std::ops::Bound;

/// Everything of the keys that anybody could notice, material included.
fn picture(keys: &Keys) -> Vec<String> {
    let all = keys.page(Bound::Unbounded, usize::MAX).unwrap();
    let of_key = |key: &std::sync::Arc<crate::keys::Key>| {
        let body = key.read().unwrap();
        let versions: Vec<_> = body
            .versions
            .iter()
            .map(|version| {
                (
                    (version.number, version.state, version.since_boot_ms()),
                    body.effective(version),
                    version.voucher.clone(),
                    version
                        .material()
                        .map(|held| held.record().expose().to_vec()),
                )
            })
            .collect();
        let about = (body.key_type, body.origin, &body.origin_uri, body.id);
        let state = (
            body.state,
            body.created_secs,
            body.born_under_rule,
            body.maker,
        );
        let said = (&body.terms, &body.former);
        format!("{} {about:?} {state:?} {said:?} {versions:?}", key.name())
    };
    all.iter().map(of_key).collect()
}

/// The records as they are now, counters included.
fn images(keys: &Keys) -> Store {
    let mut store = Store::new();
    for key in keys.page(Bound::Unbounded, usize::MAX).unwrap() {
        let body = key.read().unwrap();
        let versions = body.versions.iter().map(|version| version.held().record());
        for record in std::iter::once(&body.record).chain(versions) {
            store.insert((record.kind(), record.id()), Image::of(record));
        }
    }
    store
}

fn operations() -> impl Strategy<Value = OperationSet> {
    let all = Operation::ALL.to_vec();
    let len = all.len();
    proptest::sample::subsequence(all, 0..len).prop_map(|some| some.into_iter().collect())
}

fn names() -> impl Strategy<Value = Vec<KeyNameBuf>> {
    let name = "[a-z]{1,9}(/[a-z0-9]{1,9}){0,2}".prop_map(|name| name.parse().unwrap());
    proptest::collection::vec(name, 0..4)
}

fn recipients() -> impl Strategy<Value = Vec<ReleaseTo>> {
    let one = prop_oneof![
        "[a-z]{1,9}[.]service".prop_map(ReleaseTo::Unit),
        any::<u32>().prop_map(ReleaseTo::Uid),
        "[a-z]{1,9}".prop_map(ReleaseTo::Volume),
    ];
    proptest::collection::vec(one, 0..4)
}

/// A volume, known by a text.
pub(in crate::keys) fn disk(name: &str) -> DiskExpectation {
    let mut digest = [0; 32];
    digest[..name.len()].copy_from_slice(name.as_bytes());
    DiskExpectation {
        uuid: "7dfa3aba-96d9-4de6-90e8-45d3d2d0d897".to_owned(),
        cipher: "aes-xts-plain64".to_owned(),
        key_bits: 512,
        offset: 16_777_216,
        len: None,
        sector_len: 4096,
        integrity: None,
        digest,
    }
}

pub(in crate::keys) fn policies() -> impl Strategy<Value = OwnPolicy> {
    let rate = (any::<u32>(), 1..u32::MAX).prop_map(|(uses, per_secs)| Rate { uses, per_secs });
    (
        operations(),
        proptest::option::of(recipients()),
        any::<[Option<u64>; 4]>(),
        proptest::option::of(rate),
        proptest::collection::vec("[a-z]{1,9}", 0..3),
        proptest::option::of(names()),
        any::<Option<u32>>(),
        proptest::option::of(proptest::collection::vec("[a-z]{1,3}", 0..3)),
    )
        .prop_map(
            |(operations, release_to, numbers, rate, gates, keys, min_version, disks)| {
                let [lease_secs, not_before, not_after, max_uses] = numbers;
                OwnPolicy {
                    operations,
                    release_to,
                    lease_secs,
                    not_before,
                    not_after,
                    max_uses,
                    rate,
                    gates,
                    wrappable_by: keys,
                    min_version,
                    disks: disks.map(|disks| disks.iter().map(|name| disk(name)).collect()),
                }
            },
        )
}

fn former() -> impl Strategy<Value = Former> {
    let state = prop_oneof![Just(KeyState::Disabled), Just(KeyState::Destroyed)];
    ("[a-z:/]{0,40}", any::<u32>(), state).prop_map(|(origin_uri, number, state)| Former {
        origin_uri,
        number,
        state,
    })
}

fn key_fields() -> impl Strategy<Value = KeyFields> {
    (
        names().prop_filter_map("a key has a name", |names| names.into_iter().next()),
        proptest::sample::select(KeyType::ALL.to_vec()),
        proptest::sample::select(Origin::ALL.to_vec()),
        proptest::option::of("[a-z:/]{0,40}"),
        any::<([u8; 16], [u8; 12], u64, Option<u32>, bool)>(),
        policies(),
        proptest::collection::vec(former(), 0..4),
    )
        .prop_map(
            |(name, key_type, origin, origin_uri, drawn, terms, former)| {
                let (id, family, created_secs, maker, born_under_rule) = drawn;
                KeyFields {
                    name,
                    key_type,
                    origin,
                    origin_uri,
                    id,
                    family: Family(family),
                    created_secs,
                    maker,
                    born_under_rule,
                    terms,
                    former,
                }
            },
        )
}

fn version_fields() -> impl Strategy<Value = VersionFields> {
    let owner = (any::<u8>(), proptest::option::of("[a-z]{0,20}")).prop_map(|(byte, tenant)| {
        let point = [byte; 65];
        Voucher::Owner(Box::new(Owner { point, tenant }))
    });
    let voucher = prop_oneof![
        Just(Voucher::Vault),
        "[a-z]{0,20}".prop_map(Voucher::Service),
        owner
    ];
    let own = proptest::option::of(policies());
    let lease = proptest::option::of(any::<u64>());
    let fields = (own, voucher, any::<bool>(), any::<bool>(), lease);
    fields.prop_map(
        |(own, voucher, was_unsealed, was_in_clear, lease)| VersionFields {
            own: own.map(Box::new),
            voucher,
            was_unsealed,
            was_in_clear,
            told_lease_secs: lease.filter(|_| was_in_clear),
        },
    )
}

proptest! {
    #[test]
    fn fields_read_as_they_were_written(key in key_fields(), version in version_fields()) {
        let written = key.encode().unwrap();
        prop_assert_eq!(KeyFields::decode(&written), Ok(key));
        let again = version.encode().unwrap();
        prop_assert_eq!(VersionFields::decode(&again), Ok(version));
    }

    #[test]
    fn what_is_read_has_one_spelling(
        key in key_fields(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = key.encode().unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = KeyFields::decode(&bytes) {
            prop_assert_eq!(read.encode().unwrap(), bytes);
        }
    }

    #[test]
    fn what_is_cut_or_goes_on_is_not_read(version in version_fields(), more in any::<u8>()) {
        let mut bytes = version.encode().unwrap();
        for len in 0..bytes.len() {
            prop_assert!(VersionFields::decode(&bytes[..len]).is_err());
        }
        bytes.push(more);
        prop_assert!(VersionFields::decode(&bytes).is_err());
    }
}

#[test]
fn another_format_is_told_from_what_is_malformed() {
    let later = CodecFault::UnknownFormat { format: 3 };
    assert_eq!(VersionFields::decode(&[0x84, 0x03, 1, 2, 3]), Err(later));
    // A key has no such form.
    let later = CodecFault::UnknownFormat { format: 2 };
    assert_eq!(KeyFields::decode(&[0x8c, 0x02]), Err(later));
    let later = CodecFault::UnknownFormat { format: 100 };
    assert_eq!(KeyFields::decode(&[0x81, 0x18, 0x64]), Err(later));
    let malformed = VersionFields::decode(&[0x82, 0x01, 0xf6]);
    assert!(matches!(malformed, Err(CodecFault::Malformed(_))));
}

#[test]
fn a_version_in_the_clear_has_a_field_more_and_one_spelling() {
    let blind = [0x83, 0x01, 0xf6, 0xf6];
    let fields = VersionFields::decode(&blind).unwrap();
    assert!(!fields.was_in_clear);
    let marked = [0x84, 0x01, 0xf6, 0xf6, 0xf5];
    let fields = VersionFields::decode(&marked).unwrap();
    assert!(fields.was_in_clear);
    assert_eq!(fields.told_lease_secs, None);
    assert_eq!(fields.encode().unwrap(), marked);
    let told = [0x85, 0x01, 0xf6, 0xf6, 0xf5, 0x0a];
    let fields = VersionFields::decode(&told).unwrap();
    assert_eq!(fields.told_lease_secs, Some(10));
    assert_eq!(fields.encode().unwrap(), told);
    for spelled in [
        [0x84, 0x01, 0xf6, 0xf6, 0xf4],
        [0x83, 0x01, 0xf6, 0xf6, 0xf5],
    ] {
        assert!(VersionFields::decode(&spelled).is_err());
    }
}

#[test]
fn the_kinds_are_what_stores_have() {
    assert_eq!((KEY.0, VERSION.0, super::GROUP.0), (1, 2, 3));
}

#[test]
fn the_fuzzer_begins_with_records_that_are_read() {
    let seeds = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fuzz/seeds/records"
    );
    for seed in std::fs::read_dir(seeds).unwrap() {
        let path = seed.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let again = crate::record_written_again(&bytes);
        assert_eq!(again, Some(bytes), "{}", path.display());
    }
}
