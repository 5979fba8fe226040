//! The allocator against a model, hostile patterns, threads, and misuse.

use super::*;
use crate::testing::{case, in_child};
use class::SIZES;
use proptest::prelude::*;
use std::os::unix::process::ExitStatusExt;

fn heap_of(page_count: usize, traffic: Traffic, reserve_pages: usize) -> Heap {
    let mapping = Mapping::locked(page_count * PAGE_LEN).unwrap();
    Heap::new(mapping, traffic, reserve_pages)
}

/// An object that a test holds: released on demand, looked at as a slice.
struct Held {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: an object is its holder's alone, on whatever thread.
unsafe impl Send for Held {}

impl Held {
    fn new(heap: &Heap, len: usize) -> Option<Self> {
        let start = heap.allocate(len, Draw::Ordinary)?;
        Some(Self { start, len })
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the heap gave us `len` bytes there, and we alone have them.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    fn release(self, heap: &Heap) {
        // SAFETY: the object is consumed.
        unsafe { heap.release(self.start) };
    }
}

/// Whether `len` bytes of an arena are zero, handed out or not.
fn is_zero(start: NonNull<u8>, len: usize) -> bool {
    // SAFETY: callers pass what lies in a mapped segment that no other thread writes to.
    (0..len).all(|index| unsafe { start.as_ptr().add(index).read_volatile() } == 0)
}

fn whole(heap: &Heap) -> (NonNull<u8>, usize) {
    let segment = heap.segments().next().unwrap();
    (segment.address(0, 0), segment.range().1)
}

#[test]
fn what_is_freed_is_zero_at_once() {
    for traffic in [Traffic::Busy, Traffic::Calm] {
        let heap = heap_of(64, traffic, 0);
        for len in [1, 16, 17, 100, 2048, 2049, 5000, 65_536] {
            let mut held = Held::new(&heap, len).unwrap();
            held.bytes().fill(0xaa);
            let start = held.start;
            held.release(&heap);
            assert!(is_zero(start, len), "{len}");
        }
        let (start, len) = whole(&heap);
        assert!(is_zero(start, len));
    }
}

#[test]
fn what_resizing_leaves_is_zero_at_once() {
    let heap = heap_of(64, Traffic::Busy, 0);
    for (from, to) in [(32, 300), (5000, 20_000), (20_000, 50), (2000, 3000)] {
        let mut held = Held::new(&heap, from).unwrap();
        held.bytes().fill(0xaa);
        let before = held.start;
        // SAFETY: we alone hold the object, and use the new pointer from now on.
        let start = unsafe { heap.resize(before, to, Draw::Ordinary) }.unwrap();
        let mut held = Held { start, len: to };
        assert_ne!(start, before);
        assert!(is_zero(before, from), "{from} to {to}");
        let kept = from.min(to);
        assert!(held.bytes()[..kept].iter().all(|byte| *byte == 0xaa));
        assert!(held.bytes()[kept..].iter().all(|byte| *byte == 0));
        held.release(&heap);
    }
    // In place, the cut-off end is zeroed too.
    let mut held = Held::new(&heap, 64).unwrap();
    held.bytes().fill(0xaa);
    // SAFETY: as above.
    let start = unsafe { heap.resize(held.start, 40, Draw::Ordinary) }.unwrap();
    assert_eq!(start, held.start);
    assert_eq!(held.bytes()[40..], [0; 24]);
    held.release(&heap);
}

#[test]
fn a_full_arena_says_so_and_is_whole_again_afterwards() {
    for traffic in [Traffic::Busy, Traffic::Calm] {
        let heap = heap_of(64, traffic, 0);
        for size in SIZES.into_iter().chain([4096, 8192, 65_536]) {
            let mut all = Vec::new();
            while let Some(held) = Held::new(&heap, size) {
                all.push(held);
            }
            let per_page = (PAGE_LEN / size).max(1);
            assert_eq!(all.len(), 64 * per_page / size.div_ceil(PAGE_LEN), "{size}");
            assert!(Held::new(&heap, size).is_none());
            for held in all {
                held.release(&heap);
            }
            assert_eq!(heap.used_len(), 0);
            // Stocks are taken back when something large needs their pages.
            let largest = Held::new(&heap, 64 * PAGE_LEN).unwrap();
            largest.release(&heap);
        }
        assert!(Held::new(&heap, 64 * PAGE_LEN + 1).is_none());
        assert!(Held::new(&heap, usize::MAX).is_none());
    }
}

#[test]
fn survivors_cost_their_own_pages_only() {
    let heap = heap_of(256, Traffic::Busy, 0);
    let mut all: Vec<_> = std::iter::from_fn(|| Held::new(&heap, 48)).collect();
    // Every hundredth page keeps one object: three pages of 256.
    let per_page = PAGE_LEN / 48;
    let mut survivors = Vec::new();
    for (index, held) in all.drain(..).enumerate() {
        if index % (100 * per_page) == 0 {
            survivors.push(held);
        } else {
            held.release(&heap);
        }
    }
    assert_eq!(survivors.len(), 3);
    let runs: Vec<_> = std::iter::from_fn(|| Held::new(&heap, 40 * PAGE_LEN)).collect();
    assert_eq!(
        runs.len(),
        5,
        "two, two and one in the gaps of 99, 99 and 55 pages"
    );
    for held in runs.into_iter().chain(survivors) {
        held.release(&heap);
    }
    assert_eq!(heap.used_len(), 0);
}

#[test]
fn small_objects_that_live_long_leave_room_for_large_ones() {
    let heap = heap_of(128, Traffic::Busy, 0);
    let mut kept = Vec::new();
    for round in 0..200 {
        // A session: some buffers, a key that stays.
        let buffer = Held::new(&heap, 64 * 1024).unwrap();
        let other = Held::new(&heap, 20 * 1024).unwrap();
        kept.push(Held::new(&heap, 32 + round % 64).unwrap());
        buffer.release(&heap);
        other.release(&heap);
    }
    let large = Held::new(&heap, 100 * PAGE_LEN).unwrap();
    large.release(&heap);
    for held in kept {
        held.release(&heap);
    }
}

#[test]
fn the_reserve_is_for_those_who_ask_for_it() {
    let heap = heap_of(16, Traffic::Busy, 4);
    let ordinary: Vec<_> = std::iter::from_fn(|| Held::new(&heap, PAGE_LEN)).collect();
    assert_eq!(ordinary.len(), 12);
    assert!(Held::new(&heap, 16).is_none(), "not even a slab");
    assert_eq!(heap.with_reserve(|| 5), Some(5));
    let start = heap.allocate(3 * PAGE_LEN, Draw::Reserve).unwrap();
    assert_eq!(heap.with_reserve(|| 5), None, "the reserve is not whole");
    // SAFETY: nobody uses it.
    unsafe { heap.release(start) };
    assert_eq!(heap.with_reserve(|| 5), Some(5));
    for held in ordinary {
        held.release(&heap);
    }
}

#[test]
fn an_arena_grows_by_segments() {
    let heap = heap_of(4, Traffic::Calm, 0);
    let first: Vec<_> = std::iter::from_fn(|| Held::new(&heap, PAGE_LEN)).collect();
    assert_eq!(first.len(), 4);
    for _ in 1..MAX_SEGMENTS {
        heap.add_segment(Segment::new(Mapping::locked(2 * PAGE_LEN).unwrap()))
            .unwrap();
    }
    assert!(
        heap.add_segment(Segment::new(Mapping::locked(PAGE_LEN).unwrap()))
            .is_err()
    );
    assert_eq!(heap.size(), (4 + 2 * (MAX_SEGMENTS - 1)) * PAGE_LEN);
    assert!(
        Held::new(&heap, 3 * PAGE_LEN).is_none(),
        "runs lie in one segment"
    );
    let more: Vec<_> = std::iter::from_fn(|| Held::new(&heap, 2000)).collect();
    assert_eq!(more.len(), 2 * 2 * (MAX_SEGMENTS - 1));
    for held in first.into_iter().chain(more) {
        held.release(&heap);
    }
    assert_eq!(heap.used_len(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Allocate { len: usize },
    Release { which: usize },
    Resize { which: usize, len: usize },
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0..300_usize, 3 => 0..3000_usize, 1 => 0..30_000_usize]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => length().prop_map(|len| Step::Allocate { len }),
        4 => any::<usize>().prop_map(|which| Step::Release { which }),
        2 => (any::<usize>(), length()).prop_map(|(which, len)| Step::Resize { which, len }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_heap_behaves_as_its_model(
        steps in proptest::collection::vec(step(), 1..400),
        is_busy in any::<bool>(),
    ) {
        let traffic = if is_busy { Traffic::Busy } else { Traffic::Calm };
        let heap = heap_of(24, traffic, 2);
        let mut model: Vec<(Held, u8)> = Vec::new();
        let mut mark = 0_u8;
        for step in steps {
            mark = mark.wrapping_add(1).max(1);
            match step {
                Step::Allocate { len } => {
                    let used = heap.used_len();
                    let Some(mut held) = Held::new(&heap, len) else {
                        prop_assert_eq!(heap.used_len(), used);
                        continue;
                    };
                    prop_assert_eq!(held.start.as_ptr().addr() % 16, 0);
                    prop_assert!(is_zero(held.start, heap.capacity(held.start)));
                    held.bytes().fill(mark);
                    model.push((held, mark));
                }
                Step::Release { which } if !model.is_empty() => {
                    let (held, _) = model.swap_remove(which % model.len());
                    held.release(&heap);
                }
                Step::Resize { which, len } if !model.is_empty() => {
                    let index = which % model.len();
                    let (held, old_mark) = &mut model[index];
                    let kept = held.len.min(len);
                    // SAFETY: the model alone holds the object.
                    let moved = unsafe { heap.resize(held.start, len, Draw::Ordinary) };
                    if let Some(start) = moved {
                        *held = Held { start, len };
                        prop_assert!(held.bytes()[..kept].iter().all(|byte| byte == old_mark));
                        held.bytes().fill(mark);
                        *old_mark = mark;
                    }
                }
                _ => {}
            }
            let capacities = model.iter().map(|(held, _)| heap.capacity(held.start));
            prop_assert_eq!(heap.used_len(), capacities.sum::<usize>());
        }
        // Objects that overlapped would have overwritten each other's marks.
        for (held, mark) in &mut model {
            prop_assert!(held.bytes().iter().all(|byte| byte == mark));
        }
        for (held, _) in model {
            held.release(&heap);
        }
        prop_assert_eq!(heap.used_len(), 0);
        let (start, len) = whole(&heap);
        prop_assert!(is_zero(start, len));
    }
}

#[test]
fn threads_never_share_an_object() {
    let heap = heap_of(256, Traffic::Busy, 4);
    let exchange: Mutex<Vec<(Held, u8)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 1..=8_u8 {
            let (heap, exchange) = (&heap, &exchange);
            scope.spawn(move || {
                let mut random = 0x9e37_79b9_7f4a_7c15_u64.rotate_left(u32::from(thread));
                let mut mine: Vec<(Held, u8)> = Vec::new();
                for _ in 0..20_000 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let pick = usize::try_from(random >> 33).unwrap();
                    match pick % 8 {
                        0..4 => {
                            let len = 1 + pick / 8 % if pick % 64 == 0 { 9000 } else { 400 };
                            if let Some(mut held) = Held::new(heap, len) {
                                assert!(held.bytes().iter().all(|byte| *byte == 0));
                                held.bytes().fill(thread);
                                mine.push((held, thread));
                            }
                        }
                        4..7 if !mine.is_empty() => {
                            let (mut held, mark) = mine.swap_remove(pick / 8 % mine.len());
                            assert!(held.bytes().iter().all(|byte| *byte == mark));
                            held.release(heap);
                        }
                        7 if !mine.is_empty() => {
                            // What one thread allocates, another frees.
                            let mut shared = exchange.lock().unwrap();
                            shared.push(mine.swap_remove(0));
                            let index = pick % shared.len();
                            mine.push(shared.swap_remove(index));
                        }
                        _ => {}
                    }
                    if mine.len() > 300 {
                        mine.drain(..200).for_each(|(held, _)| held.release(heap));
                    }
                }
                mine.into_iter().for_each(|(held, _)| held.release(heap));
            });
        }
    });
    for (held, _) in exchange.into_inner().unwrap() {
        held.release(&heap);
    }
    assert_eq!(heap.used_len(), 0);
    let (start, len) = whole(&heap);
    assert!(is_zero(start, len));
    Held::new(&heap, 252 * PAGE_LEN).unwrap().release(&heap);
}

#[test]
fn stocks_stay_small_whatever_the_number_of_threads() {
    let heap = heap_of(64, Traffic::Busy, 0);
    for _ in 0..200 {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let held: Vec<_> = (0..20).filter_map(|_| Held::new(&heap, 100)).collect();
                held.into_iter().for_each(|each| each.release(&heap));
            });
        });
    }
    let in_stock = heap.books().used_len();
    assert_eq!(heap.used_len(), 0);
    assert!(in_stock <= heap.size() / 16, "{in_stock} bytes in stock");
}

/// Misuse ends the process: each case in a child.
#[test]
fn misuse_aborts() {
    const CASES: [&str; 7] = [
        "double free",
        "double free of a run",
        "free of the inside",
        "free of the inside of a run",
        "free of foreign memory",
        "free of a page never used",
        "resize after free",
    ];
    let Some(case) = case() else {
        for case in CASES {
            let status = in_child("arena::tests::misuse_aborts", case);
            assert_eq!(status.signal(), Some(libc::SIGABRT), "{case}");
        }
        assert!(in_child("arena::tests::misuse_aborts", "no misuse").success());
        return;
    };
    let heap = heap_of(16, Traffic::Busy, 0);
    let small = heap.allocate(100, Draw::Ordinary).unwrap();
    let run = heap.allocate(10_000, Draw::Ordinary).unwrap();
    let mut foreign = [0_u8; 64];
    // SAFETY: each call breaks the contract on purpose, and is caught before it does anything.
    unsafe {
        match case.as_str() {
            "double free" => {
                heap.release(small);
                heap.release(small);
            }
            "double free of a run" => {
                heap.release(run);
                heap.release(run);
            }
            "free of the inside" => heap.release(small.add(16)),
            "free of the inside of a run" => heap.release(run.add(PAGE_LEN)),
            "free of foreign memory" => {
                heap.release(NonNull::new(foreign.as_mut_ptr()).unwrap());
            }
            "free of a page never used" => heap.release(whole(&heap).0.add(5 * PAGE_LEN)),
            "resize after free" => {
                heap.release(small);
                heap.resize(small, 50, Draw::Ordinary);
            }
            _ => {}
        }
    }
}
