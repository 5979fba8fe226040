//! `/dev/sev-guest`, played by a debugger: it holds the helper's device thread at each ioctl, does
//! what kernel and firmware would do, and lets it go on. So the real process makes the real system
//! call with the real structures.

use crate::provider::snp_report;
use anyhow::{Context, Result, ensure};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs::{File, OpenOptions, read_dir, read_to_string};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const SYS_IOCTL: u64 = 16;
const IOCTL_REPORT: u64 = 0xc020_5300;
const IOCTL_EXTENDED_REPORT: u64 = 0xc020_5302;
const PAGE_LEN: u32 = 4096;
/// What the host says of a table that is too short, in the upper half (`SNP_GUEST_VMM_ERR_INVALID_LEN`).
const INVALID_LEN: u64 = 1 << 32;

/// What the firmware and the host are like.
#[derive(Clone, Debug, Default)]
pub struct Firmware {
    /// What the host has of certificates.
    pub table: Vec<u8>,
    /// The kernel has wiped its key to the firmware.
    pub is_wiped: bool,
    /// The status in the answer.
    pub status: u32,
    /// The VMPL of every report, whatever was asked.
    pub vmpl: Option<u32>,
}

/// One request, as it came from the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The bytes of a request for a report.
    Report(Vec<u8>),
    /// Those of one for an extended report, without the address.
    ExtendedReport(Vec<u8>, u32),
}

/// The one that plays. It ends with the thread that it holds.
#[derive(Debug)]
pub struct GuestDevice {
    firmware: Arc<Mutex<Firmware>>,
    asked: Receiver<Asked>,
}

impl GuestDevice {
    /// Plays for the device thread of this helper.
    ///
    /// # Errors
    /// When it has none, or cannot be held.
    pub fn play(helper: u32, firmware: Firmware) -> Result<Self> {
        let thread = device_thread(helper)?;
        let firmware = Arc::new(Mutex::new(firmware));
        let (heard, asked) = channel();
        let (ready, is_ready) = channel();
        let known = Arc::clone(&firmware);
        std::thread::spawn(move || {
            if let Err(error) = play(helper, thread, &known, &heard, &ready) {
                eprintln!("the played device ends: {error:#}");
            }
        });
        is_ready.recv().context("the device is not played")?;
        Ok(Self { firmware, asked })
    }

    /// Changes what comes from now on.
    pub fn change(&self, change: impl FnOnce(&mut Firmware)) {
        change(&mut self.firmware.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What was asked since this was asked last.
    #[must_use]
    pub fn take_asked(&self) -> Vec<Asked> {
        self.asked.try_iter().collect()
    }
}

fn device_thread(helper: u32) -> Result<Pid> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        for task in read_dir(format!("/proc/{helper}/task"))? {
            let task = task?;
            let name = read_to_string(task.path().join("comm")).unwrap_or_default();
            if name.trim_end() == "device" {
                return Ok(Pid::from_raw(task.file_name().to_string_lossy().parse()?));
            }
        }
        ensure!(Instant::now() < deadline, "no thread for the devices");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Until the thread is no more.
fn play(
    helper: u32,
    thread: Pid,
    firmware: &Mutex<Firmware>,
    heard: &Sender<Asked>,
    ready: &Sender<()>,
) -> Result<()> {
    ptrace::seize(thread, ptrace::Options::PTRACE_O_TRACESYSGOOD)?;
    ptrace::interrupt(thread)?;
    let memory = OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("/proc/{helper}/mem"))?;
    let next = || match waitpid(thread, Some(WaitPidFlag::__WALL)) {
        Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(_) => None,
        Ok(status) => Some(status),
    };
    let (mut result, mut is_entry) = (None, true);
    let mut status = next();
    ready.send(())?;
    while let Some(stopped) = status {
        if let WaitStatus::PtraceSyscall(_) = stopped {
            let mut registers = ptrace::getregs(thread)?;
            if is_entry && registers.orig_rax == SYS_IOCTL {
                let firmware = firmware.lock().unwrap_or_else(PoisonError::into_inner);
                result = answer(&memory, registers.rsi, registers.rdx, &firmware, heard)?;
                if result.is_some() {
                    // No system call, so that only what is played happens.
                    registers.orig_rax = u64::MAX;
                    ptrace::setregs(thread, registers)?;
                }
            } else if !is_entry && let Some(result) = result.take() {
                registers.rax = result;
                ptrace::setregs(thread, registers)?;
            }
            is_entry = !is_entry;
        }
        if ptrace::syscall(thread, None).is_err() {
            return Ok(());
        }
        status = next();
    }
    Ok(())
}

/// Plays one ioctl (`snp_guest_ioctl`): what it returns, or `None` when it is not one of ours.
fn answer(
    memory: &File,
    code: u64,
    at: u64,
    firmware: &Firmware,
    heard: &Sender<Asked>,
) -> Result<Option<u64>> {
    let failed = |errno: nix::errno::Errno| Ok(Some((-(errno as i64)).cast_unsigned()));
    let is_extended = match code {
        IOCTL_REPORT => false,
        IOCTL_EXTENDED_REPORT => true,
        _ => return Ok(None),
    };
    if firmware.is_wiped {
        return failed(nix::errno::Errno::ENOTTY);
    }
    let mut call = [0; 32];
    memory.read_exact_at(&mut call, at)?;
    ensure!(call[0] == 1, "the messages' version");
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| call[at + index]));
    let (request_at, response_at) = (word(8), word(16));
    let mut request = [0; 96];
    memory.read_exact_at(&mut request, request_at)?;
    if is_extended {
        let mut place = [0; 12];
        memory.read_exact_at(&mut place, request_at + 96)?;
        let (address, len) = place.split_at(8);
        let address = u64::from_le_bytes(address.try_into()?);
        let len = u32::from_le_bytes(len.try_into()?);
        heard.send(Asked::ExtendedReport(request.to_vec(), len))?;
        ensure!(len % PAGE_LEN == 0 && len <= 0x4000, "certs_len {len}");
        if firmware.table.len() > len as usize {
            let pages = u32::try_from(firmware.table.len())?.next_multiple_of(PAGE_LEN);
            memory.write_all_at(&pages.to_le_bytes(), request_at + 104)?;
            memory.write_all_at(&INVALID_LEN.to_le_bytes(), at + 24)?;
            return failed(nix::errno::Errno::EIO);
        }
        let mut pages = firmware.table.clone();
        pages.resize(len as usize, 0);
        memory.write_all_at(&pages, address)?;
    } else {
        heard.send(Asked::Report(request.to_vec()))?;
    }
    let asked_vmpl = u32::from_le_bytes(request[64..68].try_into()?);
    let vmpl = firmware.vmpl.unwrap_or(asked_vmpl);
    let mut response = vec![0; 4000];
    response[..4].copy_from_slice(&firmware.status.to_le_bytes());
    response[4..8].copy_from_slice(&1184_u32.to_le_bytes());
    response[32..1216].copy_from_slice(&snp_report(request[..64].try_into()?, vmpl));
    memory.write_all_at(&response, response_at)?;
    Ok(Some(0))
}
