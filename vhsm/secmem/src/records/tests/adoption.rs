//! What is found again, and what is not.

use super::*;
use proptest::prelude::*;

#[test]
fn everything_of_a_committed_record_is_found_again() {
    let (store, kept) = fresh(1);
    for id in 1..=20_u8 {
        let len = usize::from(id) * 110;
        let slot = put(&store, id, &vec![id; len], &[id + 100; 32]).unwrap();
        slot.state().store(u32::from(id) * 3, Ordering::SeqCst);
        // SAFETY: the slot is not given back.
        unsafe { slot.counter(0) }.store(u64::from(id) << 40, Ordering::SeqCst);
    }
    let used = store.heap().used_len();
    let (store, found) = adopted(&kept, 1).unwrap();
    let expected: Vec<_> = (1..=20_u8)
        .map(|id| {
            let public = vec![id; usize::from(id) * 110];
            let counter = u64::from(id) << 40;
            (id, public, vec![id + 100; 32], u32::from(id) * 3, counter)
        })
        .collect();
    assert_eq!(found.told(), expected, "in the order of their commits");
    assert_eq!(store.heap().used_len(), used);
}

#[test]
fn what_was_not_committed_is_wiped() {
    let (store, kept) = fresh(1);
    draft(&store, 1, &[0xaa; 3000], &[0xbb; 32]).unwrap();
    draft(&store, 2, &[0xaa; 10], &[0xbb; 32]).unwrap();
    draft(&store, 3, &[0xaa; 9000], &[0xbb; 32]).unwrap();
    put(&store, 4, &[0xaa; 10], &[0xbb; 32]).unwrap().uncommit();
    let (store, found) = adopted(&kept, 1).unwrap();
    assert_eq!(found.told(), []);
    assert_eq!((residue(&store), store.heap().used_len()), (0, 0));
}

#[test]
fn of_a_replacement_that_was_cut_short_the_younger_is_found() {
    let (store, kept) = fresh(1);
    put(&store, 1, b"old", b"secret").unwrap();
    put(&store, 2, b"other", b"secret").unwrap();
    put(&store, 1, b"new and longer", b"secret").unwrap();
    let (store, found) = adopted(&kept, 1).unwrap();
    let publics: Vec<_> = found.told().into_iter().map(|told| told.1).collect();
    assert_eq!(publics, [b"other".to_vec(), b"new and longer".to_vec()]);
    drop(found);
    // The older one is gone for good, and the next number is higher than every one before.
    put(&store, 2, b"other, later", b"secret").unwrap();
    let (_store, found) = adopted(&kept, 1).unwrap();
    assert_eq!(found.told()[1].1, b"other, later");
    assert_eq!(found.0.len(), 2);
}

#[test]
fn erasure_of_a_secret_that_was_cut_short_is_finished() {
    let (store, kept) = fresh(1);
    let slot = put(&store, 1, b"name", &[0xbb; 32]).unwrap();
    // SAFETY: no byte is wiped: the process ended just after the flag was set.
    unsafe { slot.erase_secret(4, 0) };
    let before = residue(&store);
    let (store, found) = adopted(&kept, 1).unwrap();
    assert_eq!(found.told(), [(1, b"name".to_vec(), Vec::new(), 0, 0)]);
    assert_eq!(residue(&store), before - 32);
}

#[test]
fn what_was_wiped_as_a_whole_is_not_found_and_what_came_later_is() {
    let (store, kept) = fresh(1);
    for id in 1..=9 {
        put(&store, id, b"name", &[0xbb; 32]).unwrap();
    }
    store.wipe_all();
    put(&store, 10, b"later", b"").unwrap();
    let (store, found) = adopted(&kept, 1).unwrap();
    assert_eq!(found.told(), [(10, b"later".to_vec(), Vec::new(), 0, 0)]);
    drop(found);
    store.wipe_all();
    let (store, found) = adopted(&kept, 1).unwrap();
    assert_eq!(found.told(), []);
    assert_eq!(residue(&store), 0);
    // Numbers go on where they were, or the next record would count as wiped.
    drop(found);
    put(&store, 11, b"last", b"").unwrap();
    assert_eq!(adopted(&kept, 1).unwrap().1.told().len(), 1);
}

#[test]
fn a_new_segment_is_kept_before_anything_in_it_is_used() {
    let (store, kept) = fresh(3);
    let mut count = 0_u8;
    while put(&store, count, &[1; 3000], &[2; 32]).is_some() {
        count += 1;
    }
    assert_eq!(kept.lock().unwrap().len(), 3);
    assert_eq!(store.heap().size(), terms(3).max_len);
    kept.lock().unwrap().reverse();
    let (store, found) = adopted(&kept, 3).unwrap();
    assert_eq!(found.0.len(), usize::from(count));
    assert!(put(&store, 0, &[1; 3000], &[]).is_none());
    assert!(
        put(&store, 0, &vec![0; 1 << 20], &[]).is_none(),
        "no segment"
    );
}

#[test]
fn a_segment_that_nobody_keeps_is_not_used_and_tried_again() {
    let (store, kept) = fresh(1);
    let (store, _) = {
        drop(store);
        adopted(&kept, 2).unwrap()
    };
    let tried = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&tried);
    let keeper = move |descriptor: std::os::fd::BorrowedFd<'_>, index| {
        let mut seen = seen.lock().unwrap();
        seen.push((
            crate::mapping::inode(&descriptor.try_clone_to_owned()?)?,
            index,
        ));
        if seen.len() < 3 {
            return Err(std::io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    };
    store.keep_segments(Box::new(keeper)).unwrap();
    while put(&store, 1, &[1; 3000], &[]).is_some() {}
    assert_eq!(store.heap().size(), terms(1).max_len);
    assert!(put(&store, 1, &[1; 3000], &[]).is_none());
    assert!(put(&store, 1, &[1; 3000], &[]).is_some());
    let tried = tried.lock().unwrap();
    assert_eq!(tried.len(), 3);
    assert!(tried.iter().all(|each| *each == tried[0]), "{tried:?}");
}

#[derive(Clone, Debug)]
enum Step {
    Put {
        id: u8,
        public: usize,
        secret: usize,
    },
    Erase {
        id: u8,
    },
    Draft {
        len: usize,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..40_u8, 0..600_usize, 0..100_usize)
            .prop_map(|(id, public, secret)| Step::Put { id, public, secret }),
        1 => (0..40_u8, 3000..9000_usize)
            .prop_map(|(id, public)| Step::Put { id, public, secret: 32 }),
        4 => (0..40_u8).prop_map(|id| Step::Erase { id }),
        1 => (0..5000_usize).prop_map(|len| Step::Draft { len }),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_store_behaves_as_its_model_however_often_it_is_adopted(
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let (mut store, kept) = fresh(2);
        let mut model = Model::new();
        let mut slots = BTreeMap::new();
        let mut mark = 0_u8;
        for step in steps.into_iter().chain([Step::Restart]) {
            mark = mark.wrapping_add(1).max(1);
            match step {
                Step::Put { id, public, secret } => {
                    let (public, secret) = (vec![mark; public], vec![!mark; secret]);
                    let Some(slot) = put(&store, id, &public, &secret) else {
                        continue;
                    };
                    model.insert(id, (public, secret));
                    if let Some(replaced) = slots.insert(id, slot) {
                        // SAFETY: nobody uses it any more.
                        unsafe { store.erase(replaced) };
                    }
                }
                Step::Erase { id } => {
                    model.remove(&id);
                    if let Some(slot) = slots.remove(&id) {
                        // SAFETY: nobody uses it any more.
                        unsafe { store.erase(slot) };
                    }
                }
                Step::Draft { len } => {
                    let _ = draft(&store, 99, &vec![mark; len], b"half");
                }
                Step::Restart => {
                    let (next, found) = adopted(&kept, 2).unwrap();
                    keep(&next, &kept);
                    let told: Model = found
                        .told()
                        .into_iter()
                        .map(|(id, public, secret, ..)| (id, (public, secret)))
                        .collect();
                    prop_assert_eq!(&told, &model);
                    slots = found.0.iter().map(|each| (each.id().0[0], each.slot())).collect();
                    store = next;
                }
            }
        }
        for slot in slots.into_values() {
            // SAFETY: nobody uses it any more.
            unsafe { store.erase(slot) };
        }
        prop_assert_eq!(store.heap().used_len(), 0);
        prop_assert_eq!(residue(&store), 0);
    }
}
