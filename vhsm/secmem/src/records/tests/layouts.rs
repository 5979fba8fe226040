//! Layout 1, as its version wrote it, becomes layout 2.

use super::super::head::{SegmentHead, head_len};
use super::super::upgrade::{OLD_HEAD_LEN, OldSlotHead};
use super::*;
use crate::testing::{case, in_child};
use std::sync::atomic::AtomicU64;

const LAYOUT_OFFSET: usize = 8;
const COUNT_OFFSET: usize = 48;
const TABLE_OFFSET: usize = 256;

/// A segment of layout 1 with this many records on its first pages, three a page.
fn old_segment(records: u8) -> OwnedFd {
    const SIZE: usize = 1360;
    let (mapping, descriptor) = Mapping::secret_with_descriptor(terms(1).segment_len).unwrap();
    SegmentHead::write(&mapping, StoreId::draw().unwrap(), 0);
    let base = mapping.base().as_ptr();
    // SAFETY: all of it lies within the mapping, which is ours.
    unsafe {
        base.add(LAYOUT_OFFSET).cast::<u32>().write(1);
        base.add(COUNT_OFFSET).cast::<u32>().write(1);
        for id in 0..records {
            let (page, object) = (usize::from(id / 3), usize::from(id % 3));
            let entry = 1 << 28 | u32::try_from(SIZE).unwrap();
            base.add(TABLE_OFFSET + page * 4).cast::<u32>().write(entry);
            let slot = base.add(head_len(mapping.len()) + page * PAGE_LEN + object * SIZE);
            slot.cast::<OldSlotHead>().write(OldSlotHead {
                commit: AtomicU64::new(u64::from(id) + 1),
                id: [id; 16],
                kind: KIND.0,
                unused: 0,
                state: u32::from(id) + 5,
                public_len: 1000,
                secret_len: 32,
            });
            slot.add(OLD_HEAD_LEN).write_bytes(id + 1, 1000);
            slot.add(OLD_HEAD_LEN + 1000).write_bytes(!id, 32);
        }
    }
    descriptor
}

fn expected(records: u8) -> Vec<Told> {
    (0..records)
        .map(|id| (id, vec![id + 1; 1000], vec![!id; 32], u32::from(id) + 5, 0))
        .collect()
}

fn layout_of(store: &Store) -> u32 {
    let (start, _) = store.heap().ranges().next().unwrap();
    // SAFETY: within the head of a mapped segment.
    unsafe { ((start + LAYOUT_OFFSET) as *const u32).read() }
}

#[test]
fn records_of_layout_1_are_found_and_rewritten() {
    let kept = Kept::default();
    kept.lock().unwrap().push(old_segment(12));
    let (store, found) = adopted(&kept, 1).unwrap();
    assert_eq!(found.told(), expected(12));
    assert_eq!(layout_of(&store), 2);
    found.0[3].counter(0).store(9, Ordering::SeqCst);
    // There was room for the copies beside them, so the old pages are free already.
    let used = store.heap().used_len();
    drop(found);
    let (store, found) = adopted(&kept, 1).unwrap();
    assert_eq!(found.told()[3].4, 9, "the copy is what counts");
    assert_eq!(found.0.len(), 12);
    assert_eq!(store.heap().used_len(), used);
}

#[test]
fn old_records_stay_until_their_copies_are_kept() {
    let kept = Kept::default();
    // 14 pages of 15: most copies find room in a new segment alone, which nobody keeps yet.
    kept.lock().unwrap().push(old_segment(42));
    let (store, found) = adopted(&kept, 3).unwrap();
    assert_eq!(found.told(), expected(42));
    assert!(store.has_unkept());
    drop((found, store));
    // The process ends here: the new segment is gone, and everything is found again.
    let (store, found) = adopted(&kept, 3).unwrap();
    let mut told = found.told();
    told.sort();
    assert_eq!(told, expected(42));
    // Kept, but the process ends before anything of the old pages is gone: kept for another
    // process by a keeper that does nothing for ours.
    keep(&store, &kept);
    assert!(!store.has_unkept());
    drop((found, store));
    let (_store, found) = adopted(&kept, 3).unwrap();
    let mut told = found.told();
    told.sort();
    assert_eq!(told, expected(42));
}

#[test]
fn an_upgrade_without_room_is_refused_and_loses_nothing() {
    // In a process without arenas, as one that adopts is: what is refused drops its records.
    if case().is_none() {
        let status = in_child(
            "records::tests::layouts::an_upgrade_without_room_is_refused_and_loses_nothing",
            "child",
        );
        assert!(status.success());
        return;
    }
    let kept = Kept::default();
    kept.lock().unwrap().push(old_segment(42));
    assert!(matches!(adopted(&kept, 1), Err(AdoptError::NoRoom)));
    let (_store, found) = adopted(&kept, 3).unwrap();
    let mut told = found.told();
    told.sort();
    assert_eq!(told, expected(42));
}
