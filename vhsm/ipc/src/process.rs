//! What a process does to itself before it holds a secret.

use nix::errno::Errno;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Why the process could not be closed.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// `PR_SET_DUMPABLE` was refused, or did not hold.
    #[error("make the process not dumpable")]
    Dumpable(#[source] Errno),
    /// `RLIMIT_CORE` could not be set to zero.
    #[error("forbid core dumps")]
    Core(#[source] Errno),
    /// `PR_SET_NO_NEW_PRIVS` was refused, or did not hold.
    #[error("forbid new privileges")]
    NoNewPrivs(#[source] Errno),
    /// `RLIMIT_NOFILE` could not be read or raised.
    #[error("raise the limit of open descriptors")]
    Descriptors(#[source] Errno),
    /// `RLIMIT_MEMLOCK` could not be read.
    #[error("read the limit of locked memory")]
    LockedMemory(#[source] Errno),
    /// `mlockall` was refused.
    #[error("lock the memory of this process")]
    Lock(#[source] Errno),
}

/// Forbids debuggers and `/proc/PID/mem` of the same uid, and core dumps.
///
/// # Errors
/// [`ProcessError::Dumpable`] when the kernel refuses or the flag does not read back.
pub fn set_not_dumpable() -> Result<(), ProcessError> {
    prctl::set_dumpable(false).map_err(ProcessError::Dumpable)?;
    match prctl::get_dumpable() {
        Ok(false) => Ok(()),
        Ok(true) => Err(ProcessError::Dumpable(Errno::EPERM)),
        Err(errno) => Err(ProcessError::Dumpable(errno)),
    }
}

/// Sets both limits of the core file's size to zero, so that nothing can raise them again.
///
/// # Errors
/// [`ProcessError::Core`].
pub fn no_core() -> Result<(), ProcessError> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(ProcessError::Core)
}

/// Locks every page of this process as it is touched, now and later, those of libraries included.
///
/// For a process of few threads: what it maps counts against `RLIMIT_MEMLOCK` whether it is
/// touched or not.
///
/// # Errors
/// [`ProcessError::Lock`].
pub fn lock_memory() -> Result<(), ProcessError> {
    // nix has no name for the flag that keeps untouched pages from being filled.
    let on_fault = MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    let all = MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE;
    mlockall(all | on_fault).map_err(ProcessError::Lock)
}

/// Forbids that an exec of this process or a child ever gains privileges.
///
/// # Errors
/// [`ProcessError::NoNewPrivs`] when the kernel refuses or the flag does not read back.
pub fn no_new_privs() -> Result<(), ProcessError> {
    prctl::set_no_new_privs().map_err(ProcessError::NoNewPrivs)?;
    match prctl::get_no_new_privs() {
        Ok(true) => Ok(()),
        Ok(false) => Err(ProcessError::NoNewPrivs(Errno::EPERM)),
        Err(errno) => Err(ProcessError::NoNewPrivs(errno)),
    }
}

/// How many bytes this process may lock; `None` where nothing limits that: no `RLIMIT_MEMLOCK`, or
/// CAP_IPC_LOCK.
///
/// # Errors
/// [`ProcessError::LockedMemory`].
pub fn lock_limit() -> Result<Option<u64>, ProcessError> {
    let (soft, _) = getrlimit(Resource::RLIMIT_MEMLOCK).map_err(ProcessError::LockedMemory)?;
    // Where it cannot be read, the limit is taken to hold.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let is_free = soft == libc::RLIM_INFINITY || has_ipc_lock(&status);
    Ok((!is_free).then_some(soft))
}

/// Whether the effective capabilities in `/proc/PID/status` have CAP_IPC_LOCK.
fn has_ipc_lock(status: &str) -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    effective.is_some_and(|bits| bits >> CAP_IPC_LOCK & 1 == 1)
}

/// Raises the soft limit of open descriptors to `wanted`, or to the hard limit if that is lower,
/// and returns the limit that then holds. It is never lowered.
///
/// # Errors
/// [`ProcessError::Descriptors`].
pub fn raise_descriptor_limit(wanted: u64) -> Result<u64, ProcessError> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(ProcessError::Descriptors)?;
    let target = wanted.min(hard);
    if target <= soft {
        return Ok(soft);
    }
    setrlimit(Resource::RLIMIT_NOFILE, target, hard).map_err(ProcessError::Descriptors)?;
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capability_to_lock_is_read_from_the_effective_set() {
        assert!(has_ipc_lock("Name:\tx\nCapEff:\t0000000000004000\n"));
        assert!(!has_ipc_lock(
            "CapPrm:\t0000000000004000\nCapEff:\t0000000000000000\n"
        ));
        assert!(!has_ipc_lock("CapEff:\tno number"));
    }
}
