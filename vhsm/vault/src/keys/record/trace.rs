//! What a kill would leave: a picture of the records after each change of one.

use nitride_secmem::{COUNTERS, Draft, Record, RecordId, RecordKind};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// A record as a later process finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) public: Vec<u8>,
    pub(crate) secret: Vec<u8>,
    pub(crate) state: u32,
    pub(crate) counters: [u64; COUNTERS],
}

/// Everything that a later process finds.
pub(crate) type Store = BTreeMap<(RecordKind, RecordId), Image>;

thread_local! {
    static STEPS: RefCell<Option<Vec<Store>>> = const { RefCell::new(None) };
}

/// Notes what this thread does to records from now on, beginning with none.
pub(crate) fn begin() {
    STEPS.with_borrow_mut(|steps| *steps = Some(vec![Store::new()]));
}

/// The records after each step since [`begin`], which stay noted.
pub(crate) fn steps() -> Vec<Store> {
    STEPS.with_borrow(|steps| steps.clone().unwrap_or_default())
}

pub(super) fn written(record: &Record) {
    step(|store| {
        store.insert((record.kind(), record.id()), Image::of(record));
    });
}

pub(super) fn erased(record: &Record) {
    step(|store| {
        store.remove(&(record.kind(), record.id()));
    });
}

fn step(change: impl FnOnce(&mut Store)) {
    STEPS.with_borrow_mut(|steps| {
        if let Some(steps) = steps {
            let mut store = steps.last().cloned().unwrap_or_default();
            change(&mut store);
            steps.push(store);
        }
    });
}

impl Image {
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            public: record.public().to_vec(),
            secret: record.expose().to_vec(),
            state: record.state(),
            counters: std::array::from_fn(|index| record.counter(index).load(Ordering::SeqCst)),
        }
    }
}

/// The records of a store, as they would be recovered.
pub(crate) fn recovered(store: &Store) -> Vec<Record> {
    let records = store.iter().map(|((kind, id), image)| {
        let (public, secret) = (&image.public, &image.secret);
        let mut draft = Draft::new(*kind, *id, public.len(), secret.len()).unwrap();
        draft.public_mut().copy_from_slice(public);
        draft.secret_mut().copy_from_slice(secret);
        for (index, value) in image.counters.into_iter().enumerate() {
            draft.set_counter(index, value);
        }
        draft.set_state(image.state);
        draft.commit()
    });
    records.collect()
}
