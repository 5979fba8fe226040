use super::*;
use crate::store::memory::MemoryStore;
use crate::store::{Listing, Pending, Resource, Stored, Under, Version};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

fn entry(kind: Kind, what: &str) -> Entry {
    Entry {
        kind,
        what: what.to_owned(),
        since_secs: 1,
        reason: "stolen".to_owned(),
    }
}

fn new_store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::default())
}

fn path(text: &str) -> ResourcePath {
    ResourcePath::parse(text).unwrap()
}

#[test]
fn what_is_revoked_is_seen_in_time_and_not_before_it_is_lifted_forgotten() {
    let (runtime, store) = (Runtime::new().unwrap(), new_store());
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
        assert!(
            runtime
                .block_on(add(store.as_ref(), entry(kind, what)))
                .unwrap()
        );
        assert!(
            !runtime
                .block_on(add(store.as_ref(), entry(kind, what)))
                .unwrap()
        );
        hand.fetch_add(SEEN_WITHIN_MS / 1000, Ordering::SeqCst);
        assert!(!check(), "{what}");
        assert!(runtime.block_on(lift(store.as_ref(), kind, what)).unwrap());
        assert!(!runtime.block_on(lift(store.as_ref(), kind, what)).unwrap());
        hand.fetch_add(SEEN_WITHIN_MS / 1000, Ordering::SeqCst);
        assert!(check(), "{what}");
    }
}

#[test]
fn what_is_not_known_is_no_list() {
    let (runtime, store) = (Runtime::new().unwrap(), new_store());
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
        assert!(matches!(*error, RevocationError::Malformed), "{error}");
    }
}

#[test]
fn what_could_never_match_is_not_revoked() {
    let (runtime, store) = (Runtime::new().unwrap(), MemoryStore::default());
    let measurement = "c7".repeat(48);
    let upper = measurement.to_uppercase();
    for (kind, what) in [
        (Kind::Vm, "snp"),
        (Kind::Vm, "snp.chip_id"),
        (Kind::Vm, "snp.chip_id="),
        (Kind::Vm, "snp=1"),
        (Kind::Image, "abacus.measurement=1"),
        (
            Kind::Image,
            format!("snp.measurment={measurement}").as_str(),
        ),
        (Kind::Image, format!("snp.measurement={upper}").as_str()),
        (
            Kind::Image,
            format!("snp.measurement={}", &upper[2..]).as_str(),
        ),
        (
            Kind::Image,
            format!("snp.measurement=0x{measurement}").as_str(),
        ),
        (
            Kind::Image,
            format!("snp.measurement ={measurement}").as_str(),
        ),
        (
            Kind::Image,
            format!("az-snp-vtpm.measurement={measurement}").as_str(),
        ),
        (Kind::Image, "snp.covers=kernel"),
        (Kind::Image, "snp.guest_svn=01"),
        (Kind::Image, "snp.launch_tcb={}"),
        (Kind::Tenant, "a/b"),
        (Kind::Tenant, ""),
        (Kind::Tenant, "kbs:///a"),
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
    let (runtime, store) = (Runtime::new().unwrap(), new_store());
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
                true => add(store.as_ref(), entry(Kind::Tenant, what)).await,
                false => lift(store.as_ref(), Kind::Tenant, what).await,
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

/// A machine that is named by them comes back by starting again.
#[test]
fn what_a_restart_undoes_is_not_revoked() {
    let (runtime, store) = (Runtime::new().unwrap(), MemoryStore::default());
    let id = "9f".repeat(32);
    for what in [
        format!("snp.report_id={id}"),
        format!("az-snp-vtpm.hardware.report_id={id}"),
        format!("snp.report_data={id}{id}"),
        "tpm.restart_count=1".to_owned(),
    ] {
        let error = runtime.block_on(add(&store, entry(Kind::Vm, &what)));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("claims that stay"), "{error}");
    }
}

/// The claims of a machine of Azure's, whose hardware and PCRs lie in objects, beside a device's.
#[test]
fn what_lies_in_an_object_is_revoked_by_its_path() {
    let (chip, pcr) = ("c1".repeat(64), "04".repeat(32));
    let submod = |tee: &str, claims: Value| -> Submod {
        let evidence = serde_json::json!({ tee: claims });
        let submod = serde_json::json!({
            "ear.status": "affirming",
            "ear.veraison.annotated-evidence": evidence,
        });
        serde_json::from_value(submod).unwrap()
    };
    let machine = submod(
        "az-snp-vtpm",
        serde_json::json!({
            "vm_unique_id": "68AB9733-1C00",
            "hardware": { "chip_id": chip, "launch_tcb": { "snp": 8 }, "vmpl": 0 },
            "pcrs": { "pcr04": pcr },
        }),
    );
    let device = submod("nvidia", serde_json::json!({ "device_id": "11" }));
    let submods = [machine, device];
    for (what, is_revoked) in [
        ("az-snp-vtpm.vm_unique_id=68AB9733-1C00".to_owned(), true),
        (format!("az-snp-vtpm.hardware.chip_id={chip}"), true),
        (format!("az-snp-vtpm.pcrs.pcr04={pcr}"), true),
        ("az-snp-vtpm.hardware.vmpl=0".to_owned(), true),
        ("nvidia.device_id=11".to_owned(), true),
        (format!("az-snp-vtpm.pcrs.pcr05={pcr}"), false),
        (format!("snp.chip_id={chip}"), false),
        ("nvidia.device_id=1".to_owned(), false),
    ] {
        let (runtime, store) = (Runtime::new().unwrap(), MemoryStore::default());
        assert!(
            runtime
                .block_on(add(&store, entry(Kind::Vm, &what)))
                .unwrap()
        );
        let list = RevokedList::of(&runtime.block_on(list(&store)).unwrap());
        let checked = list.check_claims(&submods);
        assert_eq!(checked.is_err(), is_revoked, "{what}");
    }
}

/// A store that takes its time and is away, or has nothing.
#[derive(Debug)]
struct Slow {
    is_away: bool,
    asked: AtomicUsize,
}

const SLOW: Duration = Duration::from_millis(300);

impl Store for Slow {
    fn read<'a>(&'a self, _: &'a Place) -> Pending<'a, Option<Stored>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            sleep(SLOW).await;
            match self.is_away {
                true => Err(StoreError::ShuttingDown),
                false => Ok(None),
            }
        })
    }

    fn write<'a>(&'a self, _: &'a Place, _: Resource, _: Expected) -> Pending<'a, Version> {
        Box::pin(async { Err(StoreError::ShuttingDown) })
    }

    fn delete<'a>(&'a self, _: &'a Place, _: Expected) -> Pending<'a, bool> {
        Box::pin(async { Err(StoreError::ShuttingDown) })
    }

    fn erase_older<'a>(&'a self, _: &'a Place) -> Pending<'a, ()> {
        Box::pin(async { Err(StoreError::ShuttingDown) })
    }

    fn count<'a>(&'a self, _: &'a RecordName) -> Pending<'a, usize> {
        Box::pin(async { Err(StoreError::ShuttingDown) })
    }

    fn list<'a>(&'a self, _: Under<'a>) -> Pending<'a, Listing> {
        Box::pin(async { Err(StoreError::ShuttingDown) })
    }
}

fn slow(is_away: bool) -> (Arc<Slow>, Arc<dyn Store>) {
    let asked = AtomicUsize::new(0);
    let slow = Arc::new(Slow { is_away, asked });
    (slow.clone(), slow)
}

#[test]
fn while_the_store_is_away_nobody_waits_for_more_than_one_look() {
    let (slow, store) = slow(true);
    let (revocations, clock) = (Arc::new(Revocations::default()), Clock::system());
    Runtime::new().unwrap().block_on(async {
        // Who hangs up does not have the others begin anew.
        let impatient = revocations.now(&store, &clock);
        assert!(timeout(SLOW / 10, impatient).await.is_err());
        let begun = Instant::now();
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let (revocations, store, clock) = (revocations.clone(), store.clone(), clock.clone());
            asking.spawn(async move { revocations.now(&store, &clock).await.is_err() });
        }
        assert!(asking.join_all().await.iter().all(|is_refused| *is_refused));
        assert!(begun.elapsed() < 2 * SLOW, "{:?}", begun.elapsed());
    });
    assert_eq!(slow.asked.load(Ordering::SeqCst), 1);
}

#[test]
fn a_look_that_began_too_long_ago_is_followed_by_another() {
    let (slow, store) = slow(false);
    let hand = Arc::new(AtomicU64::new(100));
    let (revocations, clock) = (Revocations::default(), Clock::Manual(hand.clone()));
    Runtime::new().unwrap().block_on(async {
        let early = revocations.now(&store, &clock);
        let late = async {
            sleep(SLOW / 10).await;
            hand.fetch_add(SEEN_WITHIN_MS / 1000, Ordering::SeqCst);
            revocations.now(&store, &clock).await
        };
        let (early, late) = tokio::join!(early, late);
        assert!(early.is_ok() && late.is_ok());
    });
    assert_eq!(slow.asked.load(Ordering::SeqCst), 2);
}

#[test]
fn a_full_list_says_what_makes_room_and_takes_back_what_is_lifted() {
    let (runtime, store) = (Runtime::new().unwrap(), MemoryStore::default());
    let place = Place::from(&RecordName::parse(RECORD).unwrap());
    let entries = (0..3000).map(|number| Entry {
        reason: "r".repeat(MAX_REASON_LEN - 60),
        ..entry(Kind::Tenant, &format!("tenant-{number}"))
    });
    let mut form = ListForm {
        version: VERSION,
        revoked: entries.collect(),
    };
    while serde_json::to_vec(&form).unwrap().len() > MAX_RECORD_LEN {
        form.revoked.pop();
    }
    let bytes = Zeroizing::new(serde_json::to_vec(&form).unwrap());
    let written = store.write(&place, bytes, Expected::Absent);
    runtime.block_on(written).unwrap();
    let new = || Entry {
        reason: "r".repeat(MAX_REASON_LEN),
        ..entry(Kind::Tenant, "another")
    };
    let error = runtime.block_on(add(&store, new())).unwrap_err();
    assert!(matches!(error, RevocationError::Full { .. }), "{error}");
    assert!(
        error.to_string().contains("a tenant in the place of"),
        "{error}"
    );
    for tenant in ["tenant-0", "tenant-1"] {
        assert!(
            runtime
                .block_on(lift(&store, Kind::Tenant, tenant))
                .unwrap()
        );
    }
    assert!(runtime.block_on(add(&store, new())).unwrap());
}
