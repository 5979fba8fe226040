//! What vhsmd records: everything that matters, in files that nobody changes unseen.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nitride_protocol::{KeyType, Status};
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::program::{RunAs, wait_until};
use nitride_support::rules::provisioned;
use nitride_support::scan::Needles;
use nitride_support::world::{World, outcome};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

const SECRET: &[u8] = b"correct horse battery staple";
const MATERIAL: [u8; 32] = *b"an imported key of thirty-two by";

fn tables(full: &str) -> String {
    format!(
        "[audit]\nfolder = \"@DIR@/audit\"\nfull = \"{full}\"\nfile-size = \"256KiB\"\nfiles = 3\n"
    )
}

fn vault(full: &str) -> Plan {
    Plan {
        vhsmd_tables: tables(full),
        ..Plan::vault("")
    }
}

fn folder(world: &World) -> String {
    world.path("audit").display().to_string()
}

fn verify(world: &World, head: Option<&str>) -> Result<bool> {
    let folder = folder(world);
    let mut arguments = vec!["audit", "verify", &folder, "--json"];
    if let Some(head) = head {
        arguments.extend(["--head", head]);
    }
    let output = world.vhsm(&RunAs::default(), &arguments, b"")?;
    println!("{}", String::from_utf8_lossy(&output.stderr));
    Ok(output.status.success())
}

fn entries(world: &World) -> Result<Vec<Value>> {
    let folder = folder(world);
    let arguments = ["audit", "tail", &folder, "--limit", "100000", "--json"];
    let output = world.vhsm(&RunAs::default(), &arguments, b"")?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn files(world: &World) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(world.path("audit"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "audit") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Waits until an entry is there of which `wanted` says so.
fn wait_for(world: &World, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut found = None;
    wait_until(what, Duration::from_secs(10), || {
        found = entries(world)
            .ok()
            .and_then(|entries| entries.into_iter().find(&wanted));
        Ok(found.is_some())
    })?;
    found.with_context(|| format!("no entry of {what}"))
}

fn is(entry: &Value, kind: &str, operation: &str, status: &str) -> bool {
    entry["kind"] == kind && entry["operation"] == operation && entry["status"] == status
}

#[test]
fn everything_that_matters_has_its_entry_and_no_secret_is_in_it() -> Result<()> {
    let world = World::start(Plan {
        vhsmd_tables: tables("refuse"),
        ..Plan::chain(&provisioned(
            "app/secret",
            KeyType::Secret,
            "demo/secret/one",
        ))
    })?;
    let owner = world.owner();
    owner.deposit(&Deposit::secret("demo/secret/one", SECRET))?;
    let mut app = world.application()?;
    let mut admin = world.admin()?;
    app.generate("app/own", KeyType::EcP256, None)?;
    admin.import("app/brought", KeyType::HmacSha256, None, &MATERIAL)?;
    for _ in 0..50 {
        app.sign("app/own", None, b"a message that is nobody's business")?;
    }
    app.mac("app/brought", b"a message that is nobody's business")?;
    app.generate("app/kept", KeyType::Secret, None)?;
    for _ in 0..20 {
        assert_eq!(outcome(app.release("app/kept", None))?, Status::Denied);
    }
    app.release("app/secret", None)?;
    app.disable("app/own", Some(1))?;
    admin.destroy("app/own", None)?;
    admin.reload()?;
    let uses = wait_for(&world, "uses", |entry| is(entry, "uses", "sign", "ok"))?;
    assert_eq!(
        (&uses["key"], &uses["version"]),
        (&"app/own".into(), &1.into())
    );
    let again = wait_for(&world, "equal denials", |entry| {
        is(entry, "denial", "release", "denied") && entry["count"] != 1
    })?;
    assert_eq!(again["key"], "app/kept");

    let all = entries(&world)?;
    let one = |kind: &str, operation: &str, key: &str| {
        let found = all.iter().find(|entry| {
            is(entry, kind, operation, "ok") && (key.is_empty() || entry["key"] == key)
        });
        found.with_context(|| format!("{kind} {operation} {key}"))
    };
    let generated = one("lifecycle", "generate", "app/own")?;
    assert_eq!(generated["version"], 1);
    assert_eq!(generated["uid"], nix::unistd::getuid().as_raw());
    assert_eq!(generated["pid"], std::process::id());
    assert!(generated["request"].is_u64() && generated["connection"].is_u64());
    one("lifecycle", "import", "app/brought")?;
    one("lifecycle", "disable", "app/own")?;
    one("lifecycle", "destroy", "app/own")?;
    one("release", "release", "app/secret")?;
    let reload = one("policy", "reload", "")?;
    let reason = reload["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("generation 2, digest "), "{reason}");
    assert_eq!(all[0]["kind"], "start");
    let denied: u64 = all
        .iter()
        .filter(|entry| is(entry, "denial", "release", "denied"))
        .filter_map(|entry| entry["count"].as_u64())
        .sum();
    assert_eq!(denied, 20);
    let signed: u64 = all
        .iter()
        .filter(|entry| is(entry, "uses", "sign", "ok"))
        .filter_map(|entry| entry["count"].as_u64())
        .sum();
    assert_eq!(signed, 50);
    for told in ["ordered: round ", "settled"] {
        let of_round = |entry: &&Value| {
            let reason = entry["reason"].as_str().unwrap_or_default();
            entry["kind"] == "round" && reason.starts_with(told)
        };
        all.iter().find(of_round).context(told)?;
    }

    let head = admin.audit_head()?;
    let digest: String = head
        .digest
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(verify(
        &world,
        Some(&format!("{}:{digest}", head.sequence))
    )?);
    assert!(!verify(
        &world,
        Some(&format!("{}:{digest}", head.sequence + 1))
    )?);

    let mut needles = Needles::default();
    needles.add("secret", SECRET);
    needles.add("material", &MATERIAL);
    needles.add("message", b"a message that is nobody's business");
    for path in files(&world)? {
        assert_eq!(needles.find(&fs::read(path)?), []);
    }
    Ok(())
}

#[test]
fn the_chain_goes_on_after_a_kill_and_a_change_is_found() -> Result<()> {
    let mut world = World::start(vault("refuse"))?;
    world
        .application()?
        .generate("app/one", KeyType::EcP256, None)?;
    let before = entries(&world)?.len();
    world.vhsmd()?.kill()?;
    world.start_vhsmd()?;
    world
        .application()?
        .generate("app/two", KeyType::EcP256, None)?;
    assert!(verify(&world, None)?);
    let after = entries(&world)?;
    assert!(after.len() > before);
    let begun = |entry: &&Value| entry["kind"] == "start";
    assert_eq!(after.iter().filter(begun).count(), 2);
    world.vhsmd()?.stop()?;
    assert_eq!(entries(&world)?.last().context("none")?["kind"], "stop");
    let path = files(&world)?.remove(0);
    let mut bytes = fs::read(&path)?;
    bytes[100] ^= 1;
    fs::write(&path, bytes)?;
    assert!(!verify(&world, None)?);
    Ok(())
}

#[test]
fn a_torn_end_is_recorded_when_vhsmd_begins_again() -> Result<()> {
    let mut world = World::start(vault("refuse"))?;
    let mut app = world.application()?;
    app.generate("app/one", KeyType::EcP256, None)?;
    world.vhsmd()?.kill()?;
    let path = files(&world)?.remove(0);
    let mut bytes = fs::read(&path)?;
    let end = bytes.iter().rposition(|byte| *byte != 0).context("empty")? + 1;
    bytes[end..end + 20].copy_from_slice(b"\0\0\0\x80half of an entry");
    fs::write(&path, bytes)?;
    assert!(!verify(&world, None)?);
    world.start_vhsmd()?;
    assert!(verify(&world, None)?);
    let newest = entries(&world)?.pop().context("none")?;
    let reason = newest["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("was cut off"), "{reason}");
    Ok(())
}

/// A disk that is full, to vhsmd: what it would make its files of cannot be made.
fn full(full: &str) -> Result<World> {
    let mut world = World::prepare(vault(full))?;
    fs::create_dir_all(world.path("audit/spare/full"))?;
    world.start_quote()?;
    world.start_vhsmd()?;
    Ok(world)
}

#[test]
fn a_full_disk_lets_nothing_happen_unrecorded() -> Result<()> {
    let world = full("refuse")?;
    let mut app = world.application()?;
    for called in [
        outcome(app.generate("app/key", KeyType::EcP256, None))?,
        outcome(app.sign("app/key", None, b"m"))?,
        outcome(world.admin()?.reload())?,
    ] {
        assert_eq!(called, Status::AuditUnavailable);
    }
    assert_eq!(outcome(app.describe("app/key"))?, Status::KeyNotFound);
    let status = app.status()?;
    assert!(status.warnings.iter().any(|text| text.contains("audit")));
    fs::remove_dir_all(world.path("audit/spare"))?;
    wait_until("room", Duration::from_secs(10), || {
        Ok(app.generate("app/key", KeyType::EcP256, None).is_ok())
    })?;
    app.sign("app/key", None, b"m")?;
    assert!(verify(&world, None)?);
    Ok(())
}

#[test]
fn a_full_disk_that_is_gone_on_with_is_recorded_later() -> Result<()> {
    let world = full("continue")?;
    let mut app = world.application()?;
    app.generate("app/key", KeyType::EcP256, None)?;
    app.sign("app/key", None, b"m")?;
    fs::remove_dir_all(world.path("audit/spare"))?;
    let loss = wait_for(&world, "loss", |entry| entry["kind"] == "loss")?;
    // The beginning and the new key, at least.
    assert!(loss["count"].as_u64() >= Some(2));
    assert!(verify(&world, None)?);
    Ok(())
}

/// Reads what `vhsm audit tail --follow` prints, from the first entry on beside `act`, until
/// `enough` says so.
fn follow(
    world: &World,
    act: impl FnOnce() -> Result<()> + Send,
    mut enough: impl FnMut(&Value) -> bool,
) -> Result<Vec<u64>> {
    let vhsm = &nitride_support::binaries::Binaries::find()?.vhsm;
    let mut child = Command::new(vhsm)
        .args(["--json", "audit", "tail", "--follow", "--limit", "1"])
        .arg(world.path("audit"))
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    let mut sequences = Vec::new();
    let mut next = || -> Result<bool> {
        let line = lines.next().context("it has ended")??;
        let entry: Value = serde_json::from_str(&line)?;
        sequences.push(entry["sequence"].as_u64().context("a number")?);
        Ok(enough(&entry))
    };
    let followed = next().and_then(|_| {
        // Once it has printed one it follows.
        std::thread::scope(|scope| {
            let acting = scope.spawn(act);
            while !next()? {}
            acting.join().ok().context("the act panicked")?
        })
    });
    child.kill()?;
    child.wait()?;
    followed.map(|()| sequences)
}

#[test]
fn entries_are_followed_over_files_that_rotate() -> Result<()> {
    let world = World::start(Plan {
        vhsmd_tables: tables("refuse") + "sync = false\n",
        ..Plan::vault("")
    })?;
    let mut app = world.application()?;
    app.generate("app/key", KeyType::EcP256, None)?;
    let first = files(&world)?.remove(0);
    let act = || {
        // More than two files of 256 KiB have room for: the first is gone at the end.
        for pair in 0..4000 {
            // No faster than somebody reads.
            if pair % 16 == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
            app.disable("app/key", Some(1))?;
            app.enable("app/key", Some(1))?;
        }
        app.generate("app/last", KeyType::EcP256, None)?;
        Ok(())
    };
    let sequences = follow(&world, act, |entry| entry["key"] == "app/last")?;
    assert!(sequences.len() > 8000, "{}", sequences.len());
    for pair in sequences.windows(2) {
        assert_eq!(pair[0] + 1, pair[1]);
    }
    assert!(!first.exists());
    assert!(verify(&world, None)?);
    Ok(())
}

#[test]
fn without_a_folder_the_status_says_what_that_means() -> Result<()> {
    let world = World::start(Plan::vault(""))?;
    let status = world.application()?.status()?;
    let told = |text: &String| text.contains("no [audit] is configured");
    assert!(status.warnings.iter().any(told), "{:?}", status.warnings);
    let world = World::start(vault("refuse"))?;
    let status = world.application()?.status()?;
    assert!(!status.warnings.iter().any(told), "{:?}", status.warnings);
    Ok(())
}
