//! Backup and restore that are killed: a backup is there whole or not at all, and a restore goes on.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_nitride-provisiond");
/// As many as take some tens of milliseconds to write.
const RESOURCES: usize = 300;

fn command(folder: &Path, line: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.current_dir(folder).args(line.split(' '));
    command
}

fn run(folder: &Path, line: &str) -> Output {
    let output = command(folder, line).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {error}");
    output
}

/// A folder with keys, a store that is empty, and the key of backups.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for line in [
        "store-key generate --out store.key",
        "store-key generate --out challenge.key",
        "token-key generate --out token.pem --public-out token.pub",
    ] {
        run(folder.path(), line);
    }
    config(folder.path(), "store");
    folder
}

/// Has the configuration name another store, which is made when it is used.
fn config(folder: &Path, store: &str) {
    let text = format!(
        "listen = \"127.0.0.1:0\"\ndanger-plain-http = true\nstore = \"{store}\"\n\
         store-key = \"store.key\"\nchallenge-key = \"challenge.key\"\ntoken-key = \"token.pem\"\n\
         issuer = \"i\"\naudience = \"a\"\npolicy-id = \"p\"\n\
         attestation-policy = \"attestation.toml\"\nresource-policy = \"resource.toml\"\n"
    );
    fs::write(folder.join("provisiond.toml"), text).unwrap();
}

/// The same with resources in its store.
fn filled() -> TempDir {
    let folder = folder();
    for number in 0..RESOURCES {
        let file = folder.path().join(format!("trustee/a/b{number}/c"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, format!("resource {number}")).unwrap();
    }
    run(
        folder.path(),
        "import trustee --config provisiond.toml trustee",
    );
    run(folder.path(), "store-key generate --out backup.key");
    folder
}

/// Starts it, kills it after so long, and says whether it had ended by itself.
fn killed(folder: &Path, line: &str, after: Duration) -> bool {
    let mut child = command(folder, line)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    let had_ended = child.try_wait().unwrap().is_some();
    child.kill().unwrap();
    child.wait().unwrap();
    had_ended
}

/// How long it takes where nobody kills it.
fn time(folder: &Path, line: &str) -> Duration {
    let begun = Instant::now();
    run(folder, line);
    begun.elapsed()
}

fn numbers(output: &Output) -> Vec<usize> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text.split(|c: char| !c.is_ascii_digit());
    words.filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn a_backup_that_is_killed_is_there_whole_or_not_at_all() {
    let folder = filled();
    let path = folder.path();
    let backup =
        |out: &str| format!("backup --config provisiond.toml --key backup.key --out {out}");
    let whole = time(path, &backup("whole.backup"));
    let mut missing = 0;
    for turn in 0..24 {
        let name = format!("{turn}.backup");
        killed(path, &backup(&name), whole * turn / 20);
        if !path.join(&name).exists() {
            missing += 1;
            continue;
        }
        config(path, &format!("store-{turn}"));
        let line = format!("restore --config provisiond.toml --key backup.key {name}");
        assert_eq!(numbers(&run(path, &line)), [RESOURCES, 0], "{name}");
        config(path, "store");
    }
    assert!(missing > 0, "none was killed in time");
}

#[test]
fn a_restore_that_is_killed_is_begun_again_and_ends_with_everything() {
    let folder = filled();
    let path = folder.path();
    run(
        path,
        "backup --config provisiond.toml --key backup.key --out all.backup",
    );
    let restore = "restore --config provisiond.toml --key backup.key all.backup";
    config(path, "store-whole");
    let whole = time(path, restore);
    let mut in_the_middle = 0;
    for turn in 0..8 {
        config(path, &format!("store-{turn}"));
        killed(path, restore, whole * (turn + 1) / 10);
        let again = numbers(&run(path, restore));
        let [written, same] = again[..] else {
            panic!("{again:?}");
        };
        assert_eq!(written + same, RESOURCES);
        in_the_middle += usize::from(written > 0 && same > 0);
        let listed = run(path, "resource list --config provisiond.toml");
        let listed = String::from_utf8_lossy(&listed.stdout).lines().count();
        assert_eq!(listed, RESOURCES);
    }
    assert!(in_the_middle > 0, "none was killed in the middle");
}
