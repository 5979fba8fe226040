//! The first process of the machine that `tests/vm/measured` starts: it has systemd measure the
//! phases that the command line names, and writes what the TPM then holds on the console.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use sha2::{Digest, Sha384};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::Command;

/// systemd's own, of the same release as the stub.
const PCREXTEND: &str = "/usr/lib/systemd/systemd-pcrextend";
const PCRS: &str = "/sys/class/tpm/tpm0";
const PHASES: &str = "nitride.phases=";
/// Those that `nitride-verify measure` predicts, and by which a direct boot is compared.
const SHOWN: [u8; 7] = [2, 4, 8, 9, 11, 12, 13];
/// TCG's numbers for an algorithm and for an event.
const SHA384: u16 = 0x000c;
const EV_SEPARATOR: u32 = 4;

fn main() {
    match show() {
        Ok(()) => println!("measured: all shown"),
        Err(error) => println!("measured: FAILED: {error:#}"),
    }
    // It comes back by a failure alone.
    let Err(error) = reboot(RebootMode::RB_POWER_OFF);
    println!("measured: cannot power off: {error}");
}

fn show() -> Result<()> {
    // The stub leaves a variable by which systemd knows that a TPM measured the image.
    finit_module(File::open("/efivarfs.ko")?, c"", ModuleInitFlags::empty())?;
    for (kind, at) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/run"),
        ("securityfs", "/sys/kernel/security"),
        ("efivarfs", "/sys/firmware/efi/efivars"),
    ] {
        let mounted = mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&str>);
        // Some kernels have mounted /dev themselves.
        ensure!(
            mounted.is_ok() || kind == "devtmpfs",
            "mount {at}: {mounted:?}"
        );
    }
    let line = fs::read_to_string("/proc/cmdline")?;
    let phases = line.split_whitespace().find_map(|w| w.strip_prefix(PHASES));
    let phases = phases.unwrap_or_default().split(':');
    for phase in phases.filter(|phase| !phase.is_empty()) {
        let status = Command::new(PCREXTEND).arg(phase).status();
        let status = status.with_context(|| PCREXTEND.to_owned())?;
        ensure!(status.success(), "{PCREXTEND} {phase}: {status}");
    }
    for bank in ["sha256", "sha384"] {
        for pcr in SHOWN {
            let at = format!("{PCRS}/pcr-{bank}/{pcr}");
            let value = fs::read_to_string(&at).with_context(|| at)?;
            let value = value.trim().to_ascii_lowercase();
            println!("measured: {bank} {pcr} {value}");
        }
    }
    let log = fs::read("/sys/kernel/security/tpm0/binary_bios_measurements")?;
    let rtmr1 = as_rtmr1(&log).context("the event log is cut short")?;
    let rtmr1: String = rtmr1.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("measured: log rtmr1 {rtmr1}");
    Ok(())
}

/// RTMR1, had the firmware measured into it: the events of PCRs 2 to 6 in the log's order (TCG, "PC
/// Client Platform Firmware Profile", "TCG_PCR_EVENT2"), but a separator once. `None` where the log
/// ends within an event.
fn as_rtmr1(log: &[u8]) -> Option<[u8; 48]> {
    let u16_at = |at: usize| Some(u16::from_le_bytes(*log.get(at..)?.first_chunk()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(*log.get(at..)?.first_chunk()?));
    let usize_at = |at: usize| usize::try_from(u32_at(at)?).ok();
    // The first event has the old form, and says how long the digests of each algorithm are.
    let specification_at = 32;
    let mut digest_lens = BTreeMap::new();
    for index in 0..usize_at(specification_at + 24)? {
        let at = specification_at + 28 + 4 * index;
        digest_lens.insert(u16_at(at)?, usize::from(u16_at(at + 2)?));
    }
    let mut at = specification_at + usize_at(specification_at - 4)?;
    let mut register = [0; 48];
    while at < log.len() {
        let (pcr, kind, count) = (u32_at(at)?, u32_at(at + 4)?, u32_at(at + 8)?);
        at += 12;
        let mut measured: &[u8] = &[];
        for _ in 0..count {
            let algorithm = u16_at(at)?;
            let len = *digest_lens.get(&algorithm)?;
            if algorithm == SHA384 {
                measured = log.get(at + 2..at + 2 + len)?;
            }
            at += 2 + len;
        }
        at += 4 + usize_at(at)?;
        let is_another_separator = kind == EV_SEPARATOR && pcr != 4;
        if (2..=6).contains(&pcr) && !is_another_separator {
            let hasher = Sha384::new().chain_update(register);
            register = hasher.chain_update(measured).finalize().into();
        }
    }
    Some(register)
}
