use super::*;
use crate::store::memory::MemoryStore;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::runtime::Runtime;

fn entry(kind: Kind, what: &str) -> Entry {
    Entry {
        kind,
        what: what.to_owned(),
        since_secs: 1,
        reason: "stolen".to_owned(),
    }
}

fn path(text: &str) -> ResourcePath {
    ResourcePath::parse(text).unwrap()
}

#[test]
fn what_is_revoked_is_seen_in_time_and_not_before_it_is_lifted_forgotten() {
    let (runtime, store) = (Runtime::new().unwrap(), MemoryStore::default());
    let hand = Arc::new(AtomicU64::new(100));
    let clock = Clock::Manual(hand.clone());
    let revocations = Revocations::default();
    let check = || {
        let list = runtime.block_on(revocations.now(&store, &clock)).unwrap();
        list.check_resource(&path("demo/key/one")).is_ok()
    };
    assert!(check());
    for kind in [(Kind::Tenant, "demo"), (Kind::Resource, "demo/key/one")] {
        let (kind, what) = kind;
        assert!(runtime.block_on(add(&store, entry(kind, what))).unwrap());
        assert!(!runtime.block_on(add(&store, entry(kind, what))).unwrap());
        hand.fetch_add(SEEN_WITHIN_MS / 1000, Ordering::SeqCst);
        assert!(!check(), "{what}");
        assert!(runtime.block_on(lift(&store, kind, what)).unwrap());
        assert!(!runtime.block_on(lift(&store, kind, what)).unwrap());
        hand.fetch_add(SEEN_WITHIN_MS / 1000, Ordering::SeqCst);
        assert!(check(), "{what}");
    }
}

#[test]
fn what_is_not_known_is_no_list() {
    let (runtime, store) = (Runtime::new().unwrap(), MemoryStore::default());
    let place = Place::from(&RecordName::parse(RECORD).unwrap());
    for bytes in [
        &b""[..],
        b"{}",
        b"{\"version\":2,\"revoked\":[]}",
        b"{\"version\":1,\"revoked\":[],\"x\":1}",
    ] {
        let bytes = Zeroizing::new(bytes.to_vec());
        runtime
            .block_on(store.write(&place, bytes, Expected::Any))
            .unwrap();
        let clock = Clock::Manual(Arc::new(AtomicU64::new(100)));
        let error = runtime
            .block_on(Revocations::default().now(&store, &clock))
            .unwrap_err();
        assert!(matches!(error, RevocationError::Malformed), "{error}");
    }
}

#[test]
fn what_could_never_match_is_not_revoked() {
    let (runtime, store) = (Runtime::new().unwrap(), MemoryStore::default());
    for (kind, what) in [
        (Kind::Vm, "snp"),
        (Kind::Vm, "snp.report_id"),
        (Kind::Vm, "snp.report_id="),
        (Kind::Image, "abacus.measurement=1"),
        (Kind::Tenant, "a/b"),
        (Kind::Tenant, ""),
        (Kind::Resource, "a/b"),
        (Kind::Resource, "kbs:///a/b/c"),
    ] {
        assert!(
            runtime.block_on(add(&store, entry(kind, what))).is_err(),
            "{what}"
        );
    }
    assert!(runtime.block_on(list(&store)).unwrap().is_empty());
}

#[test]
fn what_others_revoke_or_lift_is_told_once_it_is_seen_and_what_was_there_before_is_not() {
    let (runtime, store) = (Runtime::new().unwrap(), MemoryStore::default());
    let hand = Arc::new(AtomicU64::new(100));
    let clock = Clock::Manual(hand.clone());
    let revocations = Revocations::default();
    let look = || {
        hand.fetch_add(SEEN_WITHIN_MS / 1000, Ordering::SeqCst);
        runtime.block_on(revocations.now(&store, &clock)).unwrap();
        revocations.take_changes()
    };
    let change = |adds: bool, what: &str| {
        let changing = async {
            match adds {
                true => add(&store, entry(Kind::Tenant, what)).await,
                false => lift(&store, Kind::Tenant, what).await,
            }
        };
        assert!(runtime.block_on(changing).unwrap());
    };
    change(true, "before");
    assert_eq!(look(), []);
    change(true, "one");
    change(false, "before");
    let told = look();
    let told: Vec<(&str, bool)> = told
        .iter()
        .map(|change| (change.entry.what.as_str(), change.is_lifted))
        .collect();
    assert_eq!(told, [("one", false), ("before", true)]);
    assert_eq!(look(), []);
}
