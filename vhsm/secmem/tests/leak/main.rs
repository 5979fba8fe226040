//! No key, hash state or round key is anywhere in this process but in the arenas: not after the
//! operations, and not while they run, not even on the stack of the thread that is behind the door
//! at that moment, or where a signal would have its registers saved, or for a moment between two
//! instructions.
//!
//! A test of its own, because it searches its whole process.

#![expect(
    unsafe_code,
    clippy::unwrap_used,
    reason = "the forms that AWS-LC gives keys are computed by AWS-LC, the arena is read directly, and workers get signals; a test fails by panicking"
)]

mod forms;
#[cfg(target_arch = "x86_64")]
mod instants;
mod needles;
mod scan;
mod secrets;
mod worker;

use needles::Needles;
use nitride_secmem::{ArenaSizes, Backing, BackingChoice, arena_ranges, install};
use scan::{Extent, Finding, Scanner, readable_in_arenas};
use secrets::{ROUNDS_PER_KEY, STEPS, Secrets};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};
use worker::{Kind, with_workers};

/// How long the memory is sampled while operations run, and at most where the machine has others
/// to serve and it takes longer to have seen enough.
const SAMPLING: Duration = Duration::from_secs(8);
const LONGEST_SAMPLING: Duration = Duration::from_secs(60);
/// How long at most until the samples find what is not behind the door.
const PATIENCE: Duration = Duration::from_secs(20);
/// Samples of the workers' stacks for each scan of everything.
const SAMPLES_PER_SCAN: usize = 100;

fn counted(findings: &[Finding]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for finding in findings {
        *counts
            .entry(format!("{} in {}", finding.needle, finding.mapping))
            .or_default() += 1;
    }
    counts
}

fn counted_by_name(findings: &[Finding]) -> BTreeSet<&str> {
    let names = findings.iter().map(|finding| finding.needle.as_str());
    names.collect()
}

/// How often each needle is in the arenas, read where it lies.
fn in_arenas(needles: &Needles) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (start, len) in readable_in_arenas() {
        // SAFETY: the range is readable for as long as the process lives. Nothing runs meanwhile
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

/// However short something is there.
#[cfg(target_arch = "x86_64")]
fn between_instructions(needles: &Needles, secrets: &Secrets) {
    // This bites: what is there for a moment is seen, written outside the door or behind it.
    let through_the_door = |place: &mut [u8; 32]| {
        secrets.leak_through_the_door(place);
        std::hint::black_box(place).fill(0);
    };
    let bites: [(&str, &str, &(dyn Fn() + Sync)); 3] = [
        ("gcm key", "heap", &|| {
            std::hint::black_box(secrets.leak()).fill(0);
        }),
        ("generated scalar", "heap", &|| {
            through_the_door(&mut Box::new([0; 32]));
        }),
        ("generated scalar", "stack", &|| {
            through_the_door(&mut [0; 32]);
        }),
    ];
    for (name, mapping, work) in bites {
        let seen = instants::between_instructions(needles, work);
        let is_it = |found: &Finding| found.needle == name && found.mapping == mapping;
        assert!(
            seen.findings.iter().any(is_it),
            "a {name} in the {mapping} is not seen: {:?}",
            seen.findings
        );
    }
    let (mut instants, mut behind, mut findings) = (0, 0, Vec::new());
    for (name, step) in STEPS {
        let seen = instants::between_instructions(needles, &|| step(secrets, ROUNDS_PER_KEY));
        assert!(seen.behind > 0, "{name}: nothing is seen behind the door");
        instants += seen.instants;
        behind += seen.behind;
        findings.extend(seen.findings.into_iter().map(|finding| (name, finding)));
    }
    println!(
        "between instructions: {} findings in {instants} looks, {behind} of them after a write behind the door",
        findings.len()
    );
    assert!(findings.is_empty(), "{findings:?}");
}

/// While other threads work.
fn during_operations(scanner: &mut Scanner, needles: &Needles, secrets: &Secrets) {
    // The samples bite: without the door, a computation is seen on its thread's stack.
    for (name, work) in secrets.in_the_open() {
        let (kinds, rounds) = ([Kind::InTheOpen], AtomicUsize::new(0));
        let seen = with_workers(kinds, &|_, _| work(), &rounds, |workers| {
            let start = Instant::now();
            loop {
                let mut found = workers[0].sample(scanner, needles);
                found.retain(|finding| finding.needle.starts_with(name));
                if !found.is_empty() || start.elapsed() > PATIENCE {
                    break found;
                }
            }
        });
        println!("in the open: {:?}", counted(&seen));
        assert!(!seen.is_empty(), "the samples see nothing of {name}");
    }

    let kinds = [Kind::Silenced, Kind::Interrupted];
    let rounds = AtomicUsize::new(0);
    let mut findings = Vec::new();
    let (mut samples, mut scans, mut searched) = (0, 0, 0);
    let work = |kind, round| match kind {
        Kind::Silenced => secrets.work(round),
        _ => secrets.compute(round),
    };
    with_workers(kinds, &work, &rounds, |workers| {
        let start = Instant::now();
        let enough = |samples, scans| samples >= 2000 && scans >= 5;
        while start.elapsed() < SAMPLING
            || (!enough(samples, scans) && start.elapsed() < LONGEST_SAMPLING)
        {
            for _ in 0..SAMPLES_PER_SCAN {
                for worker in workers {
                    worker.interrupt();
                    findings.extend(worker.sample(scanner, needles));
                    samples += 1;
                }
            }
            let (found, read) = scanner.scan(needles, Extent::Writable);
            findings.extend(found);
            scans += 1;
            searched += read;
        }
    });
    let rounds = rounds.into_inner();
    println!(
        "during {rounds} rounds: {} findings in {samples} samples of stacks and {scans} scans of {} bytes",
        findings.len(),
        searched / scans,
    );
    assert!(
        samples >= 2000 && scans >= 5 && rounds >= 50,
        "too slow to tell"
    );
    assert!(findings.is_empty(), "{:?}", counted(&findings));
}

#[test]
fn no_secret_is_outside_the_arenas() {
    let sizes = ArenaSizes {
        records_len: 1 << 20,
        records_max_len: 1 << 20,
        heap_len: 3 << 20,
    };
    let installed = install(sizes, BackingChoice::Best, Vec::new()).unwrap();
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

    // And so is a copy of each of them.
    let mut planted = all.plant();
    let (findings, _) = scanner.scan(&all, Extent::Writable);
    let found = counted_by_name(&findings);
    for name in all.names() {
        assert!(found.contains(name), "{name} is not seen when it leaks");
    }
    planted.iter_mut().for_each(|copy| copy.fill(0));
    std::hint::black_box(&mut planted);

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

    #[cfg(target_arch = "x86_64")]
    between_instructions(&all, &secrets);
    during_operations(&mut scanner, &all, &secrets);
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
