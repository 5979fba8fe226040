//! A full arena and a thousand threads: refusals, never an abort, and nothing lost afterwards.
//!
//! One test, since the arenas are the process's: its parts follow one another.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use nitride_secmem::crypto::{
    AeadAlgorithm, AeadKey, CryptoError, EcP256, HmacSha256, fill_random,
};
use nitride_secmem::{ArenaFull, ArenaSizes, BackingChoice, Record, SecretBuf, install, usage};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const THREAD_COUNT: usize = 1000;

/// Most bytes of the arena that AWS-LC may keep for one thread's generator.
const MAX_GENERATOR_LEN: usize = 1024;

fn many_threads(count: usize, work: impl Fn() + Sync) {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|_| {
                thread::Builder::new()
                    .stack_size(128 * 1024)
                    .spawn_scoped(scope, &work)
                    .unwrap()
            })
            .collect();
        // A scope ends when the closures have: what a thread frees at its own end comes later.
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

fn each_thread_has_a_small_generator_and_gives_it_back() {
    let before = usage().heap_used;
    let inside = AtomicUsize::new(0);
    let barrier = Barrier::new(THREAD_COUNT);
    let key = EcP256::generate().unwrap();
    many_threads(THREAD_COUNT, || {
        key.sign(b"message").unwrap();
        fill_random(&mut [0; 32]);
        if barrier.wait().is_leader() {
            inside.store(usage().heap_used, Ordering::Relaxed);
        }
        barrier.wait();
    });
    drop(key);
    let each = (inside.into_inner() - before) / THREAD_COUNT;
    println!("one thread's generator: {each} bytes");
    assert!((1..=MAX_GENERATOR_LEN).contains(&each));
    // AWS-LC frees it after Rust's own thread locals are gone.
    assert_eq!(usage().heap_used, before);
}

fn a_full_arena_refuses_and_recovers() {
    let key = EcP256::generate().unwrap();
    let mac = HmacSha256::new(&[1; 32]).unwrap();
    let point = key.public_point();
    let before = usage().heap_used;
    let room = SecretBuf::with_len(32).unwrap();
    let mut hoard = Vec::new();
    // Whole pages, then every size class.
    let lengths = [65_536, 4096].into_iter();
    for len in lengths.chain((1..=128).rev().map(|steps| steps * 16)) {
        while let Ok(secret) = SecretBuf::with_len(len) {
            hoard.push(secret);
        }
    }
    assert_eq!(SecretBuf::with_len(16).unwrap_err(), ArenaFull);
    // This thread has a generator already; keys and contexts find no room.
    let refusal = CryptoError::ArenaFull;
    assert_eq!(EcP256::generate().unwrap_err(), refusal);
    let expanded = AeadKey::new(AeadAlgorithm::Aes256Gcm, &[1; 32]);
    assert_eq!(expanded.unwrap_err(), refusal);
    // A tag wants none.
    assert!(mac.tag(b"data").is_ok());
    assert_eq!(key.ecdh(&point).unwrap_err(), refusal);
    // With room for its result, agreement has the reserve for the rest.
    drop(room);
    let shared = key.ecdh(&point).unwrap();
    // A new thread can have no generator in the end, and says so instead of ending the process.
    let refused = AtomicUsize::new(0);
    let barrier = Barrier::new(100);
    many_threads(100, || {
        let mut bytes = [0; 32];
        fill_random(&mut bytes);
        assert_ne!(bytes, [0; 32], "the kernel fills in");
        if EcP256::generate().is_err_and(|error| error == refusal) {
            refused.fetch_add(1, Ordering::Relaxed);
        }
        // All at once, so that the reserve cannot serve one after the other.
        barrier.wait();
    });
    assert_eq!(refused.into_inner(), 100);
    // Records are another arena.
    assert!(Record::new(&[1; 32]).is_ok());
    drop((hoard, shared));
    assert_eq!(usage().heap_used, before);
    key.sign(b"message").unwrap();
    mac.tag(b"data").unwrap();
    let largest = usage().heap_size * 3 / 4;
    assert!(SecretBuf::with_len(largest).is_ok(), "no lasting cracks");
}

fn records_take_their_size() {
    let before = usage().records_used;
    let records: Vec<_> = (0..10_000).map(|_| Record::new(&[7; 32])).collect();
    assert!(records.iter().all(Result::is_ok));
    assert_eq!(
        usage().records_used - before,
        10_000 * 160,
        "and as much for the head of each"
    );
    drop(records);
    assert_eq!(usage().records_used, before);
}

#[test]
fn the_arenas_refuse_when_full_and_are_whole_afterwards() {
    let sizes = ArenaSizes {
        records_len: 2 << 20,
        records_max_len: 2 << 20,
        heap_len: 3 << 20,
    };
    install(sizes, BackingChoice::Best, Vec::new()).unwrap();
    println!("after installation: {:?}", usage());
    each_thread_has_a_small_generator_and_gives_it_back();
    a_full_arena_refuses_and_recovers();
    records_take_their_size();
}
