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
use process::{GRACE, Process, ProcessFault};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// So many may wait for one tenant's turn.
const MAX_WAITING: usize = 256;
/// What a tenant's evaluation may take for nothing, the reading of its module included.
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
    /// By repository, whatever becomes of its policy meanwhile: what an evaluation took is its tenant's.
    turns: Mutex<BTreeMap<String, Turns>>,
}

/// Processes that are shared, and how many of them there are.
#[derive(Debug)]
struct Lane {
    pool: Arc<Pool>,
    free: Arc<Semaphore>,
    at_once: usize,
}

/// How many evaluations of one policy run at once.
#[derive(Debug, Clone)]
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

/// An answer, and what it took of whom it was for.
struct Asked {
    answer: Answer,
    took: Duration,
}

impl Turns {
    /// One at a time, and later after a long one.
    fn of_a_tenant() -> Self {
        Self::of(1, true)
    }

    fn of(at_once: usize, is_tenant: bool) -> Self {
        Self {
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            running: Arc::new(Semaphore::new(at_once)),
            is_tenant,
        }
    }

    /// Whether a policy has them, or an evaluation that is under way or not paid for.
    fn are_anybodys(&self) -> bool {
        Arc::strong_count(&self.running) > 1
    }
}

#[cfg(test)]
impl Turns {
    pub(crate) fn are(&self, others: &Self) -> bool {
        Arc::ptr_eq(&self.running, &others.running)
    }
}

impl Evaluators {
    /// Evaluators that end each evaluation after `limit`. None is started before it is needed.
    pub(crate) fn new(limit: Duration) -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let at_once = (processors / 2).max(2);
        Self::of(&PathBuf::from(SELF), limit, limit + GRACE, at_once)
    }

    pub(crate) fn of(program: &Path, limit: Duration, patience: Duration, at_once: usize) -> Self {
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
            turns: Mutex::default(),
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

    /// The turns of this tenant: the same ones for as long as anybody has them.
    pub(crate) fn turns_of(&self, repository: &str) -> Turns {
        let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = all.get(repository) {
            return turns.clone();
        }
        let turns = Turns::of_a_tenant();
        all.insert(repository.to_owned(), turns.clone());
        turns
    }

    /// Forgets the turns of tenants that have no policy any more and owe nothing.
    pub(crate) fn forget_turns(&self) {
        let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, turns| turns.are_anybodys());
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
            let Asked { answer, took } = pool.ask(&module, &ask);
            drop(free);
            let beyond = took.saturating_sub(UNCHARGED);
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
        self.lane(turns).pool.ask(module, &ask).answer
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
    fn ask(&self, module: &RegoModule, ask: &Ask) -> Asked {
        let idle = self.lock().pop();
        // One that was gone before it was asked, as by an operator's kill, is nothing of this policy's.
        if let Some(process) = idle
            && let Ok(asked) = self.ask_of(process, module, ask)
        {
            return asked;
        }
        let started = Process::start(&self.program, self.limit, self.patience);
        let asked = started.and_then(|process| self.ask_of(process, module, ask));
        asked.unwrap_or_else(|fault| Asked {
            answer: not_evaluated(&fault.to_string()),
            took: Duration::ZERO,
        })
    }

    /// Asks one process.
    ///
    /// # Errors
    /// Where the question did not come so far.
    fn ask_of(
        &self,
        mut process: Process,
        module: &RegoModule,
        ask: &Ask,
    ) -> Result<Asked, ProcessFault> {
        let answer = process.ask(module, ask);
        let took = process.asked_for();
        match answer {
            Ok(answer) => {
                self.lock().push(process);
                Ok(Asked { answer, took })
            }
            Err(fault) if fault.is_before_the_question() => Err(fault),
            // However soon it was lost: another has to start, and to read every module anew.
            Err(fault) => Ok(Asked {
                answer: not_evaluated(&fault.to_string()),
                took: took.max(self.limit),
            }),
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
