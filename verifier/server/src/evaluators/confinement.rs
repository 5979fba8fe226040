//! What an evaluator may still do: answer on its socket, with memory that it is given. An interpreter
//! that a policy breaks out of finds no file, no socket, no program and no other process.

use nix::sys::resource::{Resource, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use thiserror::Error;

/// What an evaluator may allocate. A module of the greatest length takes a tenth of it.
const MAX_DATA_LEN: u64 = 128 << 20;

/// Why an evaluator is not confined; it evaluates nothing then.
#[derive(Debug, Error)]
pub(super) enum NotConfined {
    #[error("bound what the evaluator takes")]
    Bounds(#[from] nix::Error),
    #[error("make the filter of system calls for this architecture")]
    Compile(#[from] seccompiler::BackendError),
    #[error(
        "put the filter of system calls in place; the kernel needs CONFIG_SECCOMP_FILTER, and a \
         filter of the unit's has to let seccomp through"
    )]
    Apply(#[source] seccompiler::Error),
    #[error("the filter of system calls lets a file or a socket be opened")]
    Open,
}

/// When a call of the table is let through.
#[derive(Clone, Copy)]
enum When {
    Always,
    /// If these arguments have none of these bits.
    HasNone(&'static [(u8, u64)]),
    /// If this argument is the number of this process.
    IsSelf(u8),
}
use When::{Always, HasNone, IsSelf};

/// Neither with protection in the third argument...
const EXECUTABLE: (u8, u64) = (2, libc::PROT_EXEC as u64);
/// ...nor with flags in the fourth: what is shared counts as nobody's data, and the bound is on data.
const SHARED: (u8, u64) = (3, libc::MAP_SHARED as u64);

/// All others fail, and do not kill: a library that tries something newer first falls back.
#[rustfmt::skip]
const ALLOWED: &[(libc::c_long, When, &str)] = &[
    (libc::SYS_read,            Always, "questions"),
    (libc::SYS_recvfrom,        Always, "the same, of a socket"),
    (libc::SYS_write,           Always, "answers; why the process ends"),
    (libc::SYS_writev,          Always, "the C library says why it aborts"),
    (libc::SYS_sendto,          Always, "answers, to a socket"),
    (libc::SYS_close,           Always, "the end"),
    (libc::SYS_mmap,            HasNone(&[EXECUTABLE, SHARED]), "the heap; never code, never beside the bound"),
    (libc::SYS_mprotect,        HasNone(&[EXECUTABLE]), "the heap; never code"),
    (libc::SYS_munmap,          Always, "the heap"),
    (libc::SYS_mremap,          Always, "the heap grows"),
    (libc::SYS_madvise,         Always, "the heap shrinks"),
    (libc::SYS_brk,             Always, "the heap"),
    (libc::SYS_futex,           Always, "locks of the libraries"),
    (libc::SYS_sched_yield,     Always, "the same"),
    (libc::SYS_clock_gettime,   Always, "the interpreter's clock, where the kernel gives none to user space"),
    (libc::SYS_getrandom,       Always, "the order of hash tables"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_alarm,           Always, "an evaluation ends, also where nobody waits for it"),
    (libc::SYS_setitimer,       Always, "the same"),
    (libc::SYS_gettid,          Always, "abort"),
    (libc::SYS_getpid,          Always, "abort"),
    (libc::SYS_tgkill,          IsSelf(0), "abort, by a signal to itself"),
    (libc::SYS_rt_sigprocmask,  Always, "abort"),
    (libc::SYS_rt_sigaction,    Always, "a stack that overflows ends the process"),
    (libc::SYS_rt_sigreturn,    Always, "the same"),
    (libc::SYS_sigaltstack,     Always, "the same"),
    (libc::SYS_exit,            Always, "the end"),
    (libc::SYS_exit_group,      Always, "the end"),
    (libc::SYS_restart_syscall, Always, "the kernel goes on with a read that was interrupted"),
];

/// Confines this process, which has one thread, for good.
///
/// # Errors
/// Where the kernel refuses, or has no filters of system calls.
pub(super) fn confine() -> Result<(), NotConfined> {
    for (resource, bound) in [
        // What an allocation beyond it ends is this process.
        (Resource::RLIMIT_DATA, MAX_DATA_LEN),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_NOFILE, 0),
        (Resource::RLIMIT_NPROC, 0),
    ] {
        setrlimit(resource, bound, bound)?;
    }
    refuse_calls()?;
    is_refused()
}

/// Tries what must not go. By the filter: the bounds alone would refuse it in other words.
fn is_refused() -> Result<(), NotConfined> {
    let tried = [
        File::open("/dev/null").map(drop),
        UnixStream::pair().map(drop),
    ];
    let kinds = tried.map(|tried| tried.map_err(|error| error.kind()));
    if kinds == [Err(io::ErrorKind::PermissionDenied); 2] {
        Ok(())
    } else {
        Err(NotConfined::Open)
    }
}

/// Of this thread alone; it sets no-new-privs, too.
fn refuse_calls() -> Result<(), NotConfined> {
    seccompiler::apply_filter(&program()?).map_err(NotConfined::Apply)
}

fn program() -> Result<BpfProgram, seccompiler::BackendError> {
    let rules = ALLOWED
        .iter()
        .map(|(call, when, _)| Ok((*call, when.rules()?)));
    let rules: BTreeMap<_, _> = rules.collect::<Result<_, seccompiler::BackendError>>()?;
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, refused, SeccompAction::Allow, arch)?.try_into()
}

impl When {
    /// One of these rules has to match, in all its conditions; none at all is a match.
    fn rules(self) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
        use SeccompCmpArgLen::{Dword, Qword};
        let conditions = match self {
            Always => return Ok(Vec::new()),
            HasNone(bits) => {
                let has_none = |(argument, bits): &(u8, u64)| {
                    SeccompCondition::new(*argument, Qword, SeccompCmpOp::MaskedEq(*bits), 0)
                };
                bits.iter().map(has_none).collect::<Result<_, _>>()?
            }
            IsSelf(argument) => {
                let own = u64::from(std::process::id());
                let is_own = SeccompCondition::new(argument, Dword, SeccompCmpOp::Eq, own)?;
                vec![is_own]
            }
        };
        Ok(vec![SeccompRule::new(conditions)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind::PermissionDenied;
    use std::net::{TcpListener, UdpSocket};
    use std::process::Command;
    use std::thread;

    /// A filter holds for the thread that puts it in place.
    #[test]
    fn an_evaluator_opens_no_file_and_no_socket_and_starts_nothing() {
        let confined = thread::spawn(|| {
            refuse_calls().unwrap();
            let refused = [
                File::open("/proc/self/status").map(drop),
                File::open("/dev/null").map(drop),
                std::fs::write("/tmp/nitride-was-here", "").map(drop),
                UnixStream::pair().map(drop),
                TcpListener::bind("127.0.0.1:0").map(drop),
                UdpSocket::bind("127.0.0.1:0").map(drop),
                Command::new("/bin/true").spawn().map(drop),
                thread::Builder::new().spawn(|| ()).map(drop),
            ];
            let kinds = refused.map(|refused| refused.map_err(|error| error.kind()));
            // What an evaluation takes goes on.
            (kinds, vec![7; 1 << 20].len())
        });
        let (kinds, len) = confined.join().unwrap();
        assert_eq!(len, 1 << 20);
        for (number, kind) in kinds.into_iter().enumerate() {
            assert_eq!(kind, Err(PermissionDenied), "{number}");
        }
    }

    /// What the kernel would do with the filter, of whose instructions these are all that it has.
    fn is_let_through(call: libc::c_long, arguments: [u64; 6]) -> bool {
        let arch: u32 = if cfg!(target_arch = "x86_64") {
            0xc000_003e
        } else {
            0xc000_00b7
        };
        let call = u32::try_from(call).unwrap();
        let mut data = [call.to_ne_bytes(), arch.to_ne_bytes()].concat();
        data.extend([0; 8]);
        data.extend(arguments.iter().flat_map(|argument| argument.to_ne_bytes()));
        let filter = program().unwrap();
        let (mut at, mut word) = (0, 0);
        loop {
            let step = &filter[at];
            let index = usize::try_from(step.k).unwrap();
            at += 1;
            let jump = |is_so: bool| usize::from(if is_so { step.jt } else { step.jf });
            match step.code {
                0x20 => word = u32::from_ne_bytes(data[index..index + 4].try_into().unwrap()),
                0x54 => word &= step.k,
                0x05 => at += index,
                0x15 => at += jump(word == step.k),
                0x25 => at += jump(word > step.k),
                0x35 => at += jump(word >= step.k),
                0x06 => return step.k == libc::SECCOMP_RET_ALLOW,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn memory_is_neither_code_nor_beside_the_bound_on_data() {
        let bits = |bits: i32| u64::try_from(bits).unwrap();
        let map = |protection: i32, flags: i32| {
            let flags = bits(flags | libc::MAP_ANONYMOUS);
            is_let_through(
                libc::SYS_mmap,
                [0, 4096, bits(protection), flags, u64::MAX, 0],
            )
        };
        let writable = libc::PROT_READ | libc::PROT_WRITE;
        assert!(map(writable, libc::MAP_PRIVATE));
        assert!(!map(writable, libc::MAP_SHARED));
        assert!(!map(writable, libc::MAP_SHARED_VALIDATE));
        assert!(!map(writable | libc::PROT_EXEC, libc::MAP_PRIVATE));
        let protect = |protection| is_let_through(libc::SYS_mprotect, [0, 0, protection, 1, 0, 0]);
        assert!(protect(bits(writable)));
        assert!(!protect(bits(libc::PROT_EXEC)));
    }

    #[test]
    fn every_call_is_named_once_and_has_a_reason() {
        let calls: std::collections::BTreeSet<_> = ALLOWED.iter().map(|row| row.0).collect();
        assert_eq!(calls.len(), ALLOWED.len());
        assert!(ALLOWED.iter().all(|(_, _, why)| !why.is_empty()));
    }
}
