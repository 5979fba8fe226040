//! The program as systemd would start it.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_nitride-provisiond");
const PATIENCE: Duration = Duration::from_secs(20);

/// A service of its own folder, which is gone with the test.
struct Served {
    folder: TempDir,
    child: Child,
}

impl Served {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for line in [
            "store-key generate --out store.key",
            "store-key generate --out challenge.key",
            "token-key generate --out token.pem --public-out token.pub",
        ] {
            let status = command(folder.path(), line).stdout(Stdio::null()).status();
            assert!(status.unwrap().success(), "{line}");
        }
        for (name, text) in [
            (
                "attestation.toml",
                "version = 1\ndanger-accept-sample = true\ndanger-test-anchors = []\n[sample]\nsvn = []\n",
            ),
            ("resource.toml", "version = 1\n"),
            (
                "provisiond.toml",
                "listen = \"127.0.0.1:0\"\nport-file = \"port\"\ndanger-plain-http = true\n\
                 store = \"store\"\nstore-key = \"store.key\"\nchallenge-key = \"challenge.key\"\n\
                 token-key = \"token.pem\"\nissuer = \"i\"\naudience = \"a\"\npolicy-id = \"p\"\n\
                 attestation-policy = \"attestation.toml\"\nresource-policy = \"resource.toml\"\n",
            ),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let child = command(
            folder.path(),
            "serve --config provisiond.toml --reload-socket reload.sock",
        )
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
        let served = Self { folder, child };
        served.wait_for("its port", || served.folder.path().join("port").exists());
        served
    }

    fn wait_for(&self, what: &str, done: impl Fn() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < PATIENCE, "waited for {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn end_by(&mut self, signal: &str) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(folder: &Path, line: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.current_dir(folder).args(line.split(' '));
    command
}

#[test]
fn a_service_that_runs_leaves_no_core_and_ends_when_asked() {
    let mut served = Served::start();
    let limits = fs::read_to_string(format!("/proc/{}/limits", served.child.id())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    let sizes: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(sizes, ["0", "0"], "{core}");
    assert!(served.end_by("-TERM").success());
}

#[test]
fn a_reload_that_is_refused_fails_for_who_asked_and_one_that_is_taken_does_not() {
    let mut served = Served::start();
    let folder = served.folder.path().to_owned();
    let reload = || {
        let asked = command(&folder, "reload --socket reload.sock").output();
        let asked = asked.unwrap();
        let text = String::from_utf8(asked.stderr).unwrap();
        (asked.status.code(), text)
    };
    assert_eq!(reload(), (Some(0), String::new()));
    fs::write(folder.join("resource.toml"), "version = 2\n").unwrap();
    let (code, text) = reload();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("what held before holds: "), "{text}");
    assert!(text.contains("resource.toml:1: "), "{text}");
    fs::write(folder.join("resource.toml"), "version = 1\n").unwrap();
    assert_eq!(reload(), (Some(0), String::new()));
    // What a reload cannot change is refused, too.
    let config = fs::read_to_string(folder.join("provisiond.toml")).unwrap();
    let other = config.replace("issuer = \"i\"", "issuer = \"j\"");
    fs::write(folder.join("provisiond.toml"), other).unwrap();
    assert_eq!(reload().0, Some(1));
    assert!(served.end_by("-TERM").success());
    let (code, text) = reload();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("--reload-socket"), "{text}");
}
