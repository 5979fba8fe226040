//! The system calls that serving takes, each with its reason, in one table; all others fail, and
//! those that only an intruder makes end the process.
//!
//! A call that is not in the table fails with EPERM rather than killing vhsmd: a library that
//! tries something newer first falls back, and a vault that dies takes every user of a key along.

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use std::collections::BTreeMap;

/// Why the filters could not be put in place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeccompError {
    /// No filter can be made for this machine's architecture.
    #[error("make the filter of system calls for this architecture")]
    Compile(#[source] seccompiler::BackendError),
    /// The kernel does not take it.
    #[error("put the filter of system calls in place; the kernel needs CONFIG_SECCOMP_FILTER")]
    Apply(#[source] seccompiler::Error),
}

/// When a call of the table is let through.
#[derive(Clone, Copy)]
enum When {
    Always,
    /// If this argument is one of these values.
    Is(u8, &'static [u64]),
    /// If this argument, of which the kernel heeds the lower half alone, is one of these values.
    IsInt(u8, &'static [u64]),
    /// If this argument is the number of this process.
    IsSelf(u8),
    /// If this argument has all of these bits.
    Has(u8, u64),
    /// If this argument has none of these bits.
    HasNot(u8, u64),
}
use When::{Always, Has, HasNot, Is, IsInt, IsSelf};

const EXECUTABLE: u64 = libc::PROT_EXEC as u64;
const A_THREAD: u64 = (libc::CLONE_THREAD | libc::CLONE_VM | libc::CLONE_SIGHAND) as u64;
const LOCAL: &[u64] = &[libc::AF_UNIX as u64];
/// Names of threads, and of the allocator's mappings.
const NAMING: &[u64] = &[libc::PR_SET_NAME as u64, libc::PR_SET_VMA as u64];
/// What devices, terminals, namespaces and file systems are asked goes by this one call: one
/// request of it is ours.
const REQUESTS: &[u64] = &[nitride_ipc::PIDFD_GET_INFO];
/// Not among these: to be sent a signal about a descriptor, or another process in our stead.
const OF_DESCRIPTORS: &[u64] = &[
    libc::F_DUPFD_CLOEXEC as u64,
    libc::F_GETFD as u64,
    libc::F_SETFD as u64,
    libc::F_GETFL as u64,
    libc::F_SETFL as u64,
    libc::F_GET_SEALS as u64,
];

#[rustfmt::skip]
const ALLOWED: &[(c_long, When, &str)] = &[
    // Memory.
    (libc::SYS_mmap,              HasNot(2, EXECUTABLE), "threads' stacks, the heap, shared buffers; never code"),
    (libc::SYS_mprotect,          HasNot(2, EXECUTABLE), "guard pages of stacks; never code"),
    (libc::SYS_munmap,            Always, "stacks of threads that end, buffers given back"),
    (libc::SYS_mremap,            Always, "the ordinary heap grows"),
    (libc::SYS_madvise,           Always, "stacks of threads that end; arenas stay out of dumps and forks"),
    (libc::SYS_brk,               Always, "the ordinary heap"),
    (libc::SYS_mlock,             Always, "another segment of locked memory"),
    (libc::SYS_memfd_secret,      Always, "another segment of records"),
    (libc::SYS_ftruncate,         Always, "its size, and an audit file's"),

    // Threads. clone3 hides its flags from a filter: it is said not to exist, and clone is used.
    (libc::SYS_clone,             Has(0, A_THREAD), "a thread a connection; never a process"),
    (libc::SYS_set_robust_list,   Always, "a thread begins"),
    (libc::SYS_rseq,              Always, "a thread begins"),
    (libc::SYS_sigaltstack,       Always, "a thread's stack for overflows"),
    (libc::SYS_sched_getaffinity, Always, "where a thread's stack is, and how many processors there are"),
    (libc::SYS_sched_yield,       Always, "a lock is contended"),
    (libc::SYS_gettid,            Always, "a thread's name for itself"),
    (libc::SYS_getpid,            Always, "the process's name for itself"),
    (libc::SYS_prctl,             Is(0, NAMING), "names of threads and mappings"),
    (libc::SYS_futex,             Always, "locks"),
    (libc::SYS_exit,              Always, "a thread ends"),
    (libc::SYS_exit_group,        Always, "the process ends"),
    (libc::SYS_rt_sigprocmask,    Always, "signals are blocked while keys are on a stack"),
    (libc::SYS_rt_sigaction,      Always, "abort gives a signal its default back"),
    (libc::SYS_rt_sigreturn,      Always, "a handler returns"),
    (libc::SYS_tgkill,            IsSelf(0), "abort, by a signal to itself; to no other process"),
    (libc::SYS_restart_syscall,   Always, "the kernel goes on with a sleep that was interrupted"),

    // Time and randomness.
    (libc::SYS_clock_gettime,     Always, "where the kernel gives no clock to user space"),
    (libc::SYS_clock_nanosleep,   Always, "back-off while descriptors are short"),
    (libc::SYS_getrandom,         Always, "what the vault draws"),

    // Waiting.
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_poll,              Always, "a listener, and the signal to stop"),
    (libc::SYS_ppoll,             Always, "the same"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_epoll_wait,        Always, "connections above the bound of threads, the agent, signals"),
    (libc::SYS_epoll_pwait,       Always, "the same"),
    (libc::SYS_epoll_ctl,         Always, "the same"),
    (libc::SYS_epoll_create1,     Always, "the same"),
    (libc::SYS_eventfd2,          Always, "to wake who waits"),

    // Sockets of this machine.
    (libc::SYS_socket,            Is(0, LOCAL), "to the evidence helper and the service manager"),
    (libc::SYS_socketpair,        Is(0, LOCAL), "to wake who waits"),
    (libc::SYS_connect,           Always, "to the evidence helper and the service manager"),
    (libc::SYS_accept4,           Always, "applications, administrators, the agent, systemd-cryptsetup"),
    (libc::SYS_getsockopt,        Always, "who the peer is"),
    (libc::SYS_setsockopt,        Always, "time-outs; to be told who sent a message"),
    (libc::SYS_recvfrom,          Always, "requests"),
    (libc::SYS_recvmsg,           Always, "requests with descriptors or credentials"),
    (libc::SYS_sendto,            Always, "replies"),
    (libc::SYS_sendmsg,           Always, "segments to the service manager"),
    (libc::SYS_shutdown,          Always, "the end of a connection"),

    // Files: which ones is for Landlock to say.
    (libc::SYS_openat,            Always, "configuration, policy, /proc, audit, the sealed file"),
    (libc::SYS_close,             Always, "descriptors"),
    (libc::SYS_read,              Always, "the same files, eventfds"),
    (libc::SYS_pread64,           Always, "audit"),
    (libc::SYS_write,             Always, "the log, audit, eventfds"),
    (libc::SYS_writev,            Always, "the C library says why it aborts"),
    (libc::SYS_pwrite64,          Always, "audit"),
    (libc::SYS_lseek,             Always, "the same"),
    (libc::SYS_fsync,             Always, "audit, the sealed file"),
    (libc::SYS_fdatasync,         Always, "audit"),
    (libc::SYS_fallocate,         Always, "room for the audit before an act"),
    (libc::SYS_statx,             Always, "whether a file is what it should be"),
    (libc::SYS_fstat,             Always, "the same"),
    (libc::SYS_newfstatat,        Always, "the same"),
    (libc::SYS_fstatfs,           Always, "whether a descriptor is memory"),
    (libc::SYS_getdents64,        Always, "the files of policy.d"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_readlink,          Always, "the folder that a file of the policy is really in"),
    (libc::SYS_readlinkat,        Always, "the same"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_access,            Always, "the C library looks users up"),
    (libc::SYS_faccessat,         Always, "the same"),
    (libc::SYS_fcntl,             IsInt(1, OF_DESCRIPTORS), "not to block; seals of shared memory"),
    (libc::SYS_ioctl,             IsInt(1, REQUESTS), "who is behind a pidfd"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink,            Always, "sockets of its own at the end, the oldest audit file, a sealed file"),
    (libc::SYS_unlinkat,          Always, "the same, where it has no other name"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rename,            Always, "audit files move on, a sealed file takes its name"),
    (libc::SYS_renameat,          Always, "the same"),
    (libc::SYS_flock,             Always, "one process writes the sealed file"),

    // What it is itself.
    (libc::SYS_getuid,            Always, "the C library looks users up"),
    (libc::SYS_geteuid,           Always, "the same"),
    (libc::SYS_getgid,            Always, "the same"),
    (libc::SYS_getegid,           Always, "the same"),
];

/// Calls that no fault of ours makes: whoever makes them is not vhsmd any more.
#[rustfmt::skip]
const FATAL: &[(c_long, &str)] = &[
    (libc::SYS_execve,            "starts a program"),
    (libc::SYS_execveat,          "starts a program"),
    (libc::SYS_ptrace,            "reads another process"),
    (libc::SYS_process_vm_readv,  "reads another process"),
    (libc::SYS_process_vm_writev, "changes another process"),
    (libc::SYS_pidfd_getfd,       "takes another process's descriptors"),
    (libc::SYS_kcmp,              "compares processes"),
    (libc::SYS_bpf,               "loads a program into the kernel"),
    (libc::SYS_perf_event_open,   "watches the kernel"),
    (libc::SYS_userfaultfd,       "holds the kernel up"),
    (libc::SYS_init_module,       "loads kernel code"),
    (libc::SYS_finit_module,      "loads kernel code"),
    (libc::SYS_kexec_load,        "boots another kernel"),
    (libc::SYS_mount,             "changes the file systems"),
    (libc::SYS_pivot_root,        "changes the file systems"),
    (libc::SYS_unshare,           "makes a namespace"),
    (libc::SYS_setns,             "enters a namespace"),
    (libc::SYS_setuid,            "becomes another user"),
    (libc::SYS_setresuid,         "becomes another user"),
    (libc::SYS_keyctl,            "keeps keys in the kernel"),
    (libc::SYS_add_key,           "keeps keys in the kernel"),
    (libc::SYS_io_uring_setup,    "makes system calls that no filter sees"),
];

/// Confines this thread, and every thread that it starts from now on. Cannot be undone.
///
/// # Errors
/// Where the kernel has no filters; vhsmd does not serve then.
pub(super) fn confine_system_calls() -> Result<(), SeccompError> {
    for program in programs().map_err(SeccompError::Compile)? {
        seccompiler::apply_filter(&program).map_err(SeccompError::Apply)?;
    }
    Ok(())
}

/// The kernel asks every filter and heeds the sternest answer.
fn programs() -> Result<[BpfProgram; 3], seccompiler::BackendError> {
    let fatal = FATAL.iter().map(|(call, _)| (*call, Vec::new()));
    let absent = [(libc::SYS_clone3, Vec::new())];
    let mut allowed: BTreeMap<c_long, Vec<SeccompRule>> = BTreeMap::new();
    for (call, when, _) in ALLOWED {
        allowed.insert(*call, when.rules()?);
    }
    // The other two answer for these; here they must not be answered first.
    for call in FATAL
        .iter()
        .map(|(call, _)| *call)
        .chain([libc::SYS_clone3])
    {
        allowed.insert(call, Vec::new());
    }
    Ok([
        compile(
            fatal.collect(),
            SeccompAction::Allow,
            SeccompAction::KillProcess,
        )?,
        compile(
            absent.into_iter().collect(),
            SeccompAction::Allow,
            SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        )?,
        // The last one: behind it no filter can be added.
        compile(
            allowed,
            SeccompAction::Errno(libc::EPERM.unsigned_abs()),
            SeccompAction::Allow,
        )?,
    ])
}

fn compile(
    rules: BTreeMap<c_long, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, otherwise, matched, arch)?.try_into()
}

impl When {
    /// One of these rules has to match; none at all is a match.
    fn rules(self) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
        use SeccompCmpArgLen::{Dword, Qword};
        let of_len = |len, argument, operator, value| {
            let condition = SeccompCondition::new(argument, len, operator, value)?;
            SeccompRule::new(vec![condition])
        };
        let one = |argument, operator, value| of_len(Qword, argument, operator, value);
        match self {
            Always => Ok(Vec::new()),
            Is(argument, values) => values
                .iter()
                .map(|value| one(argument, SeccompCmpOp::Eq, *value))
                .collect(),
            IsInt(argument, values) => values
                .iter()
                .map(|value| of_len(Dword, argument, SeccompCmpOp::Eq, *value))
                .collect(),
            IsSelf(argument) => {
                let own = u64::from(std::process::id());
                Ok(vec![of_len(Dword, argument, SeccompCmpOp::Eq, own)?])
            }
            Has(argument, bits) => Ok(vec![one(argument, SeccompCmpOp::MaskedEq(bits), bits)?]),
            HasNot(argument, bits) => Ok(vec![one(argument, SeccompCmpOp::MaskedEq(bits), 0)?]),
        }
    }
}

#[cfg(test)]
mod tests;
