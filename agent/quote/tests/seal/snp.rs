//! The guest device of SEV-SNP, played by a debugger: it holds the thread that makes device calls
//! at each ioctl, does what kernel and firmware would do, and lets it go on. So the real process
//! makes the real system call with the real structures. There was no hardware to try it on.

use crate::erased::places_of;
use crate::process::{Helper, Part, is_root};
use nitride_protocol::Status;
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use tempfile::NamedTempFile;

const SYS_IOCTL: u64 = 16;
const GET_REPORT: u64 = 0xc020_5300;
const GET_DERIVED_KEY: u64 = 0xc020_5301;

/// What this machine is.
#[derive(Debug, Clone, Copy)]
struct Guest {
    measurement: u8,
    guest_svn: u32,
    committed_tcb: u64,
    /// The kernel wiped its key to the firmware after an error: ENOTTY until a reboot.
    is_wiped: bool,
}

const GUEST: Guest = Guest {
    measurement: 0x5e,
    guest_svn: 3,
    committed_tcb: 0xdb18_0000_0000_0004,
    is_wiped: false,
};

struct Standin {
    /// Something that can be opened.
    device: NamedTempFile,
    helper: Helper,
    guest: Arc<Mutex<Guest>>,
    /// Each request for a key, as it came from the process.
    asked: Receiver<[u8; 32]>,
}

impl Standin {
    /// `None`, and says so, without the rights of root: who is not dumpable is not held by others.
    fn start() -> Option<Self> {
        Self::start_with("")
    }

    fn start_with(lines: &str) -> Option<Self> {
        if !is_root() {
            return None;
        }
        let device = NamedTempFile::new().unwrap();
        let lines = format!("device = {:?}\n{lines}", device.path());
        let helper = Helper::start("snp", &lines);
        let guest = Arc::new(Mutex::new(GUEST));
        let (heard, asked) = channel();
        let (pid, thread) = (helper.pid(), helper.device_thread());
        let (ready, is_ready) = channel();
        let known = Arc::clone(&guest);
        std::thread::spawn(move || play(pid, thread, &known, &heard, &ready));
        is_ready.recv().unwrap();
        Some(Self {
            device,
            helper,
            guest,
            asked,
        })
    }

    fn change(&self, change: impl FnOnce(&mut Guest)) {
        change(&mut self.guest.lock().unwrap());
    }
}

/// Until the thread is no more.
fn play(pid: u32, thread: u32, guest: &Mutex<Guest>, heard: &Sender<[u8; 32]>, ready: &Sender<()>) {
    let thread = Pid::from_raw(thread.try_into().unwrap());
    ptrace::seize(thread, ptrace::Options::PTRACE_O_TRACESYSGOOD).unwrap();
    ptrace::interrupt(thread).unwrap();
    let path = format!("/proc/{pid}/mem");
    let memory = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let next = || match waitpid(thread, Some(WaitPidFlag::__WALL)) {
        Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(_) => None,
        Ok(status) => Some(status),
    };
    let mut result = None;
    let mut is_entry = true;
    let mut status = next();
    ready.send(()).unwrap();
    while let Some(stopped) = status {
        if let WaitStatus::PtraceSyscall(_) = stopped {
            let Ok(mut registers) = ptrace::getregs(thread) else {
                return;
            };
            if is_entry && registers.orig_rax == SYS_IOCTL {
                let guest = *guest.lock().unwrap();
                result = answer(&memory, registers.rsi, registers.rdx, guest, heard);
                if result.is_some() {
                    // No system call, so that only what is played happens.
                    registers.orig_rax = u64::MAX;
                    ptrace::setregs(thread, registers).unwrap();
                }
            } else if !is_entry && let Some(result) = result.take() {
                registers.rax = result;
                ptrace::setregs(thread, registers).unwrap();
            }
            is_entry = !is_entry;
        }
        if ptrace::syscall(thread, None).is_err() {
            return;
        }
        status = next();
    }
}

/// Plays one ioctl: what it returns, or `None` when it is not one of ours.
fn answer(
    memory: &File,
    code: u64,
    at: u64,
    guest: Guest,
    heard: &Sender<[u8; 32]>,
) -> Option<u64> {
    let enotty = (-25i64).cast_unsigned();
    if ![GET_REPORT, GET_DERIVED_KEY].contains(&code) {
        return None;
    }
    if guest.is_wiped {
        return Some(enotty);
    }
    let mut call = [0; 32];
    memory.read_exact_at(&mut call, at).unwrap();
    assert_eq!(call[0], 1, "the messages' version");
    let word = |at: usize| u64::from_le_bytes(call[at..at + 8].try_into().unwrap());
    let (request_at, response_at) = (word(8), word(16));
    if code == GET_REPORT {
        let mut request = [0; 96];
        memory.read_exact_at(&mut request, request_at).unwrap();
        assert_eq!(request[..64], [0; 64]);
        let report = report(&request, guest);
        memory.write_all_at(&report, response_at).unwrap();
    } else {
        let mut request = [0; 32];
        memory.read_exact_at(&mut request, request_at).unwrap();
        heard.send(request).unwrap();
        memory
            .write_all_at(&key(&request, guest), response_at)
            .unwrap();
    }
    Some(0)
}

fn report(request: &[u8; 96], guest: Guest) -> Vec<u8> {
    let mut response = vec![0; 4000];
    response[4..8].copy_from_slice(&1184u32.to_le_bytes());
    let report = &mut response[32..];
    report[4..8].copy_from_slice(&guest.guest_svn.to_le_bytes());
    report[0x30..0x34].copy_from_slice(&request[64..68]);
    // CURRENT_TCB runs ahead of COMMITTED_TCB while new firmware is on probation.
    report[0x38..0x40].copy_from_slice(&(guest.committed_tcb + 1).to_le_bytes());
    report[0x90..0xc0].fill(guest.measurement);
    report[0x1e0..0x1e8].copy_from_slice(&guest.committed_tcb.to_le_bytes());
    response
}

/// As the firmware's: it depends on what was asked and on the fields that were selected.
fn key(request: &[u8; 32], guest: Guest) -> [u8; 64] {
    let mut response = [0; 64];
    let tcb = u64::from_le_bytes(request[24..].try_into().unwrap());
    let svn = u32::from_le_bytes(request[20..24].try_into().unwrap());
    if tcb > guest.committed_tcb || svn > guest.guest_svn {
        response[0] = 0x16;
        return response;
    }
    let is_measured = request[8] & 1 << 3 != 0;
    for (to, from) in response[32..].iter_mut().zip(request) {
        *to = from ^ 0xa5 ^ if is_measured { guest.measurement } else { 0 };
    }
    response
}

#[test]
fn the_derived_key_is_asked_for_and_comes_again_after_an_update_of_the_firmware() {
    let Some(standin) = Standin::start() else {
        return;
    };
    let made = standin.helper.make().unwrap();
    let request = standin.asked.recv().unwrap();
    // Root key VCEK; policy, measurement, guest SVN and TCB; VMPL 0; what is committed.
    assert_eq!(request[..8], [0; 8]);
    assert_eq!(request[8..16], 0b11_1001u64.to_le_bytes());
    assert_eq!(request[16..20], [0; 4]);
    assert_eq!(request[20..24], 3u32.to_le_bytes());
    assert_eq!(request[24..], GUEST.committed_tcb.to_le_bytes());
    standin.change(|guest| {
        guest.committed_tcb += 1 << 56;
        guest.guest_svn += 1;
    });
    let again = standin.helper.again(&made.params).unwrap();
    assert_eq!(again.secret, made.secret);
    assert_eq!(standin.asked.recv().unwrap(), request);
    // It is said that there is something newer to be had, which is bound to the new firmware.
    assert!(!made.is_old && again.is_old);
    let newer = standin.helper.make().unwrap();
    assert_ne!(standin.asked.recv().unwrap(), request);
    assert_eq!(standin.helper.again(&newer.params), Ok(newer.clone()));
    assert!(standin.device.path().exists());
    let log = standin.helper.log();
    assert!(log.contains("never on hardware"), "{log}");
    assert!(log.contains("every VM of this image on this chip"), "{log}");
    assert!(
        log.contains("this guest has dc18000000000004 and 4"),
        "{log}"
    );
    assert_eq!(newer.params.len(), 24);
}

#[test]
fn the_secret_is_not_the_chips_key_and_neither_is_left_behind() {
    let Some(standin) = Standin::start() else {
        return;
    };
    let made = standin.helper.make().unwrap();
    let raw = key(&standin.asked.recv().unwrap(), GUEST);
    let raw: [u8; 32] = raw[32..].try_into().unwrap();
    assert_ne!(made.secret, raw);
    for secret in [raw, made.secret] {
        let left = places_of(standin.helper.pid(), &secret);
        assert!(left.is_empty(), "{left:#x?}");
    }
}

#[test]
fn another_measurement_has_another_secret() {
    let Some(standin) = Standin::start() else {
        return;
    };
    let made = standin.helper.make().unwrap();
    standin.change(|guest| guest.measurement = 0x77);
    let other = standin.helper.again(&made.params).unwrap();
    assert_ne!(other.secret, made.secret);
}

#[test]
fn firmware_that_was_rolled_back_is_a_change() {
    let Some(standin) = Standin::start() else {
        return;
    };
    let made = standin.helper.make().unwrap();
    standin.change(|guest| guest.committed_tcb -= 1);
    let refused = standin.helper.again(&made.params);
    assert_eq!(refused, Err(Status::PlatformChanged));
    assert!(standin.helper.log().contains("rolled back"));
}

#[test]
fn a_device_whose_key_was_wiped_is_named() {
    let Some(standin) = Standin::start() else {
        return;
    };
    standin.change(|guest| guest.is_wiped = true);
    assert_eq!(standin.helper.make(), Err(Status::PlatformAbsent));
    assert!(standin.helper.log().contains("Inappropriate ioctl"));
}

/// The params of the key of another VMPL, SVN or TCB version, as whoever has the disk can write
/// them.
fn planted(made: &Part, at: usize, byte: u8) -> Vec<u8> {
    let mut params = made.params.clone();
    params[at] = byte;
    params
}

#[test]
fn the_key_of_another_privilege_level_is_not_asked_for() {
    for (lines, own, other) in [("", 0, 3), ("vmpl = 2", 2, 1)] {
        let Some(standin) = Standin::start_with(lines) else {
            return;
        };
        let made = standin.helper.make().unwrap();
        assert_eq!(standin.asked.recv().unwrap()[16..20], [own, 0, 0, 0]);
        let refused = standin.helper.again(&planted(&made, 11, other));
        assert_eq!(refused, Err(Status::PlatformChanged));
        assert!(standin.asked.try_recv().is_err());
        let log = standin.helper.log();
        let said = format!("it is of VMPL {other}, and `vmpl` names {own}");
        assert!(log.contains(&said), "{log}");
    }
}

#[test]
fn the_key_of_a_version_that_is_known_to_be_broken_is_not_asked_for() {
    let Some(standin) = Standin::start_with("min-tcb = \"db17000000000004\"") else {
        return;
    };
    let made = standin.helper.make().unwrap();
    standin.asked.recv().unwrap();
    // The first component, which is written last, and the one before the last.
    for (at, byte) in [(23, 3), (17, 0x16)] {
        let refused = standin.helper.again(&planted(&made, at, byte));
        assert_eq!(refused, Err(Status::PlatformChanged));
    }
    assert!(standin.asked.try_recv().is_err());
    let older = planted(&made, 17, 0x17);
    assert!(standin.helper.again(&older).unwrap().is_old);
    standin.change(|guest| guest.committed_tcb = 0xdb16_0000_0000_0004);
    assert_eq!(standin.helper.make(), Err(Status::PlatformChanged));
    let log = standin.helper.log();
    assert!(
        log.contains("behind the `min-tcb` db17000000000004"),
        "{log}"
    );
}
