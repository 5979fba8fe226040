//! The program itself, over real volumes and a vault that only hands out passphrases.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, geteuid};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::{sleep, spawn};
use std::time::Duration;

const INSTALLER: &[u8] = b"of-the-installer";

/// A volume of 20 MiB, its configuration, and the vault's sockets `a` and `b`.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let world = Self { folder };
        let device = world.path("disk");
        let file = fs::File::create(&device)?;
        file.set_len(20 << 20)?;
        fs::write(world.path("installer"), INSTALLER)?;
        let formatted = Command::new("/usr/sbin/cryptsetup")
            .args(["luksFormat", "--batch-mode", "--type", "luks2"])
            .args(["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"])
            .arg("--key-file")
            .arg(world.path("installer"))
            .arg(&device)
            .status();
        assert!(formatted?.success());
        for name in ["a", "b"] {
            let listener = UnixListener::bind(world.path(&format!("{name}.key")));
            let listener = listener?;
            // 32 bytes, as the vault makes them.
            let passphrase = name.repeat(32);
            spawn(move || {
                for stream in listener.incoming() {
                    // Whoever was killed does not read it.
                    let _ = stream.and_then(|mut stream| {
                        stream.read_to_end(&mut Vec::new())?;
                        stream.write_all(passphrase.as_bytes())
                    });
                }
            });
        }
        world.configure("danger-any-header = true")?;
        Ok(world)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, expected: &str) -> Result<()> {
        let folder = self.folder.path().display();
        let text = format!(
            "key-files = \"{folder}\"\nadmin = \"{folder}/none\"\nagent = \"{folder}/none\"\n\
             [[volume]]\nname = \"nitride-test\"\ndevice = \"{folder}/disk\"\n\
             passphrases = [\"a\", \"b\"]\ntimeout-secs = 20\n{expected}\n"
        );
        fs::write(self.path("unlock.toml"), text)?;
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nitride-unlock"));
        command.arg("--config").arg(self.path("unlock.toml"));
        command.args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.command(arguments).output()?)
    }

    /// Standard output of what succeeds.
    fn told(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {log}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The log of what fails.
    fn refused(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        assert!(!output.status.success(), "{arguments:?}");
        Ok(String::from_utf8(output.stderr)?)
    }

    fn enroll(&self) -> Result<String> {
        let installer = self.path("installer").display().to_string();
        self.told(&["enroll", "nitride-test", "--existing", &installer])
    }

    fn slots(&self) -> Result<Vec<String>> {
        let status = self.told(&["status", "nitride-test"])?;
        let slots = status
            .lines()
            .filter_map(|line| line.strip_prefix("slot     "));
        Ok(slots
            .filter_map(|slot| slot.split(':').next())
            .map(str::to_owned)
            .collect())
    }
}

/// The program locks its memory, which takes root, as opening a volume does.
fn is_root_or_says_so() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        eprintln!("SKIPPED: run as root, who alone may lock as much memory");
    }
    is_root
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_volume_is_enrolled_opened_by_what_it_then_expects_and_rotated() -> Result<()> {
    if !is_root_or_says_so() {
        return Ok(());
    }
    let world = World::new()?;
    assert!(
        world
            .refused(&["open", "nitride-test", "--dry-run"])?
            .contains("none of the volume's")
    );
    let told = world.enroll()?;
    assert!(
        told.contains("slot 1 unlocks") && told.contains("slot 0 was removed"),
        "{told}"
    );
    let status = world.told(&["status", "nitride-test"])?;
    let expected = status
        .lines()
        .find_map(|line| line.strip_prefix("expect   "));
    let expected = expected.context("nothing to expect")?;
    world.configure(&format!("expect = [\"{expected}\"]"))?;
    world.told(&["open", "nitride-test", "--dry-run"])?;
    let told = world.told(&["rotate", "nitride-test", "--to", "b"])?;
    assert!(
        told.contains("slot 0 unlocks") && told.contains("slot 1 was removed"),
        "{told}"
    );
    world.told(&["open", "nitride-test", "--dry-run"])?;
    assert_eq!(world.slots()?, ["0"]);
    Ok(())
}

#[test]
fn a_rotation_that_left_what_a_lost_passphrase_may_open_has_failed() -> Result<()> {
    if !is_root_or_says_so() {
        return Ok(());
    }
    let world = World::new()?;
    // The slot of the installer stands for that of a passphrase which the service has lost.
    let installer = world.path("installer").display().to_string();
    let keep = [
        "enroll",
        "nitride-test",
        "--existing",
        &installer,
        "--keep-existing",
    ];
    world.told(&keep)?;
    let text = fs::read_to_string(world.path("unlock.toml"))?;
    let text = text.replace("\"b\"]", "\"b\", \"lost\"]");
    let text = text.replace("timeout-secs = 20", "timeout-secs = 1");
    fs::write(world.path("unlock.toml"), text)?;
    let output = world.run(&["rotate", "nitride-test", "--to", "b"])?;
    let (told, log) = (
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    );
    assert!(!output.status.success(), "{told}");
    assert!(told.contains("slot 1 was removed"), "{told}");
    assert!(log.contains("lost could not be had"), "{log}");
    Ok(())
}

#[test]
fn another_volume_in_its_place_is_refused_by_name() -> Result<()> {
    if !is_root_or_says_so() {
        return Ok(());
    }
    let world = World::new()?;
    let other = World::new()?;
    world.enroll()?;
    other.enroll()?;
    let status = world.told(&["status", "nitride-test"])?;
    let expected = status
        .lines()
        .find_map(|line| line.strip_prefix("expect   "));
    let expected = expected.context("nothing to expect")?;
    world.configure(&format!("expect = [\"{expected}\"]"))?;
    fs::copy(other.path("disk"), world.path("disk"))?;
    let log = world.refused(&["open", "nitride-test", "--dry-run"])?;
    assert!(log.contains("another is expected"), "{log}");
    let told = world.told(&["status", "nitride-test"])?;
    assert!(told.contains("(other-uuid)"), "{told}");
    Ok(())
}

#[test]
fn opening_takes_the_device_mapper_and_says_so_where_there_is_none() -> Result<()> {
    if !is_root_or_says_so() {
        return Ok(());
    }
    let world = World::new()?;
    world.enroll()?;
    let output = world.run(&["open", "nitride-test"])?;
    let log = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => {
            let closed = Command::new("/usr/sbin/cryptsetup")
                .args(["close", "nitride-test"])
                .status();
            assert!(closed?.success());
        }
        false => assert!(
            log.contains("device-mapper") || log.contains("swapped out"),
            "{log}"
        ),
    }
    Ok(())
}

#[test]
fn no_passphrase_is_in_what_is_said() -> Result<()> {
    if !is_root_or_says_so() {
        return Ok(());
    }
    let world = World::new()?;
    let installer = world.path("installer").display().to_string();
    let enroll = [
        "--log-level",
        "trace",
        "enroll",
        "nitride-test",
        "--existing",
        &installer,
    ];
    for arguments in [
        &enroll[..],
        &[
            "--log-level",
            "trace",
            "rotate",
            "nitride-test",
            "--to",
            "b",
        ],
        &["--log-level", "trace", "open", "nitride-test", "--dry-run"],
        &["--log-level", "trace", "status", "nitride-test"],
    ] {
        let output = world.run(arguments)?;
        let said = [output.stdout, output.stderr].concat();
        for secret in [INSTALLER, &[b'a'; 32], &[b'b'; 32]] {
            let hex = hex(secret);
            for form in [secret, hex.as_bytes()] {
                assert!(!said.windows(form.len()).any(|window| window == form));
            }
        }
    }
    Ok(())
}

/// How often a program is killed: a quarter of `NITRIDE_KILLS`, since each takes cryptsetup several
/// times, or few enough for every day.
fn kills() -> Result<u64> {
    match std::env::var("NITRIDE_KILLS") {
        Ok(text) => {
            let asked: u64 = text.parse().context("NITRIDE_KILLS is no number")?;
            Ok(asked.div_ceil(4))
        }
        Err(_) => Ok(24),
    }
}

impl World {
    /// Starts the program, and kills it and what it started after so long. `false` if it was through
    /// before.
    fn is_killed(&self, arguments: &[&str], after: Duration) -> Result<bool> {
        let mut command = self.command(arguments);
        command
            .process_group(0)
            .stderr(Stdio::null())
            .stdout(Stdio::null());
        let mut child = command.spawn()?;
        sleep(after);
        let group = Pid::from_raw(i32::try_from(child.id())?);
        if child.try_wait()?.is_some() {
            return Ok(false);
        }
        killpg(group, Signal::SIGKILL)?;
        child.wait()?;
        Ok(true)
    }
}

/// Moments that wander through a run: each a step after the last, and by another fraction of a step
/// in each round, so that a longer test meets other moments.
struct Moments {
    delay_us: u64,
    round: u64,
}

impl Moments {
    const STEP_US: u64 = 9_000;

    fn new() -> Self {
        Self {
            delay_us: 5_000,
            round: 0,
        }
    }

    fn now(&self) -> Duration {
        Duration::from_micros(self.delay_us)
    }

    fn next(&mut self) {
        self.delay_us += Self::STEP_US;
    }

    fn again(&mut self) {
        self.round += 1;
        self.delay_us = 5_000 + self.round * 2_237 % Self::STEP_US;
    }
}

/// Kills at moments through whole rotations, and has the volume open by the very names that a boot
/// tries.
#[test]
fn a_kill_at_any_moment_leaves_a_volume_that_a_boot_opens() -> Result<()> {
    if !is_root_or_says_so() {
        return Ok(());
    }
    let world = World::new()?;
    world.enroll()?;
    let (mut to, mut moments, mut done) = ("b", Moments::new(), 0);
    while done < kills()? {
        let is_killed = world.is_killed(&["rotate", "nitride-test", "--to", to], moments.now())?;
        world.told(&["open", "nitride-test", "--dry-run"])?;
        moments.next();
        done += u64::from(is_killed);
        if !is_killed {
            // Through: once more, the other way round.
            moments.again();
            to = if to == "a" { "b" } else { "a" };
        }
    }
    let told = world.told(&["rotate", "nitride-test", "--to", to])?;
    let left = told
        .lines()
        .filter_map(|line| line.split_once("--remove-slot "));
    let left = left.filter_map(|(_, rest)| rest.split(' ').next());
    let mut finish = vec!["rotate", "nitride-test", "--to", to];
    for slot in left {
        finish.extend(["--remove-slot", slot]);
    }
    world.told(&finish)?;
    assert_eq!(world.slots()?.len(), 1);
    world.told(&["open", "nitride-test", "--dry-run"])?;
    Ok(())
}

/// The same through whole enrolments: until the vault's passphrase opens the volume, the installer's
/// does; and whatever was cut off, enrolling again finishes it.
#[test]
fn a_kill_at_any_moment_of_an_enrolment_leaves_a_way_in() -> Result<()> {
    if !is_root_or_says_so() {
        return Ok(());
    }
    let installer_opens = |world: &World| -> Result<bool> {
        let tried = Command::new("/usr/sbin/cryptsetup")
            .args([
                "open",
                "--test-passphrase",
                "--batch-mode",
                "--type",
                "luks2",
            ])
            .arg("--key-file")
            .arg(world.path("installer"))
            .arg(world.path("disk"))
            .stderr(Stdio::null())
            .status()?;
        Ok(tried.success())
    };
    let (mut moments, mut done) = (Moments::new(), 0);
    while done < kills()? {
        let world = World::new()?;
        let installer = world.path("installer").display().to_string();
        let enroll = ["enroll", "nitride-test", "--existing", &installer];
        // Several kills of one enrolment, until it is through.
        loop {
            let is_killed = world.is_killed(&enroll, moments.now())?;
            let opens = world.run(&["open", "nitride-test", "--dry-run"])?;
            assert!(opens.status.success() || installer_opens(&world)?);
            moments.next();
            done += u64::from(is_killed);
            if !is_killed {
                break;
            }
        }
        moments.again();
        world.enroll()?;
        world.told(&["open", "nitride-test", "--dry-run"])?;
        assert!(!installer_opens(&world)?);
    }
    Ok(())
}

#[test]
fn the_doctor_finds_what_is_missing_and_fails() -> Result<()> {
    if !is_root_or_says_so() {
        return Ok(());
    }
    let world = World::new()?;
    world.enroll()?;
    let nowhere = Path::new("/nonexistent/initrd");
    let output = world
        .command(&["doctor", "--command-line", "rd.break", "--initrd"])
        .arg(nowhere)
        .output()?;
    assert!(!output.status.success());
    let told = String::from_utf8(output.stdout)?;
    for line in [
        "FAIL  nitride-test initrd: there is no file /nonexistent/initrd",
        "FAIL  nitride-test vault: ",
        "FAIL  nitride-test expectation: ",
        "ok    nitride-test header: ",
        "ok    nitride-test round: the volume unlocks by a",
        "ok    nitride-test slots: ",
        "FAIL  nitride-test console-shell: ",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    Ok(())
}

#[test]
fn a_system_is_not_left_as_an_initrd_is() -> Result<()> {
    let world = World::new()?;
    let log = world.refused(&["leave", "--root", "/"])?;
    assert!(log.contains("this is no initrd"), "{log}");
    Ok(())
}

#[test]
fn a_doctor_without_volumes_finds_nothing_good() -> Result<()> {
    if !is_root_or_says_so() {
        return Ok(());
    }
    let world = World::new()?;
    fs::write(world.path("unlock.toml"), "")?;
    assert!(
        world
            .refused(&["doctor"])?
            .contains("no volume is configured")
    );
    Ok(())
}
