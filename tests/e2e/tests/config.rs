//! Bad configuration: each mistake is named with file, line and remedy, and nothing starts; a bad
//! policy changes nothing in a vault that runs.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use nitride_protocol::KeyType;
use nitride_support::binaries::Binaries;
use nitride_support::plan::Plan;
use nitride_support::program::PATIENCE;
use nitride_support::rules::{GATED, provisioned};
use nitride_support::world::{World, run};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn policy() -> String {
    provisioned("app/secret", KeyType::Secret, "demo/secret/one") + GATED
}

/// The files of a world, and no program.
fn files() -> Result<World> {
    let mut world = World::prepare(Plan::chain(&policy()))?;
    world.talkative = false;
    world.folder.write(
        "agent.toml",
        world.expand(concat!(
            "[vhsmd]\nsocket = \"@DIR@/agent.sock\"\n\n[[service]]\nname = \"main\"\n",
            "ca = \"@DIR@/ca.pem\"\n\n[[service.endpoint]]\nurl = \"https://localhost:1\"\n"
        )),
    )?;
    Ok(world)
}

/// Starts a program that must end by itself within its patience.
fn ends(program: &Path, verb: Option<&str>, config: &Path) -> Result<Output> {
    // A program that starts in spite of its file would stay.
    let mut command = Command::new("timeout");
    command
        .args(["--signal=KILL", &PATIENCE.as_secs().to_string()])
        .arg(program)
        .args(verb)
        .arg("--config")
        .arg(config);
    run(&mut command, b"")
}

/// Each program, its subcommand and its file.
fn programs(world: &World) -> Result<Vec<(PathBuf, Option<&'static str>, PathBuf)>> {
    let binaries = Binaries::find()?;
    Ok(vec![
        (binaries.vhsmd.clone(), None, world.path("vhsmd.toml")),
        (binaries.quote.clone(), None, world.path("quote.toml")),
        (binaries.agent.clone(), None, world.path("agent.toml")),
        (
            binaries.provisiond.clone(),
            Some("serve"),
            world.path("provisiond.toml"),
        ),
    ])
}

#[test]
fn an_unknown_key_is_an_error_with_file_and_line_in_every_program() -> Result<()> {
    let world = files()?;
    for (program, verb, file) in programs(&world)? {
        let good = std::fs::read_to_string(&file)?;
        let line = good.lines().count() + 1;
        let table = good
            .lines()
            .rfind(|line| line.starts_with('['))
            .context("a table")?
            .to_owned();
        std::fs::write(&file, format!("{good}prefer-speed-to-safety = true\n"))?;
        let output = ends(&program, verb, &file)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{}: {table}", program.display());
        assert!(said.contains("prefer-speed-to-safety"), "{said}");
        assert!(
            said.contains(&format!("{}:{line}", file.display())),
            "{line}: {said}"
        );
    }
    Ok(())
}

#[test]
fn a_file_that_is_missing_empty_or_no_toml_is_named() -> Result<()> {
    let world = files()?;
    for (program, verb, file) in programs(&world)? {
        for content in [Some(""), Some("= 7"), Some("\u{0}"), None] {
            match content {
                Some(content) => std::fs::write(&file, content)?,
                None => std::fs::remove_file(&file)?,
            }
            let output = ends(&program, verb, &file)?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                !output.status.success(),
                "{}: {content:?}",
                program.display()
            );
            assert!(said.contains(".toml"), "{said}");
            assert!(!said.contains("panicked"), "{said}");
        }
    }
    Ok(())
}

#[test]
fn simulated_evidence_takes_a_line_that_says_so() -> Result<()> {
    let world = files()?;
    for (program, verb, file) in programs(&world)?.into_iter().take(2) {
        let good = std::fs::read_to_string(&file)?;
        std::fs::write(&file, good.replace("danger-simulated = true", ""))?;
        let output = ends(&program, verb, &file)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{}", program.display());
        assert!(said.contains("proves nothing"), "{said}");
    }
    Ok(())
}

#[test]
fn a_policy_that_everybody_can_write_is_not_read() -> Result<()> {
    let world = files()?;
    let file = world.path("policy.d/test.toml");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    let output = ends(&Binaries::find()?.vhsmd, None, &world.path("vhsmd.toml"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(
        said.contains("test.toml") && said.contains("chmod"),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_key_file_that_others_can_read_is_not_used_by_the_service() -> Result<()> {
    let world = files()?;
    let key = world.path("store.key");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    let file = world.path("provisiond.toml");
    let output = ends(&Binaries::find()?.provisiond, Some("serve"), &file)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(
        said.contains("store.key") && said.contains("0600"),
        "{said}"
    );
    Ok(())
}

#[test]
fn every_line_of_a_policy_may_be_missing_doubled_or_mangled_and_the_vault_goes_on() -> Result<()> {
    let mut world = World::start(Plan::vault(&policy()))?;
    world
        .application()?
        .generate("app/k", KeyType::HmacSha256, None)?;
    let good = world.plan.policy.clone();
    let lines: Vec<String> = good.lines().map(str::to_owned).collect();
    let words = [
        "",
        "true",
        "-1",
        "\"\"",
        "\"../x\"",
        "[]",
        "{}",
        "\"kbs:///a/b/c\"",
        "99999999999999999999",
    ];
    let mangling = (0..lines.len(), 0..4_usize, 0..words.len());
    let mut runner = TestRunner::new(Config {
        cases: 150,
        failure_persistence: None,
        ..Config::default()
    });
    let world_cell = std::cell::RefCell::new(&mut world);
    runner
        .run(&mangling, |(at, how, word)| {
            let mut changed = lines.clone();
            match how {
                0 => drop(changed.remove(at)),
                1 => changed.insert(at, lines[at].clone()),
                2 => {
                    let key = lines[at].split('=').next().unwrap_or_default();
                    changed[at] = format!("{key}= {}", words[word]);
                }
                _ => changed[at].truncate(lines[at].len() / 2),
            }
            let mut world = world_cell.borrow_mut();
            // Some are good policies still; then they are taken.
            let _ = world.set_policy(&changed.join("\n"));
            let alive = world.vhsmd().is_ok_and(|vhsmd| vhsmd.exited().is_none());
            prop_assert!(alive, "vhsmd ended over {}", changed.join("\n"));
            Ok(())
        })
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    world.set_policy(&good)?;
    world.application()?.mac("app/k", b"d")?;
    assert!(!world.vhsmd()?.log().contains("panicked"));
    Ok(())
}

#[test]
fn a_second_vault_on_the_same_sockets_gives_way_to_the_first() -> Result<()> {
    let world = World::start(Plan::vault(""))?;
    let output = ends(&Binaries::find()?.vhsmd, None, &world.path("vhsmd.toml"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(said.contains("listens"), "{said}");
    world.application()?.random(8)?;
    Ok(())
}

#[test]
fn without_memory_to_lock_the_vault_does_not_start() -> Result<()> {
    let world = files()?;
    let mut command = Command::new("setpriv");
    // Root may lock what it likes unless it gives the capability up.
    if nix::unistd::getuid().is_root() {
        command.args(["--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"]);
    }
    command
        .args(["--no-new-privs", "prlimit", "--memlock=1048576:1048576"])
        .args(["timeout", "--signal=KILL", "30"])
        .arg(&Binaries::find()?.vhsmd)
        .arg("--config")
        .arg(world.path("vhsmd.toml"));
    let output = run(&mut command, b"")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("RLIMIT_MEMLOCK"), "{said}");
    Ok(())
}
