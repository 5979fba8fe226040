//! A replica and a store that was put back, changed, or does not answer.

use super::*;
use crate::policy_set::MAX_DOCUMENT_LEN;
use crate::store::{Expected, Place, Resource};
use std::time::{Duration, Instant};

/// Puts what a record held before in its place again.
fn put_back(world: &World, name: &str, bytes: Resource) {
    let place = Place::from(&RecordName::parse(name).unwrap());
    let writing = world.service.store.write(&place, bytes, Expected::Any);
    world.store(writing).unwrap();
}

fn record(world: &World, name: &str) -> Resource {
    let place = Place::from(&RecordName::parse(name).unwrap());
    let read = world.store(world.service.store.read(&place));
    read.unwrap().unwrap().bytes
}

#[test]
fn a_set_that_was_put_back_is_refused_and_the_newer_one_stays_in_force() {
    let world = governed();
    world.put(PATH, SECRET);
    let open = record(&world, "policy/set");
    put(
        &world,
        "everything",
        "policies/resource",
        TOML,
        "version = 1\n",
        None,
    );
    assert!(!is_served(&world));
    for (bytes, word) in [
        (open.to_vec(), "it was put back"),
        (b"{}".to_vec(), "no set of policies"),
        (
            // Of the serial that is in force, and another one.
            String::from_utf8(open.to_vec())
                .unwrap()
                .replace("\"serial\":2", "\"serial\":3")
                .into(),
            "than it had",
        ),
    ] {
        put_back(&world, "policy/set", Resource::new(bytes));
        world.look();
        let watch = world.service.policy_watch.as_ref().unwrap();
        let objections = watch.objections(world.service.clock.monotonic_ms());
        assert!(objections.concat().contains(word), "{objections:?}");
        assert!(watch.is_behind());
        assert!(!is_served(&world));
        // Nor is it built upon.
        let refused = put(&world, "everything", "policies/resource", TOML, RULES, None);
        refused.assert_refused(503, "StoreError");
    }
}

#[test]
fn a_text_that_was_swapped_is_none_of_the_set_s() {
    let store = store();
    let world = replica(&store);
    put(
        &world,
        "everything",
        "policies/attestation",
        TOML,
        ATTESTATION,
        None,
    );
    put(
        &world,
        "everything",
        "policies/resource",
        TOML,
        "version = 1\n",
        None,
    );
    let texts = RecordName::parse("policy/text").unwrap();
    let places = world
        .store(store.list(Under::Records(&texts)))
        .unwrap()
        .places;
    for place in &places {
        let writing = store.write(place, Resource::new(RULES.into()), Expected::Any);
        world.store(writing).unwrap();
    }
    let fresh = replica(&store);
    let objections = fresh.service.policy_watch.as_ref().unwrap().objections(0);
    assert!(
        objections.concat().contains("is another one"),
        "{objections:?}"
    );
    assert!(fresh.service.current().judgement.is_none());
}

#[test]
fn a_replica_that_cannot_look_says_so_in_time() {
    let world = governed();
    let watch = world.service.policy_watch.as_ref().unwrap();
    world.look();
    let now_ms = world.service.clock.monotonic_ms();
    assert!(watch.objections(now_ms + 4999).is_empty());
    let late = watch.objections(now_ms + 5000);
    assert!(
        late.concat().contains("not looked for within 5 s"),
        "{late:?}"
    );
    let empty = replica(&store());
    let watch = empty.service.policy_watch.as_ref().unwrap();
    let objections = watch.objections(empty.service.clock.monotonic_ms());
    assert!(
        objections
            .concat()
            .contains("the store has no policies/attestation")
    );
}

#[test]
fn sets_are_read_one_at_a_time_and_guests_wait_for_none() {
    let world = governed();
    world.put(PATH, SECRET);
    let held = world.service.policy_watch.as_ref().unwrap().hold();
    thread::scope(|scope| {
        let nothing = "version = 1\n";
        let putting = || {
            put(
                &world,
                "everything",
                "policies/tenant/web",
                TOML,
                nothing,
                None,
            )
        };
        let putting = scope.spawn(putting);
        assert!(is_served(&world));
        thread::sleep(Duration::from_millis(500));
        assert!(!putting.is_finished());
        // What was not read is not stored.
        let texts = RecordName::parse("policy/text").unwrap();
        let listing = world.store(world.service.store.list(Under::Records(&texts)));
        assert_eq!(listing.unwrap().places.len(), 2);
        drop(held);
        assert_eq!(putting.join().unwrap().status, 200);
    });
}

#[test]
fn a_change_waits_before_it_reads_and_the_replica_looks_meanwhile() {
    let store = store();
    let (world, other) = (replica(&store), replica(&store));
    let name = "policies/tenant/web";
    let nothing = "version = 1\n";
    let watch = world.service.policy_watch.as_ref().unwrap();
    let expected = Some(("If-Match", "\"1\""));
    let held = watch.hold_changes();
    let reading = watch.hold_one();
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| put(&world, "everything", name, TOML, nothing, expected)))
            .collect();
        let begun = Instant::now();
        while watch.changes.count() < 4 && begun.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(10));
        }
        // A fifth is refused, of him alone, before its body is looked at.
        let long = "x".repeat(MAX_DOCUMENT_LEN + 1);
        let refused = put(&world, "everything", name, TOML, &long, None);
        refused.assert_refused(503, "StoreError");
        assert_eq!(refused.header("retry-after"), Some("5"));
        // What comes before their turn is what they find, and the replica takes it up.
        assert_eq!(
            put(&other, "everything", name, TOML, nothing, None).status,
            200
        );
        world.look_within(Duration::from_secs(20));
        assert_eq!(watch.in_force().unwrap().serial, 1);
        drop((held, reading));
        let ended = waiting.into_iter().map(|put| put.join().unwrap().status);
        let mut ended: Vec<u16> = ended.collect();
        ended.sort_unstable();
        assert_eq!(ended, [200, 412, 412, 412]);
    });
}
