//! What surrounds calls, and how deep they go.

mod depth;

use super::*;
use crate::crypto::{EcP256, HashAlgorithm, Hmac, MlKem768, fill_random};
use crate::install::arena_ranges;
use crate::signals::block_signals_on_this_thread;
use crate::stacks::{SLIGHT_STACK_LEN, STACK_LEN};
use crate::testing::installed;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where a local of the caller's caller is, about.
#[inline(never)]
fn place() -> usize {
    let local = 0_u8;
    (&raw const local).addr()
}

#[test]
fn a_call_is_inside_the_heap_arena_and_its_caller_is_not() {
    installed();
    let (start, len) = *arena_ranges().last().unwrap();
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
    // Deeper than the stack it is called from: on another, and back.
    let (before, _, after) = through(|| (place(), MlKem768::generate().unwrap(), place()));
    assert!(before.abs_diff(after) < STACK_LEN);
    let (before, _, after) = enter_slightly(|| Ok((place(), through(place), place()))).unwrap();
    assert!(before.abs_diff(after) < SLIGHT_STACK_LEN);
    let (outer, inner) = on_stack(Depth::Deep, || (place(), through(place)));
    assert!(outer.abs_diff(inner) < STACK_LEN);
    let tagging = Hmac::new(HashAlgorithm::Sha256, b"key").unwrap();
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
                // Some of them find no slight stack and are given a shallow one.
                let tag = enter_slightly(|| {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                    through(|| tagging.tag(b"message", &mut [0; 32]))
                });
                assert_eq!(tag, Ok(32));
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
