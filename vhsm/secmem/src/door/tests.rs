//! How deep calls go, and what surrounds them.

use super::*;
use crate::SecretBuf;
use crate::crypto::{
    AeadAlgorithm, AeadKey, EcP256, Ed25519, HmacSha256, aes256_key_unwrap, concat_kdf_sha256,
    fill_random, sha256, sha384, verify_ed25519, verify_p256_sha256,
};
use crate::install::arena_ranges;
use crate::signals::block_signals_on_this_thread;
use crate::stacks::{STACK_LEN, deepest_of};
use crate::testing::{case, in_child, installed};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How deep `work` goes on a fresh thread, the seeding of the thread's generator included.
fn depth_on_a_new_thread(work: impl Fn() + Sync) -> usize {
    std::thread::scope(|scope| scope.spawn(|| deepest_of(&work)).join().unwrap())
}

/// Room for the frame of a fault at the deepest point: the vector registers of a processor with
/// AVX-512 take 2.7 KiB of it.
const SIGNAL_FRAME_LEN: usize = 4096;

/// Has the compiler compute a result that nobody looks at.
fn keep<T>(result: T) {
    std::hint::black_box(result);
}

#[test]
fn every_call_and_a_signal_in_it_fit_a_stack() {
    installed();
    let data = vec![7; 65_536];
    let mut measured = Vec::new();
    let mut measure = |name: &'static str, work: &(dyn Fn() + Sync)| {
        measured.push((name, depth_on_a_new_thread(work)));
    };
    measure("random", &|| fill_random(&mut [0; 100]));
    measure("sha-256", &|| keep(sha256(&[&data])));
    measure("sha-384", &|| keep(sha384(&[&data])));
    measure("p-256 generate", &|| keep(EcP256::generate().unwrap()));
    measure("p-256 import", &|| {
        keep(EcP256::from_scalar(&[1; 32]).unwrap());
    });
    let key = EcP256::generate().unwrap();
    let point = key.public_point();
    let signature = key.sign(&data).unwrap();
    measure("p-256 sign", &|| keep(key.sign(&data).unwrap()));
    measure("p-256 export", &|| key.scalar_into(&mut [0; 32]));
    measure("p-256 agree", &|| keep(key.ecdh(&point).unwrap()));
    measure("p-256 verify", &|| {
        assert!(verify_p256_sha256(&point, &[&data], &signature));
    });
    measure("ed25519 generate", &|| keep(Ed25519::generate().unwrap()));
    let key = Ed25519::generate().unwrap();
    let signature = key.sign(&data).unwrap();
    measure("ed25519 sign", &|| keep(key.sign(&data).unwrap()));
    measure("ed25519 verify", &|| {
        assert!(verify_ed25519(&key.public(), &data, &signature));
    });
    for algorithm in [AeadAlgorithm::Aes256Gcm, AeadAlgorithm::Aes256GcmSiv] {
        measure("aead expand", &|| {
            keep(AeadKey::new(algorithm, &[1; 32]).unwrap());
        });
        let key = AeadKey::new(algorithm, &[1; 32]).unwrap();
        for len in [0, 1, 16, 100, 500, 1024, 65_536] {
            let mut sealed = vec![0; len + 16];
            key.seal(&[1; 12], &[b"a", b"b"], &data[..len], &mut sealed)
                .unwrap();
            measure("seal", &|| {
                let mut out = vec![0; len + 16];
                key.seal(&[1; 12], &[b"a", b"b"], &data[..len], &mut out)
                    .unwrap();
            });
            measure("open", &|| {
                let mut out = vec![0; len];
                key.open(&[1; 12], &[b"a", b"b"], &sealed, &mut out)
                    .unwrap();
            });
        }
    }
    measure("hmac key", &|| keep(HmacSha256::new(&[1; 100]).unwrap()));
    let key = HmacSha256::new(&[1; 32]).unwrap();
    measure("hmac tag", &|| keep(key.tag(&data).unwrap()));
    measure("hmac verify", &|| {
        keep(key.verify(&data, &[0; 32]).unwrap());
    });
    measure("unwrap", &|| keep(aes256_key_unwrap(&[1; 32], &[1; 40])));
    let secret = SecretBuf::copy_of(&[1; 32]).unwrap();
    measure("kdf", &|| keep(concat_kdf_sha256(&secret, &data).unwrap()));
    measured.sort_by_key(|(_, depth)| *depth);
    println!("stack depths in bytes: {measured:?}");
    let (name, deepest) = measured[measured.len() - 1];
    assert!(deepest > 1024, "nothing was measured: {measured:?}");
    assert!(
        2 * deepest + SIGNAL_FRAME_LEN <= STACK_LEN,
        "{name} goes {deepest} bytes deep: {measured:?}"
    );
}

#[test]
fn the_first_seeding_of_the_process_fits_a_stack() {
    if case().is_some() {
        let depth = deepest_of(|| {
            installed();
        });
        println!("first seeding: {depth} bytes deep");
        assert!(depth > 512, "nothing was measured: {depth}");
        assert!(2 * depth + SIGNAL_FRAME_LEN <= STACK_LEN, "{depth}");
        return;
    }
    let status = in_child(
        "door::tests::the_first_seeding_of_the_process_fits_a_stack",
        "child",
    );
    assert!(status.success());
}

/// Where a local of the caller's caller is, about.
#[inline(never)]
fn place() -> usize {
    let local = 0_u8;
    (&raw const local).addr()
}

#[test]
fn a_call_is_inside_the_heap_arena_and_its_caller_is_not() {
    installed();
    let [_, (start, len)] = arena_ranges();
    let arena = start..start + len;
    assert!(arena.contains(&through(place)));
    assert!(!arena.contains(&place()));
}

#[test]
fn a_call_within_a_call_is_part_of_it() {
    installed();
    let key = EcP256::generate().unwrap();
    let (outer, inner) = through(|| (place(), through(place)));
    assert!(outer.abs_diff(inner) < STACK_LEN);
    // More at once than there are stacks, each with calls of every kind inside.
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                let shared = enter_on_reserve(|| {
                    fill_random(&mut [0; 32]);
                    key.sign(b"message")?;
                    key.ecdh(&key.public_point())
                });
                assert_eq!(shared.unwrap().len(), 32);
            });
        }
    });
}

#[test]
fn a_panic_behind_the_door_comes_out_of_it_and_leaves_it_in_order() {
    installed();
    for _ in 0..40 {
        let result = catch_unwind(AssertUnwindSafe(|| {
            enter_on_reserve(|| -> Result<(), CryptoError> { resume_unwind(Box::new("within")) })
        }));
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&"within"));
        assert!(!redirect::draws_on_reserve());
    }
    assert!(!is_blocked(libc::SIGTERM));
    assert!(EcP256::generate().unwrap().sign(b"message").is_ok());
}

fn is_blocked(signal: libc::c_int) -> bool {
    let mut now = MaybeUninit::uninit();
    // SAFETY: with no set to change, the call writes the one that is now.
    unsafe {
        assert_eq!(
            libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), now.as_mut_ptr()),
            0
        );
        libc::sigismember(now.as_ptr(), signal) == 1
    }
}

const BLOCKABLE: [libc::c_int; 7] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGALRM,
    libc::SIGCHLD,
    libc::SIGPROF,
];

#[test]
fn signals_are_blocked_within_calls_and_as_they_were_afterwards() {
    installed();
    std::thread::spawn(|| {
        assert!(!BLOCKABLE.into_iter().any(is_blocked));
        through(|| {
            assert!(BLOCKABLE.into_iter().all(is_blocked));
            through(|| assert!(BLOCKABLE.into_iter().all(is_blocked)));
            assert!(BLOCKABLE.into_iter().all(is_blocked));
            for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE] {
                assert!(!is_blocked(fault));
            }
        });
        assert!(!BLOCKABLE.into_iter().any(is_blocked));
        block_signals_on_this_thread();
        assert!(BLOCKABLE.into_iter().all(is_blocked));
        through(|| assert!(BLOCKABLE.into_iter().all(is_blocked)));
        assert!(BLOCKABLE.into_iter().all(is_blocked));
    })
    .join()
    .unwrap();
}

static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handle(_: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn a_signal_that_comes_during_a_call_is_handled_after_it() {
    installed();
    let handler: extern "C" fn(libc::c_int) = handle;
    // SAFETY: the handler only counts; no other test of this process uses the signal.
    unsafe { libc::signal(libc::SIGUSR2, handler as libc::sighandler_t) };
    let seen = through(|| {
        // SAFETY: sends a signal to this thread, which has a handler for it.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR2) };
        HANDLED.load(Ordering::SeqCst)
    });
    assert_eq!((seen, HANDLED.load(Ordering::SeqCst)), (0, 1));
}
