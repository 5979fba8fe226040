//! The first process of one machine that `tests/vm/run` starts: it loads the kernel's configfs-tsm
//! and the test's provider, runs nitride-quote before them, and says how it went on the console.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nitride_protocol::Status;
use nitride_tsm::machine::Helper;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use serde_json::Value;
use std::fs::File;
use std::process::Command;
use std::time::{Duration, Instant};

const REPORTS: &str = "/sys/kernel/config/tsm/report";
const FAULT: &str = "/sys/module/nitride_tsm/parameters/fault";

/// A name and what it does.
type Trial = (&'static str, fn() -> Result<()>);

const TRIALS: [Trial; 6] = [
    ("a report covers what was asked", covers),
    ("the kernel's own rules are as they are taken for", rules),
    ("what passes is tried again", passes),
    ("what does not pass is refused by name", refused),
    ("a provider that stalls holds up nobody", stalls),
    ("detection names the provider", detected),
];

fn main() {
    let mut failed = 0;
    if let Err(error) = prepare() {
        println!("vm: not prepared: {error:#}");
        failed = TRIALS.len();
    } else {
        for (name, trial) in TRIALS {
            match trial() {
                Ok(()) => println!("vm: ok: {name}"),
                Err(error) => {
                    failed += 1;
                    println!("vm: FAILED: {name}: {error:#}");
                }
            }
        }
    }
    tell_measurements();
    match failed {
        0 => println!("vm: all passed"),
        _ => println!("vm: {failed} failed"),
    }
    // It comes back by a failure alone.
    let Err(error) = reboot(RebootMode::RB_POWER_OFF);
    println!("vm: cannot power off: {error}");
}

fn prepare() -> Result<()> {
    for (kind, at) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        // Some kernels have mounted /dev themselves.
        let mounted = mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&str>);
        ensure!(
            mounted.is_ok() || kind == "devtmpfs",
            "mount {at}: {mounted:?}"
        );
    }
    for module in ["configfs", "tsm", "nitride_tsm"] {
        let file = File::open(format!("/modules/{module}.ko"))?;
        finit_module(file, c"", ModuleInitFlags::empty())
            .with_context(|| format!("load {module}"))?;
    }
    let at = "/sys/kernel/config";
    mount(
        Some("configfs"),
        at,
        Some("configfs"),
        MsFlags::empty(),
        None::<&str>,
    )
    .context("mount configfs")
}

/// What was measured until the kernel ran, where the machine has a TPM: the firmware and the kernel.
fn tell_measurements() {
    for pcr in [0, 2, 4, 8] {
        let at = format!("/sys/class/tpm/tpm0/pcr-sha256/{pcr}");
        if let Ok(value) = std::fs::read_to_string(at) {
            println!("vm: pcr {pcr} {}", value.trim().to_ascii_lowercase());
        }
    }
}

fn fault(name: &str) -> Result<()> {
    std::fs::write(FAULT, name).with_context(|| format!("fault {name}"))
}

fn start(lines: &str) -> Result<Helper> {
    fault("none")?;
    let command = Command::new("/bin/nitride-quote");
    Helper::start_by(command, &format!("tee = \"snp\"\n{lines}"))
}

fn report_data(answer: Result<Value, Status>) -> Result<Vec<u64>> {
    let evidence = answer.map_err(|status| anyhow::anyhow!("refused: {status:?}"))?;
    let field = evidence["attestation_report"]["report_data"].as_array();
    let bytes = field.context("no report data")?.iter();
    Ok(bytes.filter_map(Value::as_u64).collect())
}

fn expect_covered(helper: &Helper, byte: u8) -> Result<()> {
    let found = report_data(helper.evidence("snp", &[byte; 48])?)?;
    let wanted = [&[u64::from(byte); 48][..], &[0; 16]].concat();
    ensure!(found == wanted, "it covers {found:?}");
    Ok(())
}

fn covers() -> Result<()> {
    let helper = start("")?;
    for byte in 1..4 {
        expect_covered(&helper, byte)?;
    }
    let evidence = helper.evidence("snp", &[1; 48])?;
    let evidence = evidence.map_err(|status| anyhow::anyhow!("refused: {status:?}"))?;
    ensure!(
        evidence["cert_chain"][0]["cert_type"] == "VCEK",
        "{evidence}"
    );
    fault("no-table")?;
    let evidence = helper.evidence("snp", &[1; 48])?;
    let evidence = evidence.map_err(|status| anyhow::anyhow!("refused: {status:?}"))?;
    ensure!(evidence["cert_chain"].is_null(), "{evidence}");
    let left = std::fs::read_dir(REPORTS)?.count();
    ensure!(left == 0, "{left} folders are left");
    Ok(())
}

/// What the collector and the file system that plays configfs-tsm both rely on.
fn rules() -> Result<()> {
    let folder = format!("{REPORTS}/rules");
    std::fs::create_dir(&folder)?;
    let at = |name: &str| format!("{folder}/{name}");
    let generation = || std::fs::read_to_string(at("generation"));
    ensure!(std::fs::read_to_string(at("provider"))? == "sev_guest\n");
    ensure!(generation()? == "0\n");
    let errno =
        |result: std::io::Result<Vec<u8>>| result.err().and_then(|error| error.raw_os_error());
    ensure!(
        errno(std::fs::read(at("outblob"))) == Some(nix::libc::EINVAL),
        "before any data"
    );
    let written = File::options().write(true).open(at("inblob"));
    std::io::Write::write_all(&mut written?, &[7; 64])?;
    ensure!(generation()? == "1\n", "a write is one generation");
    let long = File::options().write(true).open(at("inblob"));
    let refused = std::io::Write::write_all(&mut long?, &[7; 65]);
    ensure!(
        refused.err().and_then(|error| error.raw_os_error()) == Some(nix::libc::EFBIG),
        "65 bytes"
    );
    // Of a write that was refused nothing is stored, and that is stored: a generation without data.
    ensure!(generation()? == "2\n", "what was refused");
    ensure!(
        errno(std::fs::read(at("outblob"))) == Some(nix::libc::EINVAL),
        "after it"
    );
    let written = File::options().write(true).open(at("inblob"));
    std::io::Write::write_all(&mut written?, &[7; 64])?;
    ensure!(std::fs::read(at("outblob"))?.len() == 1184);
    ensure!(std::fs::write(at("privlevel"), "4").is_err(), "privlevel 4");
    std::fs::remove_dir(&folder)?;
    Ok(())
}

fn passes() -> Result<()> {
    let helper = start("")?;
    fault("busy-once")?;
    expect_covered(&helper, 9)
}

fn refused() -> Result<()> {
    let helper = start("")?;
    for (name, said) in [
        ("stale", "covers other data"),
        ("empty", "an empty report"),
        ("busy", "still with the host"),
        ("timed-out", "does not answer"),
    ] {
        fault(name)?;
        let answer = helper.evidence("snp", &[7; 48])?;
        ensure!(
            answer == Err(Status::EvidenceUnavailable),
            "{name}: {answer:?}"
        );
        let log = helper.log()?;
        ensure!(log.contains(said), "{name}: {log}");
    }
    fault("none")?;
    expect_covered(&helper, 5)
}

fn stalls() -> Result<()> {
    let helper = start("device-timeout-ms = 1000")?;
    fault("stall")?;
    let began = Instant::now();
    let answer = helper.evidence("snp", &[7; 48])?;
    ensure!(answer == Err(Status::TimedOut), "{answer:?}");
    ensure!(began.elapsed() < Duration::from_millis(2500));
    fault("none")?;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match helper.evidence("snp", &[8; 48])? {
            // Those who gave up still stand in the queue, which may be full of them.
            Err(Status::TimedOut | Status::EvidenceUnavailable) if Instant::now() < deadline => {}
            answer => {
                let found =
                    report_data(answer).with_context(|| helper.log().unwrap_or_default())?;
                ensure!(found.first() == Some(&8), "{found:?}");
                return Ok(());
            }
        }
    }
}

fn detected() -> Result<()> {
    let output = Command::new("/bin/nitride-quote")
        .arg("--detect")
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    let line = format!("{REPORTS}: snp: its provider is \"sev_guest\"");
    ensure!(said.lines().next() == Some(&line), "{said}");
    Ok(())
}
