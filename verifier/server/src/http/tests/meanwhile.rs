//! What changes while a request is under way.

use super::audit::{audit_of, entries};
use super::world::{ADMIN, Guest, HttpRequest, PATH, Plan, SECRET, World, fetch};
use crate::revocation::Kind;
use crate::store::memory::MemoryStore;
use crate::store::{
    Expected, Listing, Pending, Place, RecordName, Resource, Store, Stored, Under, Version,
};
use nitride_kbs::resource::ResourcePath;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const SLOW: Duration = Duration::from_millis(600);

/// A store that takes its time for resources, and has a defect where one is written.
#[derive(Debug, Default)]
struct Slow(MemoryStore);

impl Store for Slow {
    fn read<'a>(&'a self, place: &'a Place) -> Pending<'a, Option<Stored>> {
        Box::pin(async move {
            if matches!(place, Place::Resource(_)) {
                tokio::time::sleep(SLOW).await;
            }
            self.0.read(place).await
        })
    }

    fn write<'a>(&'a self, at: &'a Place, bytes: Resource, is: Expected) -> Pending<'a, Version> {
        Box::pin(async move {
            if at.to_string().ends_with("slow") {
                tokio::time::sleep(SLOW).await;
            }
            assert!(!at.to_string().ends_with("defect"), "on purpose");
            self.0.write(at, bytes, is).await
        })
    }

    fn delete<'a>(&'a self, place: &'a Place, expected: Expected) -> Pending<'a, bool> {
        self.0.delete(place, expected)
    }

    fn erase_older<'a>(&'a self, place: &'a Place) -> Pending<'a, ()> {
        self.0.erase_older(place)
    }

    fn list<'a>(&'a self, under: Under<'a>) -> Pending<'a, Listing> {
        self.0.list(under)
    }

    fn count<'a>(&'a self, folder: &'a RecordName) -> Pending<'a, usize> {
        self.0.count(folder)
    }
}

#[test]
fn what_is_revoked_while_the_store_is_asked_is_not_given() {
    let world = World::of(Plan {
        store: Arc::new(Slow::default()),
        ..Plan::default()
    });
    world.put(PATH, SECRET);
    let guest = Guest::challenged(&world);
    let token = guest.token(&world, "1");
    let answer = std::thread::scope(|scope| {
        let asking = scope.spawn(|| fetch(&world, PATH, &token));
        std::thread::sleep(SLOW / 3);
        world.revoke(Kind::Resource, PATH);
        world.turn_clock(5);
        asking.join().unwrap()
    });
    answer.assert_refused(401, "PolicyDeny");
}

fn audited(folder: &Path) -> World {
    World::of(Plan {
        store: Arc::new(Slow::default()),
        audit: audit_of(folder),
        ..Plan::default()
    })
}

#[test]
fn an_admin_who_hangs_up_leaves_an_act_with_its_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let world = audited(folder.path());
    let bearer = format!("Bearer {ADMIN}");
    let request = HttpRequest {
        method: "POST",
        path: "/kbs/v0/resource/demo/key/slow",
        headers: &[("Authorization", &bearer)],
        body: SECRET,
    };
    let mut admin = world.connect();
    admin.write_all(&request.to_bytes()).unwrap();
    std::thread::sleep(SLOW / 3);
    drop(admin);
    std::thread::sleep(2 * SLOW);
    let place = Place::from(&ResourcePath::parse("demo/key/slow").unwrap());
    let stored = world.store(world.service.store.read(&place)).unwrap();
    assert_eq!(&*stored.unwrap().bytes, SECRET);
    let (entries, _) = entries(folder.path());
    let outcomes: Vec<&str> = entries.iter().map(|entry| entry.3.as_str()).collect();
    assert_eq!(outcomes, ["ok", "asked", "ok"]);
}

#[test]
fn an_act_that_panics_is_in_the_audit_as_what_the_admin_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let world = audited(folder.path());
    let bearer = format!("Bearer {ADMIN}");
    let path = "/kbs/v0/resource/demo/key/defect";
    let answer = world.post(path, &[("Authorization", &bearer)], SECRET);
    answer.assert_refused(500, "InternalError");
    // The service goes on.
    let next = "/kbs/v0/resource/demo/key/one";
    assert_eq!(
        world
            .post(next, &[("Authorization", &bearer)], SECRET)
            .status,
        200
    );
    let (entries, text) = entries(folder.path());
    let outcomes: Vec<(&str, &str)> = entries
        .iter()
        .map(|(_, who, _, outcome)| (who.as_str(), outcome.as_str()))
        .collect();
    let admin = "admin:of the test";
    assert_eq!(
        outcomes,
        [
            ("", "ok"),
            (admin, "asked"),
            (admin, "InternalError"),
            (admin, "asked"),
            (admin, "ok")
        ]
    );
    assert!(text.contains("look what the store has"), "{text}");
}
