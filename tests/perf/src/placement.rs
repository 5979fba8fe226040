//! Where the measured processes run.

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The CPUs that this process may use, as they were before anything was bound.
pub(crate) fn allowed() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).context("cannot read the CPU affinity")?;
    let is_allowed = |cpu: &usize| allowed.is_set(*cpu).unwrap_or(false);
    Ok((0..CpuSet::count()).filter(is_allowed).collect())
}

/// This thread, and what it starts, is bound to the last CPU that it may use while this lives. The
/// last, since interrupts mostly go to the first.
pub(crate) struct OneCpu {
    pub(crate) cpu: usize,
    before: Vec<usize>,
}

impl OneCpu {
    pub(crate) fn bind() -> Result<Self> {
        let before = allowed()?;
        let cpu = *before
            .last()
            .context("no CPU is allowed for this process")?;
        bind(Pid::from_raw(0), &[cpu])?;
        Ok(Self { cpu, before })
    }

    /// What the report says of it.
    pub(crate) fn text(&self) -> String {
        format!("client, vault and floor on CPU {}", self.cpu)
    }
}

impl Drop for OneCpu {
    fn drop(&mut self) {
        // Back to what it was; where that fails, what follows says where it runs.
        let _ = bind(Pid::from_raw(0), &self.before);
    }
}

/// Binds a thread.
pub(crate) fn bind(thread: Pid, cpus: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu)?;
    }
    sched_setaffinity(thread, &set).with_context(|| format!("cannot bind {thread} to {cpus:?}"))
}
