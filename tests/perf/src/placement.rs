//! Where the measured processes run.

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Binds this process, and every child started from now on, to the last CPU that it may use, and
/// returns that CPU's number. The last, since interrupts mostly go to the first.
pub(crate) fn pin_to_one_cpu() -> Result<usize> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).context("cannot read the CPU affinity")?;
    let cpu = (0..CpuSet::count())
        .rev()
        .find(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .context("no CPU is allowed for this process")?;
    let mut one = CpuSet::new();
    one.set(cpu)?;
    sched_setaffinity(this, &one).with_context(|| format!("cannot bind to CPU {cpu}"))?;
    Ok(cpu)
}
