//! A disk that is really full: a small file system, mounted where nobody else sees it, with other
//! files taking the rest of it. These tests need root.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nitride_client::Client;
use nitride_protocol::{KeyType, Status};
use nitride_support::plan::Plan;
use nitride_support::program::{RunAs, wait_until};
use nitride_support::unit::is_root_or_says_so;
use nitride_support::world::{World, outcome};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::time::Duration;

fn tables(full: &str) -> String {
    format!(
        "[audit]\nfolder = \"@DIR@/disk/audit\"\nfull = \"{full}\"\nfile-size = \"256KiB\"\n\
         files = 3\nsync = false\n"
    )
}

fn called(program: &str, arguments: &[&str]) -> Result<()> {
    let status = Command::new(program).args(arguments).status()?;
    ensure!(status.success(), "{program} {arguments:?}: {status}");
    Ok(())
}

/// Runs `test` with a vault whose audit is on a file system of 1 MiB, before the vault is started.
/// Mounts are of the thread, and of what it starts.
fn on_a_small_disk(
    name: &str,
    full: &'static str,
    test: impl FnOnce(&mut World) -> Result<()> + Send,
) -> Result<()> {
    if !is_root_or_says_so(name) {
        return Ok(());
    }
    let tried = || {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNS) {
            eprintln!("NOT TRIED, {name}: no namespace of its own for mounts: {error}");
            return Ok(());
        }
        let mut world = World::prepare(Plan {
            vhsmd_tables: tables(full),
            ..Plan::vault("")
        })?;
        let disk = world.path("disk");
        fs::create_dir(&disk)?;
        let place = disk.display().to_string();
        called("mount", &["--make-rprivate", "/"])?;
        called("mount", &["-t", "tmpfs", "-o", "size=1m", "disk", &place])?;
        world.start_quote()?;
        let tested = test(&mut world);
        drop(world.vhsmd.take());
        called("umount", &[&place])?;
        tested
    };
    std::thread::scope(|scope| scope.spawn(tried).join().ok().context("the test panicked"))?
}

/// Takes what is left of the disk.
fn fill(world: &World) -> Result<()> {
    let mut filler = File::create(world.path("disk/filler"))?;
    for len in [65_536, 4096, 1] {
        while filler.write_all(&vec![7; len]).is_ok() {}
    }
    Ok(())
}

fn free(world: &World) -> Result<()> {
    Ok(fs::remove_file(world.path("disk/filler"))?)
}

/// Acts until one is refused, or `most` were done; each changes what the one before it did. Gives
/// how many were done.
fn act(app: &mut Client, most: u64) -> Result<u64> {
    for done in 0..most {
        let called = match done % 2 {
            0 => app.disable("app/key", Some(1)),
            _ => app.enable("app/key", Some(1)),
        };
        match outcome(called)? {
            Status::Ok => {}
            Status::AuditUnavailable => return Ok(done),
            other => anyhow::bail!("{other}"),
        }
    }
    Ok(most)
}

fn state(app: &mut Client) -> Result<String> {
    let found = app.describe("app/key")?;
    let version = found.versions.first().context("no version")?;
    Ok(format!("{:?}", version.state))
}

fn verified(world: &World) -> Result<Value> {
    let folder = world.path("disk/audit").display().to_string();
    let arguments = ["audit", "verify", &folder, "--json"];
    let output = world.vhsm(&RunAs::default(), &arguments, b"")?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{error}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The counts of entries of a kind, added up.
fn counted(world: &World, kind: &str) -> Result<u64> {
    let folder = world.path("disk/audit").display().to_string();
    let arguments = ["audit", "tail", &folder, "--limit", "1000000", "--json"];
    let output = world.vhsm(&RunAs::default(), &arguments, b"")?;
    let entries: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    let of_kind = entries.iter().filter(|entry| entry["kind"] == kind);
    Ok(of_kind.filter_map(|entry| entry["count"].as_u64()).sum())
}

fn warns(app: &mut Client) -> Result<bool> {
    let status = app.status()?;
    Ok(status.warnings.iter().any(|text| text.contains("audit")))
}

/// More acts than 512 KiB have room for.
const MOST: u64 = 20_000;

#[test]
fn a_disk_that_fills_stops_acts_and_lets_them_go_on_when_there_is_room() -> Result<()> {
    let name = "a_disk_that_fills_stops_acts_and_lets_them_go_on_when_there_is_room";
    on_a_small_disk(name, "refuse", |world| {
        world.start_vhsmd()?;
        let mut app = world.application()?;
        app.generate("app/key", KeyType::EcP256, None)?;
        ensure!(!warns(&mut app)?);
        fill(world)?;
        let done = act(&mut app, MOST)?;
        ensure!(done > 100 && done < MOST, "{done} acts");
        // What was refused was not done, and what was done is there.
        let expected = ["Enabled", "Disabled"][usize::try_from(done % 2)?];
        ensure!(state(&mut app)? == expected);
        ensure!(counted(world, "lifecycle")? == done + 1);
        ensure!(warns(&mut app)?);
        ensure!(outcome(app.sign("app/key", None, b"m"))? == Status::AuditUnavailable);
        // What is no act is answered still; a script is told to come again.
        app.random(8)?;
        let output = world.vhsm(&RunAs::default(), &["disable", "app/key"], b"")?;
        ensure!(output.status.code() == Some(6), "{output:?}");
        let told = "the audit's files cannot grow";
        wait_until("the log tells it", Duration::from_secs(10), || {
            Ok(world.vhsmd()?.log().contains(told))
        })?;
        free(world)?;
        wait_until("room", Duration::from_secs(10), || {
            Ok(outcome(app.enable("app/key", Some(1)))? == Status::Ok)
        })?;
        wait_until("no warning", Duration::from_secs(10), || {
            Ok(!warns(&mut app)?)
        })?;
        app.sign("app/key", None, b"m")?;
        ensure!(counted(world, "lifecycle")? == done + 2);
        ensure!(counted(world, "loss")? == 0);
        verified(world)?;
        Ok(())
    })
}

#[test]
fn a_disk_that_fills_and_is_gone_on_with_has_its_losses_counted() -> Result<()> {
    let name = "a_disk_that_fills_and_is_gone_on_with_has_its_losses_counted";
    on_a_small_disk(name, "continue", |world| {
        world.start_vhsmd()?;
        let mut app = world.application()?;
        app.generate("app/key", KeyType::EcP256, None)?;
        fill(world)?;
        let most = 10_000;
        ensure!(act(&mut app, most)? == most);
        ensure!(warns(&mut app)?);
        free(world)?;
        wait_until("the loss is told", Duration::from_secs(10), || {
            Ok(counted(world, "loss")? > 0)
        })?;
        let (written, lost) = (counted(world, "lifecycle")?, counted(world, "loss")?);
        ensure!(written + lost > most, "{written} and {lost}");
        ensure!(!warns(&mut app)?);
        verified(world)?;
        Ok(())
    })
}

#[test]
fn a_disk_that_is_full_from_the_start_is_told_of_and_waited_for() -> Result<()> {
    let name = "a_disk_that_is_full_from_the_start_is_told_of_and_waited_for";
    on_a_small_disk(name, "refuse", |world| {
        fs::create_dir(world.path("disk/audit"))?;
        // A lock's file has its entry in the folder already: making one takes room as well.
        File::create(world.path("disk/audit/lock"))?;
        fill(world)?;
        world.start_vhsmd()?;
        let mut app = world.application()?;
        let called = app.generate("app/key", KeyType::EcP256, None);
        ensure!(outcome(called)? == Status::AuditUnavailable);
        ensure!(warns(&mut app)?);
        free(world)?;
        wait_until("room", Duration::from_secs(10), || {
            let called = app.generate("app/key", KeyType::EcP256, None);
            Ok(outcome(called)? == Status::Ok)
        })?;
        verified(world)?;
        Ok(())
    })
}
