//! A store in memory, for tests.

use super::{
    Expected, Listing, Pending, Place, RecordName, Resource, Store, StoreError, Stored, Under,
    Version,
};
use std::collections::BTreeMap;
use std::sync::Mutex;

#[derive(Default)]
pub(crate) struct MemoryStore {
    places: Mutex<BTreeMap<Place, Slot>>,
    broken: bool,
}

/// What is in a place, and how often it was written; the number outlives a deletion.
#[derive(Default)]
struct Slot {
    bytes: Option<Vec<u8>>,
    written: u64,
}

impl Slot {
    fn version(&self) -> Option<Version> {
        self.bytes.is_some().then(|| Version::new(self.written))
    }
}

impl MemoryStore {
    /// A store whose every call about a resource fails.
    pub(crate) fn broken() -> Self {
        Self {
            broken: true,
            ..Self::default()
        }
    }

    fn check(&self, place: &Place) -> Result<(), StoreError> {
        if self.broken && matches!(place, Place::Resource(_)) {
            Err(StoreError::ShuttingDown)
        } else {
            Ok(())
        }
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    fn read<'a>(&'a self, place: &'a Place) -> Pending<'a, Option<Stored>> {
        Box::pin(async move {
            self.check(place)?;
            let places = self.places.lock().unwrap();
            Ok(places.get(place).and_then(|slot| {
                Some(Stored {
                    bytes: Resource::new(slot.bytes.clone()?),
                    version: slot.version()?,
                })
            }))
        })
    }

    fn write<'a>(
        &'a self,
        place: &'a Place,
        bytes: Resource,
        expected: Expected,
    ) -> Pending<'a, Version> {
        Box::pin(async move {
            self.check(place)?;
            place.check_len(bytes.len())?;
            let mut places = self.places.lock().unwrap();
            let slot = places.entry(place.clone()).or_default();
            expected.check(place, slot.version())?;
            slot.bytes = Some(bytes.to_vec());
            slot.written += 1;
            Ok(Version::new(slot.written))
        })
    }

    fn delete<'a>(&'a self, place: &'a Place, expected: Expected) -> Pending<'a, bool> {
        Box::pin(async move {
            self.check(place)?;
            let mut places = self.places.lock().unwrap();
            let slot = places.entry(place.clone()).or_default();
            expected.check(place, slot.version())?;
            Ok(slot.bytes.take().is_some())
        })
    }

    /// There is one version, always.
    fn erase_older<'a>(&'a self, _: &'a Place) -> Pending<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn list<'a>(&'a self, under: Under<'a>) -> Pending<'a, Listing> {
        Box::pin(async move {
            let places = self.places.lock().unwrap();
            let there = places.iter().filter(|(_, slot)| slot.bytes.is_some());
            let places = there.map(|(place, _)| place.clone());
            Ok(Listing {
                places: places.filter(|place| place.is_under(under)).collect(),
                strangers: Vec::new(),
            })
        })
    }

    fn count<'a>(&'a self, folder: &'a RecordName) -> Pending<'a, usize> {
        Box::pin(async move { Ok(self.list(Under::Records(folder)).await?.places.len()) })
    }
}
