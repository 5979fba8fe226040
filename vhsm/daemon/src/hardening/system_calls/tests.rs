//! The filters are asked as the kernel asks them, by a small interpreter of their programs: so each
//! row is tried, and no thread is lost to it.

use super::*;
use std::collections::HashSet;

/// What the kernel does about a call.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Kills,
    Fails(i32),
    Lets,
}
use Answer::{Fails, Kills, Lets};

/// linux/audit.h; the number of the architecture that the tests run on.
const ARCH: u32 = if cfg!(target_arch = "x86_64") {
    0xC000_003E
} else {
    0xC000_00B7
};

/// The sternest answer of the three.
fn answer(call: c_long, arguments: &[u64]) -> Answer {
    answer_on(ARCH, call, arguments)
}

fn answer_on(arch: u32, call: c_long, arguments: &[u64]) -> Answer {
    let mut data = Vec::new();
    data.extend(u32::try_from(call).unwrap().to_ne_bytes());
    data.extend(arch.to_ne_bytes());
    data.extend([0; 8]);
    for place in 0..6 {
        let argument = arguments.get(place).copied().unwrap_or(0);
        data.extend(argument.to_ne_bytes());
    }
    let programs = programs().unwrap();
    let answers = programs.iter().map(|program| run(program, &data));
    answers
        .map(|answer| match answer & 0xFFFF_0000 {
            0x8000_0000 | 0 => Kills,
            0x0005_0000 => Fails(i32::try_from(answer & 0xFFFF).unwrap()),
            0x7FFF_0000 => Lets,
            other => panic!("answers {other:#x}"),
        })
        .min()
        .unwrap()
}

/// Runs a program of classic BPF over seccomp's data (linux/filter.h); what no filter here is made
/// of is no instruction.
fn run(program: &BpfProgram, data: &[u8]) -> u32 {
    let (mut at, mut accumulator) = (0, 0_u32);
    loop {
        let step = &program[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
        match step.code {
            0x20 => {
                let from = step.k as usize;
                accumulator = u32::from_ne_bytes(data[from..from + 4].try_into().unwrap());
            }
            0x54 => accumulator &= step.k,
            0x05 => at += step.k as usize,
            0x15 => at += jump(accumulator == step.k),
            0x25 => at += jump(accumulator > step.k),
            0x35 => at += jump(accumulator >= step.k),
            0x06 => return step.k,
            other => panic!("instruction {other:#x}"),
        }
    }
}

const REFUSED: Answer = Fails(libc::EPERM);

#[test]
fn every_call_is_named_once_and_has_a_reason() {
    let mut calls = HashSet::new();
    for (call, _, why) in ALLOWED {
        assert!(calls.insert(*call), "call {call} stands twice");
        assert!(!why.is_empty());
    }
    for (call, why) in FATAL {
        assert!(calls.insert(*call), "call {call} is allowed and fatal");
        assert!(!why.is_empty());
    }
}

#[test]
fn the_filters_fit_into_the_kernel() {
    for program in programs().unwrap() {
        assert!(program.len() <= 4096, "BPF_MAXINSNS");
    }
}

#[test]
fn calls_without_a_row_fail_and_those_of_an_intruder_end_the_process() {
    for (call, _, why) in ALLOWED.iter().filter(|row| matches!(row.1, Always)) {
        assert_eq!(answer(*call, &[]), Lets, "{why}");
    }
    for (call, why) in FATAL {
        assert_eq!(answer(*call, &[]), Kills, "{why}");
    }
    for call in [
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_send_signal,
        libc::SYS_memfd_create,
        libc::SYS_prlimit64,
        libc::SYS_listen,
        libc::SYS_bind,
        libc::SYS_symlinkat,
        libc::SYS_linkat,
        libc::SYS_fchmod,
        libc::SYS_fchown,
        libc::SYS_mlockall,
        libc::SYS_munlock,
        libc::SYS_splice,
        libc::SYS_vmsplice,
        libc::SYS_sched_setaffinity,
        libc::SYS_seccomp,
        libc::SYS_capset,
        libc::SYS_chroot,
    ] {
        assert_eq!(answer(call, &[]), REFUSED, "call {call}");
    }
    // Its flags are in memory, where no filter looks.
    assert_eq!(answer(libc::SYS_clone3, &[]), Fails(libc::ENOSYS));
    // The numbers of another architecture mean other calls.
    assert_eq!(answer_on(0x4000_0003, libc::SYS_read, &[]), Kills);
}

/// What an argument decides, on both sides.
#[test]
fn a_call_that_is_let_through_for_one_thing_is_refused_for_another() {
    let own = u64::from(std::process::id());
    let two = |call: c_long, lets: &[u64], refused: &[u64]| {
        assert_eq!(answer(call, lets), Lets, "call {call} with {lets:?}");
        let answer = answer(call, refused);
        assert_eq!(answer, REFUSED, "call {call} with {refused:?}");
    };
    let writable = (libc::PROT_READ | libc::PROT_WRITE) as u64;
    let code = (libc::PROT_READ | libc::PROT_EXEC) as u64;
    two(libc::SYS_mmap, &[0, 1, writable], &[0, 1, code]);
    two(libc::SYS_mprotect, &[0, 1, writable], &[0, 1, code]);
    let fork = libc::SIGCHLD as u64;
    let same_memory = (libc::CLONE_VM | libc::CLONE_VFORK) as u64 | fork;
    two(libc::SYS_clone, &[A_THREAD], &[fork]);
    two(libc::SYS_clone, &[A_THREAD | 0x100], &[same_memory]);
    for family in [
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
        libc::AF_PACKET,
        libc::AF_VSOCK,
        libc::AF_ALG,
    ] {
        let family = u64::try_from(family).unwrap();
        two(libc::SYS_socket, &[libc::AF_UNIX as u64], &[family]);
    }
    for request in [libc::TCGETS, libc::TIOCSTI, libc::FIONREAD, libc::FIOASYNC] {
        two(libc::SYS_ioctl, &[3, REQUESTS[0]], &[3, request]);
        // The kernel looks at the lower half of it.
        two(
            libc::SYS_ioctl,
            &[3, REQUESTS[0] | 1 << 32],
            &[3, request | 1 << 32],
        );
    }
    for command in [
        libc::F_SETOWN,
        libc::F_SETLEASE,
        libc::F_NOTIFY,
        libc::F_SETPIPE_SZ,
        libc::F_ADD_SEALS,
    ] {
        let ours = libc::F_GETFL as u64;
        two(
            libc::SYS_fcntl,
            &[3, ours],
            &[3, u64::try_from(command).unwrap()],
        );
    }
    two(libc::SYS_tgkill, &[own, 1, 6], &[own + 1, 1, 6]);
    for option in [
        libc::PR_SET_DUMPABLE,
        libc::PR_SET_PTRACER,
        libc::PR_CAP_AMBIENT,
        libc::PR_SET_MM,
    ] {
        let ours = libc::PR_SET_NAME as u64;
        two(libc::SYS_prctl, &[ours], &[u64::try_from(option).unwrap()]);
    }
}
