//! How an initramfs of scripts is left: its own scripts, on a folder that stands for its /run.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use nitride_support::folder::Folder;
use nitride_support::program::wait_until;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SCRIPTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../packaging/initramfs-tools"
);
/// What begins another process once the first has ended, though it is to stop: it had looked a moment
/// before.
const LATE: &str =
    "echo $$ >DIR/quote.loop; for n in 1 2; do sleep 60 & echo $! >DIR/quote.pid; wait $!; done";
/// What takes its time to end.
const SLOW: &str = "trap 'sleep 0.3; exit' TERM; while :; do sleep 0.05; done";

/// A script with this folder in the place of those of an initramfs, where nothing is mounted or left.
fn script(folder: &Folder, name: &str) -> Result<PathBuf> {
    let path = folder.path().display().to_string();
    let text = fs::read_to_string(Path::new(SCRIPTS).join(name))?;
    let text = text
        .replace("/run/nitride-initramfs", &path)
        .replace("/dev/console", "/dev/null")
        .replace("/scripts/functions", &format!("{path}/functions"))
        .replace("/usr/bin/nitride-unlock", "true")
        .replace("/usr/lib/nitride/install", "true")
        .replace("umount ", "true ");
    folder.write(&name.replace('/', "-"), text)
}

fn shell(words: &[&str]) -> Result<Child> {
    let mut command = Command::new("sh");
    // Where the test fails some of them live on, and hold nothing of it.
    let command = command.args(words).stdin(Stdio::null());
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().context("sh")
}

fn is_there(pid: &str) -> bool {
    Path::new("/proc").join(pid).join("exe").exists()
}

#[test]
fn what_an_initramfs_started_has_ended_when_it_is_left() -> Result<()> {
    let folder = Folder::new()?;
    folder.write("functions", "panic() { echo \"$@\" >&2; exit 1; }\n")?;
    let start = script(&folder, "nitride/start")?.display().to_string();
    let leave = script(&folder, "scripts/local-bottom/nitride")?;
    let late = LATE.replace("DIR", &folder.path().display().to_string());
    let mut loops = vec![shell(&["-c", &late])?];
    for name in ["agent", "vhsmd"] {
        loops.push(shell(&[&start, name, "sh", "-c", SLOW])?);
    }
    let noted = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let mut first = Vec::new();
    for name in ["agent.pid", "vhsmd.pid", "quote.pid"] {
        wait_until(name, Duration::from_secs(10), || {
            Ok(noted(name).ends_with('\n'))
        })?;
        first.push(noted(name));
    }
    let output = Command::new("sh")
        .arg(leave)
        .env("rootmnt", "/root")
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(folder.join("left").exists());
    // The process that was late is another one.
    assert_ne!(noted("quote.pid"), first[2]);
    for pid in first.iter().chain([&noted("quote.pid")]) {
        assert!(!is_there(pid.trim()), "{pid}");
    }
    for mut each in loops {
        assert!(each.try_wait()?.is_some());
    }
    Ok(())
}
