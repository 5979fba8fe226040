//! Where the stacks lie, who has them, and what is left on them.

use super::*;
use crate::arena::Traffic;
use crate::install::Backing;
use crate::mapping::Mapping;
use crate::testing::{case, in_child};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

const PAINT: u8 = 0xa5;
const LITTER: [u8; 8] = [0xc3; 8];

thread_local! {
    /// How deep this thread's calls went since it began to measure.
    static DEEPEST: Cell<Option<usize>> = const { Cell::new(None) };
}

/// How many bytes of its stack the deepest call takes that `work` makes on this thread.
pub(crate) fn deepest_of(work: impl FnOnce()) -> usize {
    DEEPEST.set(Some(0));
    work();
    DEEPEST.take().unwrap_or(0)
}

pub(super) fn paint(stack: &mut Stack<'_>) {
    if DEEPEST.get().is_some() {
        // SAFETY: the stack is ours, that long, and nothing runs on it yet.
        unsafe { stack.bottom().write_bytes(PAINT, stack.len()) };
    }
}

pub(super) fn measure(stack: &mut Stack<'_>) {
    if let Some(before) = DEEPEST.get() {
        let bytes = bytes_of(stack);
        let untouched = bytes.iter().take_while(|byte| **byte == PAINT).count();
        DEEPEST.set(Some(before.max(stack.len() - untouched)));
    }
}

fn bytes_of<'a>(stack: &'a mut Stack<'_>) -> &'a [u8] {
    // SAFETY: the stack is borrowed exclusively, and that long; nothing runs on it.
    unsafe { std::slice::from_raw_parts(stack.bottom(), stack.len()) }
}

/// Bytes of a heap that has slight stacks.
const LONGER: usize = 1024 * 1024;

/// A heap of its own with the fewest stacks, of each backing that the kernel has.
fn pools() -> Vec<(Backing, Heap, Stacks)> {
    pools_of(512 * 1024)
}

fn pools_of(heap_len: usize) -> Vec<(Backing, Heap, Stacks)> {
    [true, false]
        .into_iter()
        .map(|secret_first| {
            let (mapping, backing, ..) = mapping::best(heap_len, secret_first).unwrap();
            let heap = Heap::new(mapping, Traffic::Busy, 0);
            let stacks = Stacks::in_heap(&heap).unwrap();
            (backing, heap, stacks)
        })
        .collect()
}

/// The line of `/proc/self/smaps` that heads the mapping of `address`, and its `VmFlags`.
fn mapping_of(address: usize) -> (String, BTreeSet<String>) {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut is_it = false;
    let mut head = String::new();
    for line in maps.lines() {
        let range = line.split(' ').next().unwrap().split_once('-');
        if let Some((start, end)) = range
            && let (Ok(start), Ok(end)) = (
                usize::from_str_radix(start, 16),
                usize::from_str_radix(end, 16),
            )
        {
            is_it = (start..end).contains(&address);
            head = line.to_owned();
        } else if is_it && let Some(flags) = line.strip_prefix("VmFlags: ") {
            return (head, flags.split_whitespace().map(str::to_owned).collect());
        }
    }
    panic!("{address:x} is not mapped");
}

#[test]
fn a_stack_is_arena_and_stays_locked_and_secret_beside_its_guard() {
    for (backing, heap, stacks) in pools().into_iter().chain(pools_of(LONGER)) {
        let (start, len) = heap.ranges().next().unwrap();
        assert_eq!(stacks.slight.slots.is_empty(), heap.size() < LONGER);
        let pools = [&stacks.slight, &stacks.shallow, &stacks.slow, &stacks.deep];
        let every = pools.map(|pool| pool.slots.iter().map(|slot| (slot, pool.stack_len)));
        for (slot, stack_len) in every.into_iter().flatten() {
            let bottom = slot.bottom.as_ptr().addr();
            assert!(bottom - GUARD_LEN >= start && bottom + stack_len <= start + len);
            for (address, is_open) in [
                (bottom, true),
                (bottom + stack_len - 1, true),
                (bottom - 1, false),
                (bottom - GUARD_LEN, false),
            ] {
                let (head, flags) = mapping_of(address);
                assert_eq!(head.contains("/secretmem"), backing == Backing::MemfdSecret);
                assert!(flags.contains("lo") && flags.contains("dc"), "{flags:?}");
                // memfd_secret is never dumped, flag or not.
                assert!(flags.contains("dd") || backing == Backing::MemfdSecret);
                for flag in ["rd", "wr"] {
                    assert_eq!(flags.contains(flag), is_open, "{address:x} {flags:?}");
                }
                assert!(!flags.contains("ex"));
            }
        }
    }
}

#[test]
fn the_smallest_heap_keeps_most_of_itself() {
    let mapping = Mapping::locked(512 * 1024).unwrap();
    let heap = Heap::new(mapping, Traffic::Busy, 0);
    let stacks = Stacks::in_heap(&heap).unwrap();
    assert_eq!(stacks.shallow.slots.len(), MIN_COUNT);
    assert_eq!(
        heap.used_len(),
        MIN_COUNT * (GUARD_LEN + STACK_LEN)
            + GUARD_LEN
            + SLOW_STACK_LEN
            + GUARD_LEN
            + DEEP_STACK_LEN
    );
    assert!(heap.used_len() < heap.size() / 2);
}

#[inline(never)]
fn litter() {
    let local = [0xc3_u8; 2048];
    std::hint::black_box(&local);
}

#[test]
fn nothing_is_left_on_a_stack_that_is_given_back() {
    let depths = [Depth::Slight, Depth::Shallow, Depth::Slow, Depth::Deep];
    for (_, _heap, stacks) in pools().into_iter().chain(pools_of(LONGER)) {
        for depth in depths {
            let mut stack = stacks.take(depth);
            let (bottom, len) = (stack.bottom(), stack.len());
            assert!(bytes_of(&mut stack).iter().all(|byte| *byte == 0));
            stack.run(litter).unwrap();
            let has_litter = |bytes: &[u8]| bytes.windows(8).any(|window| window == LITTER);
            assert!(has_litter(bytes_of(&mut stack)), "the test sees litter");
            drop(stack);
            // SAFETY: that many bytes of the arena, which nobody uses: the pool is this test's.
            let left = unsafe { std::slice::from_raw_parts(bottom, len) };
            assert!(left.iter().all(|byte| *byte == 0), "{depth:?}");
        }
    }
}

#[test]
fn a_call_runs_on_the_stack_and_gives_its_result() {
    for (_, _heap, stacks) in pools() {
        let mut stack = stacks.take(Depth::Shallow);
        let range = stack.bottom().addr()..stack.bottom().addr() + STACK_LEN;
        let given = [1, 2, 3];
        let (place, sum) = stack
            .run(|| {
                let local = 0_u8;
                ((&raw const local).addr(), given.iter().sum::<i32>())
            })
            .unwrap();
        assert!(range.contains(&place));
        assert_eq!(sum, 6);
        let panic = stack
            .run(|| -> u8 { std::panic::resume_unwind(Box::new("within")) })
            .unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"within"));
        assert_eq!(stack.run(|| 7).unwrap(), 7);
    }
}

#[inline(never)]
fn descend(depth: usize) -> usize {
    let local = std::hint::black_box([depth; 16]);
    if depth == 0 {
        return local[0];
    }
    descend(depth - 1) + std::hint::black_box(local[1])
}

#[test]
fn a_call_that_goes_too_deep_meets_the_guard() {
    let Some(case) = case() else {
        for (case, signal) in [("10", None), ("1000", Some(libc::SIGSEGV))] {
            let status = in_child(
                "stacks::tests::a_call_that_goes_too_deep_meets_the_guard",
                case,
            );
            assert_eq!(status.signal(), signal, "{case}");
        }
        return;
    };
    for (_, _heap, stacks) in pools() {
        stacks
            .take(Depth::Shallow)
            .run(|| descend(case.parse().unwrap()))
            .unwrap();
    }
}

#[test]
fn who_finds_every_slight_stack_taken_has_a_shallow_one() {
    for (_, _heap, stacks) in pools_of(LONGER) {
        let count = stacks.slight.slots.len();
        let slight: Vec<_> = (0..count).map(|_| stacks.take(Depth::Slight)).collect();
        assert!(slight.iter().all(|stack| stack.depth() == Depth::Slight));
        assert!(slight.iter().all(|stack| stack.len() == SLIGHT_STACK_LEN));
        let shallow = stacks.take(Depth::Slight);
        assert_eq!(
            (shallow.depth(), shallow.len()),
            (Depth::Shallow, STACK_LEN)
        );
        drop(slight);
        assert_eq!(stacks.take(Depth::Slight).depth(), Depth::Slight);
    }
    for (_, _heap, stacks) in pools() {
        assert_eq!(stacks.take(Depth::Slight).depth(), Depth::Shallow);
    }
}

#[test]
fn who_finds_every_stack_taken_waits() {
    for (_, _heap, stacks) in pools() {
        let mut taken: Vec<_> = (0..MIN_COUNT)
            .map(|_| stacks.take(Depth::Shallow))
            .collect();
        let places: BTreeSet<_> = taken.iter().map(|stack| stack.bottom().addr()).collect();
        assert_eq!(places.len(), MIN_COUNT);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| drop(stacks.take(Depth::Shallow)));
            thread::sleep(Duration::from_millis(50));
            assert!(!waiting.is_finished());
            drop(taken.pop());
            waiting.join().unwrap();
        });
    }
}

#[test]
fn a_stack_is_one_threads_at_a_time_and_nobody_is_forgotten() {
    const THREADS: usize = 4 * MIN_COUNT;
    for (_, _heap, stacks) in pools() {
        let inside: Vec<_> = stacks
            .shallow
            .slots
            .iter()
            .map(|_| AtomicBool::new(false))
            .collect();
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for round in 0..500 {
                        let mut stack = stacks.take(Depth::Shallow);
                        let own = |slot: &Slot| std::ptr::eq(slot, stack.slot);
                        let number = stacks.shallow.slots.iter().position(own).unwrap();
                        assert!(!inside[number].swap(true, Ordering::SeqCst));
                        stack
                            .run(|| {
                                if round % 8 == 0 {
                                    thread::yield_now();
                                }
                            })
                            .unwrap();
                        inside[number].store(false, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(stacks.shallow.waiting.load(Ordering::SeqCst), 0);
    }
}
