//! Descriptors that are not what they should be: each refused by its name, none changed.

use super::super::adopt::SegmentFault;
use super::*;
use proptest::prelude::*;
use std::os::fd::FromRawFd;

/// Two segments with records in them.
fn two() -> (Store, Kept) {
    let (store, kept) = fresh(2);
    for id in 0..60 {
        put(&store, id, &[id; 1200], &[id; 32]).unwrap();
    }
    assert_eq!(kept.lock().unwrap().len(), 2);
    (store, kept)
}

fn fault(kept: &Kept) -> (usize, SegmentFault) {
    match adopted(kept, 2) {
        Err(AdoptError::Segment { position, fault }) => (position, fault),
        other => panic!("{other:?}"),
    }
}

/// A word of a segment, by its index and the word's offset.
fn word(store: &Store, index: usize, offset: usize) -> *mut u32 {
    let (start, len) = store.heap().ranges().nth(index).unwrap();
    assert!(offset < len);
    (start + offset) as *mut u32
}

/// Writes a word, and gives what was there.
fn poke(word: *mut u32, value: u32) -> u32 {
    // SAFETY: within a mapped segment that only this test uses.
    unsafe { word.replace(value) }
}

#[test]
fn what_is_no_secret_memory_is_refused() {
    let (_store, kept) = two();
    // SAFETY: makes a descriptor that we then own.
    let plain = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"x".as_ptr(), 0)) };
    kept.lock().unwrap().push(plain);
    assert!(matches!(fault(&kept), (2, SegmentFault::NotSecretMemory)));
    let file = std::fs::File::open("/dev/null").unwrap();
    kept.lock().unwrap()[2] = file.into();
    assert!(matches!(fault(&kept), (2, SegmentFault::NotSecretMemory)));
}

#[test]
fn a_head_that_leaves_no_number_for_the_next_commit_is_refused() {
    let (store, kept) = two();
    // The upper half of `wiped_through`.
    let upper = word(&store, 0, 60);
    let was = poke(upper, u32::MAX);
    assert!(matches!(fault(&kept), (0, SegmentFault::Foreign)));
    poke(upper, was);
    assert!(adopted(&kept, 2).is_ok());
}

#[test]
fn foreign_and_wrongly_sized_memory_is_refused() {
    let (_store, kept) = two();
    let (_mapping, foreign) = Mapping::secret_with_descriptor(4 * PAGE_LEN).unwrap();
    kept.lock().unwrap().insert(0, foreign);
    assert!(matches!(fault(&kept), (0, SegmentFault::Foreign)));
    // SAFETY: memfd_secret makes a descriptor that we then own; its size is 0.
    let unsized_one = unsafe {
        let raw = libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC);
        OwnedFd::from_raw_fd(i32::try_from(raw).unwrap())
    };
    kept.lock().unwrap()[0] = unsized_one;
    assert!(matches!(fault(&kept), (0, SegmentFault::Size { len: 0 })));
}

#[test]
fn a_head_of_other_lengths_or_layout_is_refused() {
    let (store, kept) = two();
    // Magic 0, layout 8, index 12, store 16, length 32, head 40.
    for (offset, value) in [(0, 1), (8, 0), (8, 3), (8, u32::MAX), (32, 4096), (40, 0)] {
        let was = poke(word(&store, 1, offset), value);
        let (position, fault) = fault(&kept);
        assert_eq!(position, 1);
        match (offset, fault) {
            (0, SegmentFault::Foreign) | (32 | 40, SegmentFault::Size { .. }) => {}
            (8, SegmentFault::UnknownLayout { layout }) => assert_eq!(layout, value),
            other => panic!("{other:?}"),
        }
        poke(word(&store, 1, offset), was);
    }
    assert_eq!(adopted(&kept, 2).unwrap().1.0.len(), 60);
}

#[test]
fn a_segment_of_another_store_is_refused() {
    let ((_one, kept), (_other, others)) = (two(), fresh(1));
    kept.lock().unwrap().append(&mut others.lock().unwrap());
    assert!(matches!(fault(&kept), (2, SegmentFault::OtherStore)));
}

#[test]
fn a_doubled_segment_is_refused() {
    let (_store, kept) = two();
    let copy = kept.lock().unwrap()[1].try_clone().unwrap();
    kept.lock().unwrap().insert(0, copy);
    let fault = fault(&kept);
    assert!(
        matches!(fault, (2, SegmentFault::Doubled { index: 1 })),
        "{fault:?}"
    );
}

#[test]
fn a_missing_segment_is_named_the_first_and_the_last_too() {
    for missing in [0, 1] {
        let (_store, kept) = two();
        kept.lock().unwrap().remove(missing);
        match adopted(&kept, 2) {
            Err(AdoptError::Missing { index, count }) => {
                assert_eq!(index as usize, missing);
                assert_eq!(count, if missing == 0 { 1 } else { 2 });
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn more_descriptors_than_segments_can_be_are_refused_unseen() {
    let (_store, kept) = two();
    let many = (0..100).map(|_| kept.lock().unwrap()[0].try_clone().unwrap());
    *kept.lock().unwrap() = many.collect();
    let refused = adopted(&kept, 2);
    assert!(matches!(refused, Err(AdoptError::TooMany { count: 100 })));
}

#[test]
fn a_record_that_reaches_out_of_its_slot_is_refused() {
    let (store, kept) = two();
    let head_len = super::super::head::head_len(terms(1).segment_len);
    // Of the first slot of the first page: kind 24, lengths 32 and 36; entry of its page 256.
    for (offset, value) in [
        (head_len + 32, 1 << 20),
        (head_len + 36, u32::MAX),
        (head_len + 24, 0),
        (head_len + 24, 7 | 1 << 20),
        (head_len + 4, u32::MAX),
        (256, 3 << 28 | 4096),
        (256, 2 << 28 | 100),
        (256, 2 << 28 | 1 << 27),
        (256, 2 << 28 | 1 << 27 | 20),
        (256, 5),
    ] {
        let was = poke(word(&store, 0, offset), value);
        let fault = fault(&kept);
        let is_damaged = matches!(fault, (0, SegmentFault::Damaged { page: 0 }));
        assert!(is_damaged, "{offset} {value:x}: {fault:?}");
        poke(word(&store, 0, offset), was);
    }
    assert_eq!(adopted(&kept, 2).unwrap().1.0.len(), 60);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_is_in_a_segment_nothing_reaches_out_of_it(
        pokes in proptest::collection::vec(
            (0..2_usize, prop_oneof![0..120_usize, 0..1100_usize, 0..16_384_usize], any::<u32>(), 0..32_u32),
            1..12,
        ),
    ) {
        let (store, kept) = two();
        for (index, at, value, shift) in pokes {
            poke(word(&store, index, at * 4), value >> shift);
        }
        let ranges: Vec<_> = store.heap().ranges().collect();
        drop(store);
        if let Ok((store, found)) = adopted(&kept, 2) {
            prop_assert_eq!(store.heap().ranges().count(), ranges.len());
            for record in &found.0 {
                for part in [record.public(), record.expose()] {
                    let start = part.as_ptr().addr();
                    let holds = |(from, len): (usize, usize)| {
                        start >= from && start + part.len() <= from + len
                    };
                    prop_assert!(store.heap().ranges().any(holds));
                }
            }
            let _ = put(&store, 1, &[1; 500], &[2; 32]);
        }
    }
}
