//! Threads that work with the secrets, and the places where they might leave some.

use crate::needles::Needles;
use crate::scan::{Finding, Scanner};
use nitride_secmem::block_signals_on_this_thread;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

/// How far below a worker's first frame its own and its calls' reach, and more.
const STACK_LEN: usize = 128 * 1024;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Blocks signals once and does everything.
    Silenced,
    /// Takes signals, on an alternate stack, and does what copies nothing outside the door.
    Interrupted,
    /// Computes without the door.
    InTheOpen,
}

/// A thread that works until all are told to end.
pub(crate) struct Worker {
    kind: Kind,
    thread: libc::pthread_t,
    stack: Range<usize>,
    signal_stack: Range<usize>,
}

static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// Runs `watch` while a worker of each kind works.
pub(crate) fn with_workers<const COUNT: usize, R>(
    kinds: [Kind; COUNT],
    work: &(dyn Fn(Kind, usize) + Sync),
    rounds: &AtomicUsize,
    watch: impl FnOnce(&[Worker]) -> R,
) -> R {
    handle_signals_on_their_own_stack();
    let is_over = AtomicBool::new(false);
    let (hired, workers) = channel();
    let (before, result) = (
        HANDLED.load(Ordering::Relaxed),
        thread::scope(|scope| {
            for kind in kinds {
                let (hired, is_over) = (hired.clone(), &is_over);
                scope.spawn(move || {
                    hired.send(Worker::this_thread(kind)).unwrap();
                    while !is_over.load(Ordering::Relaxed) {
                        let round = rounds.fetch_add(1, Ordering::Relaxed);
                        work(kind, round);
                    }
                });
            }
            let workers: Vec<_> = workers.iter().take(COUNT).collect();
            let result = watch(&workers);
            is_over.store(true, Ordering::Relaxed);
            result
        }),
    );
    let handled = HANDLED.load(Ordering::Relaxed) - before;
    assert_eq!(handled > 0, kinds.contains(&Kind::Interrupted), "{handled}");
    result
}

fn handle_signals_on_their_own_stack() {
    let handler: extern "C" fn(libc::c_int) = count;
    // SAFETY: the action is zeroed, which is a valid one, and filled in; the handler only counts.
    unsafe {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
        assert_eq!(
            libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()),
            0
        );
    }
}

impl Worker {
    fn this_thread(kind: Kind) -> Self {
        if kind == Kind::Silenced {
            block_signals_on_this_thread();
        }
        let local = 0_u8;
        let top = (&raw const local).addr();
        let mut signals = MaybeUninit::<libc::stack_t>::uninit();
        // SAFETY: with nothing to set, the call writes what is set, which Rust did for the thread.
        let (thread, signals) = unsafe {
            assert_eq!(libc::sigaltstack(ptr::null(), signals.as_mut_ptr()), 0);
            (libc::pthread_self(), signals.assume_init())
        };
        assert!(
            signals.ss_size > 0,
            "a thread of Rust has a stack for signals"
        );
        let start = signals.ss_sp.addr();
        Self {
            kind,
            thread,
            stack: top - STACK_LEN..top,
            signal_stack: start..start + signals.ss_size,
        }
    }

    /// Sends the signal, if this worker takes any.
    pub(crate) fn interrupt(&self) {
        if self.kind == Kind::Interrupted {
            // SAFETY: the thread lives as long as the scope that lends its workers.
            unsafe { libc::pthread_kill(self.thread, libc::SIGUSR1) };
        }
    }

    /// What is on its stacks now.
    pub(crate) fn sample(&self, scanner: &mut Scanner, needles: &Needles) -> Vec<Finding> {
        let mut found = scanner.sample(needles, "stack", self.stack.clone());
        found.extend(scanner.sample(needles, "signal stack", self.signal_stack.clone()));
        found
    }
}
