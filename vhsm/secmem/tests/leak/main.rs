//! No key, hash state or round key is anywhere in this process but in the arenas: not after the
//! operations, and not while they run, save on the stack of the very thread that is behind the
//! door at that moment. There AWS-LC puts P-256 scalars on import and Ed25519's expanded key; the
//! scrub takes them away, and what a sample catches before it does is printed. An arena stack will
//! make that nothing too.
//!
//! A test of its own, because it searches its whole process.

#![expect(
    unsafe_code,
    clippy::unwrap_used,
    reason = "the forms that AWS-LC gives keys are computed by AWS-LC, and the arena is read directly; a test fails by panicking"
)]

mod needles;
mod scan;
mod secrets;

use needles::Needles;
use nitride_secmem::{ArenaSizes, Backing, BackingChoice, arena_ranges, install};
use scan::{Extent, Finding, Scanner};
use secrets::{STEPS, Secrets};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

/// How long the memory is sampled while operations run.
const SAMPLING: Duration = Duration::from_secs(6);

const WORKER_COUNT: usize = 2;

/// How far below a worker's own frames its calls go: the scrub's length and what is above it.
const DEEPEST_CALL_LEN: usize = 32 * 1024;

fn counted(findings: &[Finding]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for finding in findings {
        *counts
            .entry(format!("{} in {}", finding.needle, finding.mapping))
            .or_default() += 1;
    }
    counts
}

/// How often each needle is in the arenas, read where it lies.
fn in_arenas(needles: &Needles) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (start, len) in arena_ranges() {
        // SAFETY: the range is mapped for as long as the process lives. Nothing runs meanwhile
        // that writes there.
        let arena = unsafe {
            std::slice::from_raw_parts(std::ptr::with_exposed_provenance::<u8>(start), len)
        };
        needles.find(arena, |needle, _| {
            *counts.entry(needle.name.clone()).or_default() += 1;
        });
    }
    counts
}

#[test]
fn no_secret_is_outside_the_arenas() {
    let sizes = ArenaSizes {
        records_len: 1 << 20,
        heap_len: 3 << 20,
    };
    let installed = install(sizes, BackingChoice::Best).unwrap();
    let mut scanner = Scanner::new();
    let secrets = Secrets::new();

    // The needles have the form that AWS-LC gives them: each of these is in the arenas.
    let kept = Needles::new(secrets.kept());
    let counts = in_arenas(&kept);
    for name in kept.names() {
        assert!(
            counts.contains_key(name),
            "{name} is not in the arenas: {counts:?}"
        );
    }
    let all = Needles::new(
        secrets
            .kept()
            .into_iter()
            .chain(secrets.passing())
            .collect(),
    );
    println!("{} needles", all.names().count());

    // Not even the kernel reads memfd_secret for us; the rest it does.
    for (start, _) in arena_ranges() {
        assert_eq!(
            scanner.can_read(start),
            installed.backing() == Backing::Locked
        );
    }
    assert!(scanner.can_read((&raw const secrets).addr()));

    // The scan bites: a copy on the heap is found where it is, and gone when it is gone.
    let mut leaked = secrets.leak();
    for extent in [Extent::All, Extent::Writable] {
        let (findings, _) = scanner.scan(&all, extent);
        let places: Vec<_> = findings.iter().map(|finding| finding.address).collect();
        assert_eq!(places, [leaked.as_ptr().addr()], "{:?}", counted(&findings));
        assert_eq!(findings[0].needle, "gcm key");
    }
    leaked.fill(0);
    std::hint::black_box(&mut leaked);

    // Before, and after each operation, while the thread that did it has not moved on: waiting
    // takes little of its stack, and what lies deeper is as the operation left it.
    let (findings, searched) = scanner.scan(&all, Extent::All);
    println!("before: {} findings in {searched} bytes", findings.len());
    assert!(findings.is_empty(), "{:?}", counted(&findings));
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (round, (_, step)) in STEPS.iter().enumerate() {
                step(&secrets, round);
                barrier.wait();
                barrier.wait();
            }
        });
        let mut left = Vec::new();
        for (name, _) in STEPS {
            barrier.wait();
            let (findings, _) = scanner.scan(&all, Extent::Writable);
            left.extend(findings.into_iter().map(|finding| (name, finding)));
            barrier.wait();
        }
        println!(
            "after each of {} operations: {} findings",
            STEPS.len(),
            left.len()
        );
        assert!(left.is_empty(), "{left:?}");
    });

    // While other threads work.
    let (is_over, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    let tops = Mutex::new(Vec::new());
    let mut findings = Vec::new();
    let (mut samples, mut searched) = (0, 0);
    std::thread::scope(|scope| {
        for _ in 0..WORKER_COUNT {
            scope.spawn(|| {
                let local = 0_u8;
                tops.lock().unwrap().push((&raw const local).addr());
                while !is_over.load(Ordering::Relaxed) {
                    secrets.work(rounds.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
        let start = Instant::now();
        while start.elapsed() < SAMPLING {
            let (found, read) = scanner.scan(&all, Extent::Writable);
            findings.extend(found);
            samples += 1;
            searched += read;
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let tops = tops.into_inner().unwrap();
    let (behind_the_door, elsewhere): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|finding| {
            tops.iter()
                .any(|top| (top - DEEPEST_CALL_LEN..*top).contains(&finding.address))
        });
    println!(
        "during {} rounds: {} findings in {samples} samples of {} bytes; behind the door: {:?}",
        rounds.load(Ordering::Relaxed),
        elsewhere.len(),
        searched / samples,
        counted(&behind_the_door),
    );
    assert!(
        samples >= 10 && rounds.into_inner() >= 50,
        "too slow to tell"
    );
    assert!(elsewhere.is_empty(), "{:?}", counted(&elsewhere));
    let (afterwards, searched) = scanner.scan(&all, Extent::All);
    println!(
        "afterwards: {} findings in {searched} bytes",
        afterwards.len()
    );
    assert!(afterwards.is_empty(), "{:?}", counted(&afterwards));

    // And once everything is destroyed, not in the arenas either.
    drop(secrets);
    let left = in_arenas(&all);
    assert!(left.is_empty(), "{left:?}");
}
