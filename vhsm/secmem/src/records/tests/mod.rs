//! Stores that one process leaves and another adopts, both played by this one.

mod adoption;
mod dropping;
mod hostile;
mod layouts;

use super::growth::GrowthTerms;
use super::head::StoreId;
use super::slot::{Slot, slot_len};
use super::store::Store;
use super::{AdoptError, Record, RecordId, RecordKind, adopt};
use crate::arena::Draw;
use crate::mapping::{Mapping, PAGE_LEN};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

pub(super) const KIND: RecordKind = RecordKind(7);

/// What systemd's descriptor store is to a service.
pub(super) type Kept = Arc<Mutex<Vec<OwnedFd>>>;

pub(super) fn terms(segments: usize) -> GrowthTerms {
    GrowthTerms {
        segment_len: 16 * PAGE_LEN,
        max_len: segments * 16 * PAGE_LEN,
        is_secret: true,
    }
}

/// A new store that may have so many segments, and who keeps them.
pub(super) fn fresh(segments: usize) -> (Store, Kept) {
    let terms = terms(segments);
    let (mapping, descriptor) = Mapping::secret_with_descriptor(terms.segment_len).unwrap();
    let store = Store::fresh(mapping, Some(descriptor), terms, StoreId::draw().unwrap());
    let kept = Kept::default();
    keep(&store, &kept);
    (store, kept)
}

pub(super) fn keep(store: &Store, kept: &Kept) {
    let kept = Arc::clone(kept);
    let keeper = move |descriptor: std::os::fd::BorrowedFd<'_>, _| {
        kept.lock().unwrap().push(descriptor.try_clone_to_owned()?);
        Ok(())
    };
    store.keep_segments(Box::new(keeper)).unwrap();
}

/// What the next process does with what is kept.
pub(super) fn adopted(kept: &Kept, segments: usize) -> Result<(Store, Found), AdoptError> {
    let (store, records) = adopt(&kept.lock().unwrap(), terms(segments))?;
    Ok((store, Found(records)))
}

/// Recovered records of a store that is not this process's own.
#[derive(Debug)]
pub(super) struct Found(pub(super) Vec<Record>);

impl Found {
    pub(super) fn told(&self) -> Vec<Told> {
        let tell = |record: &Record| {
            assert_eq!(record.kind(), KIND);
            let counter = record.counter(0).load(Ordering::SeqCst);
            let (public, secret) = (record.public().to_vec(), record.expose().to_vec());
            (record.id().0[0], public, secret, record.state(), counter)
        };
        self.0.iter().map(tell).collect()
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        // Dropped, they would be looked for in this process's own arena.
        self.0.drain(..).for_each(std::mem::forget);
    }
}

pub(super) fn draft(store: &Store, id: u8, public: &[u8], secret: &[u8]) -> Option<Slot> {
    let len = slot_len(public.len(), secret.len()).unwrap();
    let lengths = [public.len(), secret.len()].map(|len| u32::try_from(len).unwrap());
    let start = store.allocate(len, Draw::Ordinary)?;
    // SAFETY: the store gave us `len` zero bytes that nobody else has; both parts fit behind the
    // head.
    unsafe {
        let slot = Slot::begin(start, KIND, RecordId([id; 16]), lengths.into());
        let data = slot.data().as_ptr();
        data.copy_from_nonoverlapping(public.as_ptr(), public.len());
        data.add(public.len())
            .copy_from_nonoverlapping(secret.as_ptr(), secret.len());
        Some(slot)
    }
}

pub(super) fn put(store: &Store, id: u8, public: &[u8], secret: &[u8]) -> Option<Slot> {
    let slot = draft(store, id, public, secret)?;
    slot.commit(store.next_sequence());
    Some(slot)
}

/// How many bytes of all pages that are handed out are not zero.
pub(super) fn residue(store: &Store) -> usize {
    let head_len = super::head::head_len(terms(1).segment_len);
    let bytes = |(start, len): (usize, usize)| {
        // SAFETY: a mapped segment of the store, which no other thread writes to.
        let bytes = unsafe { std::slice::from_raw_parts(start as *const u8, len) };
        bytes[head_len..].iter().filter(|byte| **byte != 0).count()
    };
    store.heap().ranges().map(bytes).sum()
}

/// Id, public part, secret part, state and first counter of a record.
pub(super) type Told = (u8, Vec<u8>, Vec<u8>, u32, u64);

pub(super) type Model = BTreeMap<u8, (Vec<u8>, Vec<u8>)>;
