//! Stores that do not what they seem to do.

use super::*;

/// A store that is not as it seems.
#[derive(Debug, Default)]
struct Meddled {
    store: MemoryStore,
    takes_nothing: bool,
    /// What another replica writes, each time when somebody counts.
    made_meanwhile: Option<(Place, Kept)>,
}

impl Store for Meddled {
    fn read<'a>(&'a self, place: &'a Place) -> Pending<'a, Option<Stored>> {
        self.store.read(place)
    }
    fn write<'a>(
        &'a self,
        place: &'a Place,
        bytes: Resource,
        expected: Expected,
    ) -> Pending<'a, Version> {
        if self.takes_nothing {
            return Box::pin(async { Err(StoreError::ShuttingDown) });
        }
        self.store.write(place, bytes, expected)
    }
    fn delete<'a>(&'a self, place: &'a Place, expected: Expected) -> Pending<'a, bool> {
        self.store.delete(place, expected)
    }
    fn erase_older<'a>(&'a self, place: &'a Place) -> Pending<'a, ()> {
        self.store.erase_older(place)
    }
    fn list<'a>(&'a self, under: Under<'a>) -> Pending<'a, Listing> {
        self.store.list(under)
    }
    fn count<'a>(&'a self, folder: &'a RecordName) -> Pending<'a, usize> {
        Box::pin(async move {
            if let Some((place, kept)) = &self.made_meanwhile {
                let writing = self.store.write(place, kept.to_store(), Expected::Any);
                writing.await?;
            }
            self.store.count(folder).await
        })
    }
}

#[test]
fn a_store_that_does_not_take_it_gives_it_to_nobody() {
    let world = World::of(Meddled {
        takes_nothing: true,
        ..Meddled::default()
    });
    let refused = block_on(world.give(&tpm(1))).unwrap_err();
    assert!(matches!(refused, MakeError::Store(_)), "{refused}");
}

#[test]
fn the_last_machine_for_which_there_is_room_gets_what_another_replica_makes_meanwhile() {
    let kept = World::of(MemoryStore::default()).given(&tpm(3)).kept;
    let place = place_of(&path(), tpm(3).as_str()).unwrap();
    let material = kept.material().to_vec();
    let mut world = World::of(Meddled::default());
    for number in 1..=2 {
        assert!(world.given(&tpm(number)).is_new);
    }
    world.store.made_meanwhile = Some((place, kept));
    world.rooms = Rooms::default();
    let given = world.given(&tpm(3));
    assert!(!given.is_new);
    assert_eq!(given.kept.material(), material);
    let refused = block_on(world.give(&tpm(4))).unwrap_err();
    assert!(matches!(refused, MakeError::Full { .. }), "{refused}");
}
