//! Instructions and cycles an operation, by `perf stat`, on both ends and against the floor: they
//! hardly depend on what else the machine does, so a difference of a hundredth is a difference.

use crate::floor::{Bare, Echo};
use crate::placement::OneCpu;
use crate::report::Report;
use crate::scale::Scale;
use crate::vault::Vault;
use anyhow::{Context, Result, ensure};
use nitride_protocol::KeyType;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const OPERATIONS: u32 = 10_000;
const WARM_UP: u32 = 1000;
const EVENTS: [&str; 4] = ["instructions:u", "instructions:k", "cycles:u", "cycles:k"];
/// What perf runs meanwhile: it is started once the counters are, and tells by a file that it was.
const MEANWHILE: &str = "touch \"$0.open\"; until [ -e \"$0.done\" ]; do sleep 0.02; done";
/// For how long perf is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    let place = OneCpu::bind()?;
    report.placement(place.text());
    let found = Command::new("perf")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if !found.is_ok_and(|status| status.success()) {
        report.absent("perf is not on the path, or may not count here");
        return Ok(());
    }
    let operations = scale.count(OPERATIONS);
    let folder = tempfile::tempdir()?;
    let echo = Echo::start(folder.path())?;
    let mut bare = Bare::new()?;
    let vault = Vault::start()?;
    let mut client = vault.client()?;
    for (name, key_type) in [
        ("perf/signing", KeyType::EcP256),
        ("perf/sealing", KeyType::Aes256Gcm),
        ("perf/tagging", KeyType::HmacSha256),
    ] {
        client.generate(name, key_type, None)?;
    }
    let ours = std::process::id();
    let both = [("client", ours), ("vhsmd", vault.pid()?)];
    let ends = [("client", ours), ("server", echo.pid())];
    let alone = [("process", ours)];
    let data = [1; 64];
    let mut count = |title: &str, of: &[(&str, u32)], operation: &mut dyn FnMut() -> Result<()>| {
        counted(report, folder.path(), operations, title, of, operation)
    };
    count("P-256: bare", &alone, &mut || bare.sign(&data[..32]))?;
    count("P-256: round trip", &ends, &mut || echo.round_trip(54, 72))?;
    count("P-256", &both, &mut || {
        std::hint::black_box(client.sign("perf/signing", None, &data[..32])?);
        Ok(())
    })?;
    count("AES-256-GCM 64 B: bare", &alone, &mut || {
        bare.seal(data.len())
    })?;
    count("AES-256-GCM 64 B: round trip", &ends, &mut || {
        echo.round_trip(86, 124)
    })?;
    count("AES-256-GCM 64 B", &both, &mut || {
        std::hint::black_box(client.encrypt("perf/sealing", &data, b"")?);
        Ok(())
    })?;
    count("HMAC-SHA-256 64 B: bare", &alone, &mut || {
        bare.tag(&data);
        Ok(())
    })?;
    count("HMAC-SHA-256 64 B", &both, &mut || {
        std::hint::black_box(client.mac("perf/tagging", &data)?);
        Ok(())
    })
}

/// Counts what each process does for each of so many operations.
fn counted(
    report: &mut Report,
    folder: &Path,
    operations: u32,
    title: &str,
    processes: &[(&str, u32)],
    operation: &mut dyn FnMut() -> Result<()>,
) -> Result<()> {
    for _ in 0..WARM_UP {
        operation()?;
    }
    let counters = processes.iter().map(|(_, pid)| Counter::open(folder, *pid));
    let counters: Vec<Counter> = counters.collect::<Result<_>>()?;
    for _ in 0..operations {
        operation()?;
    }
    for (counter, (process, _)) in counters.into_iter().zip(processes) {
        let text = counter.close()?;
        for event in EVENTS {
            let line = text.lines().find(|line| line.contains(event));
            let value = line.and_then(|line| line.split(',').next()?.parse::<f64>().ok());
            let value = value.with_context(|| format!("perf does not say {event}: {text}"))?;
            let each = value / f64::from(operations);
            report.figure(format!("{title}, {process}: {event}"), each, "each");
        }
    }
    Ok(())
}

/// A running perf.
struct Counter {
    perf: Child,
    /// What its files' names begin with.
    path: PathBuf,
}

impl Counter {
    /// Counts what the process does from now on.
    fn open(folder: &Path, pid: u32) -> Result<Self> {
        let path = folder.join(pid.to_string());
        for end in ["open", "done"] {
            // Left by the one before.
            let _ = std::fs::remove_file(path.with_extension(end));
        }
        let perf = Command::new("perf")
            .args(["stat", "--no-inherit", "-x,", "-e", &EVENTS.join(","), "-o"])
            .arg(path.with_extension("perf"))
            .args(["-p", &pid.to_string(), "--", "sh", "-c", MEANWHILE])
            .arg(&path)
            .spawn()
            .context("cannot start perf")?;
        let begun = Instant::now();
        while !path.with_extension("open").exists() {
            ensure!(begun.elapsed() < PATIENCE, "perf does not begin to count");
            sleep(Duration::from_millis(5));
        }
        Ok(Self { perf, path })
    }

    /// What it counted.
    fn close(mut self) -> Result<String> {
        std::fs::write(self.path.with_extension("done"), "")?;
        ensure!(self.perf.wait()?.success(), "perf has not counted");
        let text = self.path.with_extension("perf");
        std::fs::read_to_string(text).context("read what perf has counted")
    }
}
