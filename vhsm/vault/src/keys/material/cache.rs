use super::Expanded;
use crate::Refusal;
use arc_swap::{ArcSwapOption, Guard};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Ring entries below which nobody looks for dead ones.
const MIN_RING_LEN: usize = 1024;

/// What the library made of keys that were used lately, within a budget of bytes.
///
/// A use finds its key's objects by one load of a pointer. Who finds none makes them from the
/// record and enters them into a ring; past the budget, a hand goes round the ring and drops what
/// was not used since it came by last (the clock algorithm). What is dropped while somebody works
/// with it goes when the work is done.
#[derive(Debug)]
pub(crate) struct ExpandedCache {
    budget_len: usize,
    /// Bytes of the heap arena in objects that are kept or still worked with.
    kept_len: Arc<AtomicUsize>,
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    slots: VecDeque<Weak<Slot>>,
    /// The length at which dead entries are looked for.
    purge_at: usize,
}

/// Where a key's objects are, while they are kept.
#[derive(Debug, Default)]
pub(super) struct Slot {
    kept: ArcSwapOption<Kept>,
    /// Whether there was a use since the hand came by.
    touched: AtomicBool,
}

/// Objects that count against the budget for as long as they are there.
#[derive(Debug)]
struct Kept {
    expanded: Expanded,
    len: usize,
    kept_len: Arc<AtomicUsize>,
}

/// A key's objects, which stay while this is held.
#[derive(Debug)]
pub(crate) struct Live(Guard<Option<Arc<Kept>>>);

/// What stands for objects that are not there; no operation can do anything with it.
static NOTHING: Expanded = Expanded::Secret;

impl ExpandedCache {
    pub(crate) fn new(budget_len: usize) -> Self {
        Self {
            budget_len,
            kept_len: Arc::default(),
            ring: Mutex::default(),
        }
    }

    /// The objects in `slot`, or those that `expand` makes; it may be tried again after others
    /// gave up their room.
    pub(super) fn live(
        &self,
        slot: &Arc<Slot>,
        len: usize,
        expand: impl Fn() -> Result<Expanded, Refusal>,
    ) -> Result<Live, Refusal> {
        let found = slot.kept.load();
        if found.is_some() {
            // A store only where it changes something: the line is shared by all who use the key.
            if !slot.touched.load(Ordering::Relaxed) {
                slot.touched.store(true, Ordering::Relaxed);
            }
            return Ok(Live(found));
        }
        let expanded = loop {
            match expand() {
                Err(Refusal::ArenaFull) if self.drop_one() => {}
                done => break done?,
            }
        };
        self.kept_len.fetch_add(len, Ordering::Relaxed);
        let kept = Arc::new(Kept {
            expanded,
            len,
            kept_len: Arc::clone(&self.kept_len),
        });
        while self.kept_len.load(Ordering::Relaxed) > self.budget_len && self.drop_one() {}
        slot.kept.store(Some(Arc::clone(&kept)));
        self.enter(slot);
        Ok(Live(Guard::from_inner(Some(kept))))
    }

    /// Bytes of the heap arena that may be kept.
    pub(crate) fn budget_len(&self) -> usize {
        self.budget_len
    }

    /// Bytes of the heap arena that the budget counts now.
    pub(crate) fn kept_len(&self) -> usize {
        self.kept_len.load(Ordering::Relaxed)
    }

    /// Puts a slot behind the hand.
    fn enter(&self, slot: &Arc<Slot>) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.slots.len() >= ring.purge_at.max(MIN_RING_LEN) {
            // Keys that were destroyed meanwhile, and keys that two threads entered.
            ring.slots
                .retain(|slot| slot.upgrade().is_some_and(|slot| slot.is_filled()));
            ring.purge_at = ring.slots.len() * 2;
        }
        ring.slots.push_back(Arc::downgrade(slot));
    }

    /// Lets the hand go on until something is dropped; `false` if there is nothing.
    fn drop_one(&self) -> bool {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        // Each slot is looked at twice at most: once to take its mark, once to empty it.
        for _ in 0..=ring.slots.len() * 2 {
            let Some(entry) = ring.slots.pop_front() else {
                return false;
            };
            let Some(slot) = entry.upgrade().filter(|slot| slot.is_filled()) else {
                continue;
            };
            if slot.touched.swap(false, Ordering::Relaxed) {
                ring.slots.push_back(entry);
                continue;
            }
            slot.kept.store(None);
            return true;
        }
        false
    }
}

impl Slot {
    fn is_filled(&self) -> bool {
        self.kept.load().is_some()
    }
}

impl Live {
    pub(crate) fn expanded(&self) -> &Expanded {
        self.0.as_ref().map_or(&NOTHING, |kept| &kept.expanded)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.kept_len.fetch_sub(self.len, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::world::arenas;
    use nitride_secmem::crypto::{AeadAlgorithm, AeadKey};
    use std::cell::Cell;

    fn expand() -> Result<Expanded, Refusal> {
        let key = AeadKey::new(AeadAlgorithm::Aes256GcmSiv, &[1; 32])?;
        Ok(Expanded::Aead(key))
    }

    fn slots(count: usize) -> Vec<Arc<Slot>> {
        arenas();
        (0..count).map(|_| Arc::default()).collect()
    }

    fn filled(slots: &[Arc<Slot>]) -> Vec<bool> {
        slots.iter().map(|slot| slot.is_filled()).collect()
    }

    #[test]
    fn a_second_use_expands_nothing() {
        let cache = ExpandedCache::new(100);
        let slots = slots(1);
        cache.live(&slots[0], 10, expand).unwrap();
        let again = || panic!("it is there");
        let live = cache.live(&slots[0], 10, again).unwrap();
        assert!(matches!(live.expanded(), Expanded::Aead(_)));
    }

    #[test]
    fn the_budget_holds_and_what_was_used_stays() {
        let cache = ExpandedCache::new(30);
        let slots = slots(4);
        for slot in &slots[..3] {
            cache.live(slot, 10, expand).unwrap();
        }
        // The first is used again; the second is the oldest that was not.
        cache.live(&slots[0], 10, expand).unwrap();
        cache.live(&slots[3], 10, expand).unwrap();
        assert_eq!(filled(&slots), [true, false, true, true]);
        assert_eq!(cache.kept_len(), 30);
        // And it comes back.
        cache.live(&slots[1], 10, expand).unwrap();
        assert_eq!(cache.kept_len(), 30);
        assert!(slots[1].is_filled());
    }

    #[test]
    fn what_is_dropped_in_use_counts_until_the_use_ends() {
        let cache = ExpandedCache::new(10);
        let slots = slots(2);
        let held = cache.live(&slots[0], 10, expand).unwrap();
        cache.live(&slots[1], 10, expand).unwrap();
        assert_eq!(filled(&slots), [false, true]);
        assert!(matches!(held.expanded(), Expanded::Aead(_)));
        assert_eq!(cache.kept_len(), 20);
        drop(held);
        assert_eq!(cache.kept_len(), 10);
    }

    #[test]
    fn a_full_arena_is_made_room_in_and_then_named() {
        let cache = ExpandedCache::new(100);
        let slots = slots(3);
        cache.live(&slots[0], 10, expand).unwrap();
        cache.live(&slots[1], 10, expand).unwrap();
        let left = Cell::new(2);
        let full_twice = || {
            if left.replace(left.get() - 1) > 0 {
                return Err(Refusal::ArenaFull);
            }
            expand()
        };
        cache.live(&slots[2], 10, full_twice).unwrap();
        assert_eq!(filled(&slots), [false, false, true]);
        let other = Arc::default();
        let full = cache.live(&other, 10, || Err(Refusal::ArenaFull));
        assert_eq!(full.unwrap_err(), Refusal::ArenaFull);
        assert_eq!(cache.kept_len(), 0);
    }

    #[test]
    fn a_slot_that_goes_away_takes_its_objects_along() {
        let cache = ExpandedCache::new(100);
        let mut slots = slots(1);
        cache.live(&slots[0], 10, expand).unwrap();
        slots.clear();
        assert_eq!(cache.kept_len(), 0);
        assert!(!cache.drop_one());
    }

    #[test]
    fn the_ring_does_not_grow_by_keys_that_are_gone() {
        arenas();
        let cache = ExpandedCache::new(100);
        for _ in 0..MIN_RING_LEN * 3 {
            cache.live(&Arc::default(), 10, expand).unwrap();
        }
        assert!(cache.ring.lock().unwrap().slots.len() <= MIN_RING_LEN);
    }
}
