//! What changes while a request is under way.

use super::world::{Guest, PATH, Plan, SECRET, World, fetch};
use crate::revocation::Kind;
use crate::store::memory::MemoryStore;
use crate::store::{
    Expected, Listing, Pending, Place, RecordName, Resource, Store, Stored, Under, Version,
};
use std::sync::Arc;
use std::time::Duration;

const SLOW: Duration = Duration::from_millis(600);

/// A store that takes its time for resources.
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
        self.0.write(at, bytes, is)
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
