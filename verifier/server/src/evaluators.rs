//! Processes that evaluate Rego, and whose turn it is.
//!
//! A policy can make its interpreter allocate without bound and call itself without bound, either of
//! which ends the process it is in. So the interpreter has processes of its own: this program again,
//! with a socket for its standard input, little memory and nothing to read or write. One that dies, is
//! silent for too long or talks nonsense is gone, its question is answered by a denial, and the next
//! question starts another.

mod process;

pub(crate) use process::evaluate;

use nitride_policy::{Answer, Ask, RegoFault, RegoModule};
use process::Process;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// So many may wait for one tenant's turn.
const MAX_WAITING: usize = 256;
/// How long a question waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// This program, also when a newer one has taken its file's place.
const SELF: &str = "/proc/self/exe";

/// The processes. Half of the processors' number at once, and two at the least, so that one tenant's
/// policy never has all of them.
#[derive(Debug)]
pub(crate) struct Evaluators {
    pool: Arc<Pool>,
    free: Arc<Semaphore>,
    at_once: usize,
}

/// How many evaluations of one policy run at once.
#[derive(Debug)]
pub(crate) struct Turns {
    waiting: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

#[derive(Debug)]
struct Pool {
    program: PathBuf,
    limit: Duration,
    idle: Mutex<Vec<Process>>,
}

impl Turns {
    /// One at a time.
    pub(crate) fn of_a_tenant() -> Self {
        Self::of(1)
    }

    fn of(at_once: usize) -> Self {
        Self {
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            running: Arc::new(Semaphore::new(at_once)),
        }
    }
}

impl Evaluators {
    /// Evaluators that end each evaluation after `limit`. None is started before it is needed.
    pub(crate) fn new(limit: Duration) -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let at_once = (processors / 2).max(2);
        Self {
            pool: Arc::new(Pool {
                program: PathBuf::from(SELF),
                limit,
                idle: Mutex::default(),
            }),
            free: Arc::new(Semaphore::new(at_once)),
            at_once,
        }
    }

    /// How many threads wait for processes at the most.
    pub(crate) fn at_once(&self) -> usize {
        self.at_once
    }

    /// As many turns as there are processes.
    pub(crate) fn all_turns(&self) -> Turns {
        Turns::of(self.at_once)
    }

    /// Asks when it is the policy's turn and a process is free.
    pub(crate) async fn ask(&self, turns: &Turns, module: &RegoModule, ask: Ask) -> Answer {
        let Ok(_place) = turns.waiting.clone().try_acquire_owned() else {
            return not_evaluated("too many requests wait for this policy");
        };
        let taken = timeout(MAX_WAIT, async {
            let own = turns.running.clone().acquire_owned().await.ok()?;
            let free = self.free.clone().acquire_owned().await.ok()?;
            Some::<(OwnedSemaphorePermit, OwnedSemaphorePermit)>((own, free))
        });
        let Ok(Some(taken)) = taken.await else {
            return not_evaluated("its turn did not come in time");
        };
        let (pool, module) = (self.pool.clone(), module.clone());
        let asked = spawn_blocking(move || {
            let answer = pool.ask(&module, &ask);
            drop(taken);
            answer
        });
        match asked.await {
            Ok(answer) => answer,
            Err(error) => not_evaluated(&error.to_string()),
        }
    }

    /// Asks on this thread, out of turn: where nothing is served yet, or by it.
    pub(crate) fn ask_now(&self, module: &RegoModule, ask: Ask) -> Answer {
        self.pool.ask(module, &ask)
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
        let asked = Process::start(&self.program, self.limit).and_then(|mut process| {
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
