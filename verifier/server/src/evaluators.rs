//! Processes that evaluate Rego, and whose turn it is.
//!
//! A policy can make its interpreter allocate without bound and call itself without bound, either of
//! which ends the process it is in. So the interpreter has processes of its own: this program again,
//! with a socket for its standard input, little memory and no other call of the kernel's that reaches
//! anything. One that dies, is
//! silent for too long or talks nonsense is gone, its question is answered by a denial, and the next
//! question starts another.

mod confinement;
mod process;

pub(crate) use process::evaluate;

use nitride_policy::{Answer, Ask, RegoFault, RegoModule};
use process::{GRACE, Process};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// So many may wait for one tenant's turn.
const MAX_WAITING: usize = 256;
/// What a tenant's evaluation may take for nothing, the start of a process included.
const UNCHARGED: Duration = Duration::from_millis(50);
/// For what it takes beyond, the tenant's next turn comes so many times later.
const CHARGE: u32 = 8;
/// This program, also when a newer one has taken its file's place.
const SELF: &str = "/proc/self/exe";

/// The processes: half of the processors' number at once, and two at the least, for the service's own
/// policies, and as many for all tenants', so that no tenant's policy keeps evidence from being judged.
#[derive(Debug)]
pub(crate) struct Evaluators {
    own: Lane,
    tenants: Lane,
}

/// Processes that are shared, and how many of them there are.
#[derive(Debug)]
struct Lane {
    pool: Arc<Pool>,
    free: Arc<Semaphore>,
    at_once: usize,
}

/// How many evaluations of one policy run at once.
#[derive(Debug)]
pub(crate) struct Turns {
    waiting: Arc<Semaphore>,
    running: Arc<Semaphore>,
    is_tenant: bool,
}

#[derive(Debug)]
struct Pool {
    program: PathBuf,
    limit: Duration,
    /// How long a process may be silent.
    patience: Duration,
    idle: Mutex<Vec<Process>>,
}

impl Turns {
    /// One at a time, and later after a long one.
    pub(crate) fn of_a_tenant() -> Self {
        Self::of(1, true)
    }

    fn of(at_once: usize, is_tenant: bool) -> Self {
        Self {
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            running: Arc::new(Semaphore::new(at_once)),
            is_tenant,
        }
    }
}

impl Evaluators {
    /// Evaluators that end each evaluation after `limit`. None is started before it is needed.
    pub(crate) fn new(limit: Duration) -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let at_once = (processors / 2).max(2);
        Self::of(&PathBuf::from(SELF), limit, limit + GRACE, at_once)
    }

    fn of(program: &Path, limit: Duration, patience: Duration, at_once: usize) -> Self {
        let lane = || Lane {
            pool: Arc::new(Pool {
                program: program.to_owned(),
                limit,
                patience,
                idle: Mutex::default(),
            }),
            free: Arc::new(Semaphore::new(at_once)),
            at_once,
        };
        Self {
            own: lane(),
            tenants: lane(),
        }
    }

    /// How many threads wait for processes at the most.
    pub(crate) fn at_once(&self) -> usize {
        self.own.at_once + self.tenants.at_once
    }

    /// As many turns as there are processes of the service's own.
    pub(crate) fn all_turns(&self) -> Turns {
        Turns::of(self.own.at_once, false)
    }

    /// Asks when it is the policy's turn and a process is free.
    pub(crate) async fn ask(&self, turns: &Turns, module: &RegoModule, ask: Ask) -> Answer {
        let Ok(_place) = turns.waiting.clone().try_acquire_owned() else {
            return not_evaluated("too many requests wait for this policy");
        };
        let lane = self.lane(turns);
        // Those that are being evaluated end in that time, and some of those that came before.
        let taken = timeout(2 * lane.pool.patience, async {
            let own = turns.running.clone().acquire_owned().await.ok()?;
            let free = lane.free.clone().acquire_owned().await.ok()?;
            Some::<(OwnedSemaphorePermit, OwnedSemaphorePermit)>((own, free))
        });
        let Ok(Some((own, free))) = taken.await else {
            return not_evaluated("its turn did not come in time");
        };
        let (pool, module, is_tenant) = (lane.pool.clone(), module.clone(), turns.is_tenant);
        let asked = spawn_blocking(move || {
            let begun = Instant::now();
            let answer = pool.ask(&module, &ask);
            drop(free);
            let beyond = begun.elapsed().saturating_sub(UNCHARGED);
            if is_tenant && !beyond.is_zero() {
                tokio::spawn(async move {
                    sleep(CHARGE * beyond).await;
                    drop(own);
                });
            }
            answer
        });
        match asked.await {
            Ok(answer) => answer,
            Err(error) => not_evaluated(&error.to_string()),
        }
    }

    /// Asks on this thread, out of turn: where nothing is served yet, or by it. What a tenant wrote
    /// meets tenants' processes alone here, too.
    pub(crate) fn ask_now(&self, turns: &Turns, module: &RegoModule, ask: Ask) -> Answer {
        self.lane(turns).pool.ask(module, &ask)
    }

    fn lane(&self, turns: &Turns) -> &Lane {
        if turns.is_tenant {
            &self.tenants
        } else {
            &self.own
        }
    }
}

impl Pool {
    fn ask(&self, module: &RegoModule, ask: &Ask) -> Answer {
        let idle = self.lock().pop();
        if let Some(mut process) = idle {
            match process.ask(module, ask) {
                Ok(answer) => {
                    self.lock().push(process);
                    return answer;
                }
                // It was gone before it was asked, as by an operator's kill: nothing is this policy's.
                Err(fault) if fault.is_before_the_question() => {}
                Err(fault) => return not_evaluated(&fault.to_string()),
            }
        }
        let started = Process::start(&self.program, self.limit, self.patience);
        let asked = started.and_then(|mut process| {
            let answer = process.ask(module, ask)?;
            Ok((process, answer))
        });
        match asked {
            Ok((process, answer)) => {
                self.lock().push(process);
                answer
            }
            Err(fault) => not_evaluated(&fault.to_string()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Process>> {
        // A list of processes is whole after any panic.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_evaluated(reason: &str) -> Answer {
    Answer::No(RegoFault::NotEvaluated(reason.to_owned()), None)
}

#[cfg(test)]
mod tests;
