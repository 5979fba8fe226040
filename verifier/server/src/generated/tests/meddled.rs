//! Stores that do not what they seem to do.

use super::*;
use tokio::sync::Barrier;

const RACERS: usize = 8;

/// A store that is not as it seems.
#[derive(Debug, Default)]
struct Meddled {
    store: MemoryStore,
    takes_nothing: bool,
    /// What another replica writes, each time when somebody counts.
    made_meanwhile: Option<(Place, Kept)>,
    /// Its first readers wait for each other, so that all of them have seen that nothing is there.
    together: Option<Together>,
}

#[derive(Debug)]
struct Together {
    readers: AtomicUsize,
    barrier: Barrier,
}

impl Store for Meddled {
    fn read<'a>(&'a self, place: &'a Place) -> Pending<'a, Option<Stored>> {
        Box::pin(async move {
            let read = self.store.read(place).await;
            if let Some(together) = &self.together
                && together.readers.fetch_add(1, Ordering::SeqCst) < RACERS
            {
                together.barrier.wait().await;
            }
            read
        })
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
fn of_requests_that_come_at_once_one_makes_the_secret_and_all_get_it() {
    let world = World::of(Meddled {
        together: Some(Together {
            readers: AtomicUsize::new(0),
            barrier: Barrier::new(RACERS),
        }),
        ..Meddled::default()
    });
    let world = Arc::new(world);
    let given: Vec<Given> = block_on(async {
        let asking = (0..RACERS).map(|_| {
            let world = world.clone();
            tokio::spawn(async move { world.give(&tpm(1)).await.unwrap() })
        });
        let mut given = Vec::new();
        for asked in asking.collect::<Vec<_>>() {
            given.push(asked.await.unwrap());
        }
        given
    });
    assert_eq!(given.iter().filter(|given| given.is_new).count(), 1);
    let materials: BTreeSet<&[u8]> = given.iter().map(|given| given.kept.material()).collect();
    assert_eq!(materials.len(), 1);
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
