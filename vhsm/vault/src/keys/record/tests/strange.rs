use super::super::trace::{self, Image, Store, recovered};
use super::super::{Family, KEY, KeyFields, NewVersion, VERSION, VersionFields};
use crate::keys::{Keys, OwnPolicy, Voucher};
use crate::tests::world::{Sequence, arenas, name};
use crate::{Draw, VaultLimits};
use nitride_protocol::{KeyState, KeyType, OperationSet, Origin};
use nitride_secmem::{COUNTERS, RecordId, RecordKind, SecretBuf};

const LIMITS: VaultLimits = VaultLimits {
    keys: 100,
    keys_per_uid: 100,
    expanded_len: 64 << 10,
};

fn image(public: Vec<u8>, secret: &[u8]) -> Image {
    Image {
        public,
        secret: secret.to_vec(),
        state: 0,
        counters: [0; COUNTERS],
    }
}

fn fields(of: &str, family: u8) -> KeyFields {
    KeyFields {
        name: name(of).to_owned(),
        key_type: KeyType::HmacSha256,
        origin: Origin::Generated,
        origin_uri: None,
        id: [family; 16],
        family: Family([family; 12]),
        created_secs: 0,
        maker: Some(1),
        born_under_rule: false,
        terms: OwnPolicy::of(OperationSet::ALL),
        former: Vec::new(),
    }
}

fn version() -> VersionFields {
    VersionFields {
        own: None,
        voucher: Voucher::Vault,
        was_unsealed: false,
        was_in_clear: false,
        told_lease_secs: None,
    }
}

fn version_id(family: u8, number: u32) -> (RecordKind, RecordId) {
    (VERSION, Family([family; 12]).record_id(number))
}

fn key_id(byte: u8) -> (RecordKind, RecordId) {
    (KEY, RecordId([byte; 16]))
}

/// A store with one sound key.
fn sound() -> Store {
    arenas();
    Store::from([
        (key_id(1), image(fields("sound", 1).encode().unwrap(), b"")),
        (
            version_id(1, 1),
            image(version().encode().unwrap(), &[1; 32]),
        ),
    ])
}

/// What is found, what is refused and how many records are kept untouched.
fn found(store: &Store) -> (Keys, Vec<String>, usize) {
    let (keys, refused) = Keys::new(LIMITS, recovered(store));
    let held = keys.held().len();
    (keys, refused, held)
}

#[test]
fn a_version_without_a_key_is_erased() {
    let mut store = sound();
    let orphan = image(version().encode().unwrap(), &[9; 32]);
    store.insert(version_id(7, 1), orphan);
    let (keys, refused, held) = found(&store);
    assert_eq!((keys.count().unwrap(), refused.len(), held), (1, 0, 0));
}

#[test]
fn what_is_not_understood_is_named_and_kept_with_all_that_may_be_its() {
    type Change = fn(&mut Store);
    let cases: [(&str, Change, usize, usize); 9] = [
        (
            "a record is not taken: no kind of record is 9",
            |store| {
                let id = RecordId([9; 16]);
                store.insert((RecordKind(9), id), image(vec![], b""));
            },
            1,
            1,
        ),
        (
            "a key is not taken: its format is 2, and this vault reads 1",
            |store| {
                store.insert(key_id(2), image(vec![0x81, 0x02], b""));
                let later = image(vec![0x81, 0x02], &[2; 32]);
                store.insert(version_id(2, 1), later);
            },
            1,
            2,
        ),
        (
            "a key is not taken: it is malformed",
            |store| {
                store.insert(key_id(2), image(vec![0xff], b""));
            },
            1,
            1,
        ),
        (
            "key sound is not taken: version 2: its format is 9, and this vault reads 1",
            |store| {
                store.insert(version_id(1, 2), image(vec![0x81, 0x09], &[2; 32]));
            },
            0,
            3,
        ),
        (
            "key sound is not taken: another record has its name",
            |store| {
                let twin = fields("sound", 2).encode().unwrap();
                store.insert(key_id(2), image(twin, b""));
                let public = version().encode().unwrap();
                store.insert(version_id(2, 1), image(public, &[2; 32]));
            },
            1,
            2,
        ),
        (
            "key tail is not taken: it has no version",
            |store| {
                // Of two keys that name one family, one has it.
                let other = fields("tail", 1).encode().unwrap();
                store.insert(key_id(2), image(other, b""));
            },
            1,
            1,
        ),
        (
            "key sound is not taken: no state is 7",
            |store| store.get_mut(&version_id(1, 1)).unwrap().state = 7,
            0,
            2,
        ),
        (
            "key sound is not taken: it has 65 versions, more than 64",
            |store| {
                for number in 2..=65 {
                    let public = version().encode().unwrap();
                    store.insert(version_id(1, number), image(public, &[1; 32]));
                }
            },
            0,
            66,
        ),
        (
            "key sound is not taken: version 1 is vouched for otherwise than its origin says",
            |store| {
                let public = VersionFields {
                    own: None,
                    voucher: Voucher::Service("main".into()),
                    was_unsealed: false,
                    was_in_clear: false,
                    told_lease_secs: None,
                };
                let public = public.encode().unwrap();
                store.insert(version_id(1, 1), image(public, &[1; 32]));
            },
            0,
            2,
        ),
    ];
    for (line, change, keys_left, held) in cases {
        let mut store = sound();
        change(&mut store);
        let (keys, refused, kept) = found(&store);
        assert!(
            refused.iter().any(|said| said == line),
            "{line}: {refused:?}"
        );
        assert_eq!(keys.count().unwrap(), keys_left, "{line}");
        assert_eq!(kept, held, "{line}");
    }
}

#[test]
fn material_that_is_lost_is_a_destroyed_version() {
    let mut store = sound();
    store.get_mut(&version_id(1, 1)).unwrap().secret.clear();
    let (keys, refused, _) = found(&store);
    assert!(refused.is_empty());
    let key = keys.find("sound").unwrap().unwrap();
    let body = key.read().unwrap();
    assert_eq!(body.state, KeyState::Destroyed);
    assert_eq!(body.versions[0].state, KeyState::Destroyed);
}

#[test]
fn records_in_any_order_make_the_same_keys() {
    let mut store = sound();
    for number in 2..10 {
        let public = version().encode().unwrap();
        store.insert(version_id(1, number), image(public, &[1; 32]));
    }
    let mut records = recovered(&store);
    let mut draw = Sequence(3);
    for at in (1..records.len()).rev() {
        let mut drawn = [0; 1];
        draw.fill(&mut drawn);
        records.swap(at, usize::from(drawn[0]) % (at + 1));
    }
    let (keys, refused) = Keys::new(LIMITS, records);
    assert!(refused.is_empty());
    let key = keys.find("sound").unwrap().unwrap();
    let numbers: Vec<_> = key
        .read()
        .unwrap()
        .versions
        .iter()
        .map(|v| v.number)
        .collect();
    assert_eq!(numbers, (1..10).collect::<Vec<_>>());
}

#[test]
fn a_key_that_cannot_be_written_takes_its_versions_with_it() {
    arenas();
    trace::begin();
    let mut draw = Sequence(7);
    let material = SecretBuf::copy_of(&[1; 32]).unwrap();
    let whole = fields("k", 1);
    let first = NewVersion {
        number: 1,
        state: KeyState::Enabled,
        fields: version(),
        key_type: whole.key_type,
        material: &material,
        since_boot_ms: 1,
    };
    let first = first.write(whole.family, None, &mut draw).unwrap();
    let too_long = KeyFields {
        origin_uri: Some("u".repeat(5 << 20)),
        ..whole
    };
    assert!(too_long.write(vec![first], &mut draw).is_err());
    let left: Vec<usize> = trace::steps().iter().map(Store::len).collect();
    assert_eq!(left, [0, 1, 0]);
}
