//! The service witnesses how far each vault's audit has come, by what the evidence binds.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nitride_protocol::{KeyType, Status};
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::program::RunAs;
use nitride_support::world::{World, outcome};
use std::fs;
use std::time::Duration;

const KEYS: &str = r#"
[[key]]
name = "app/one"
type = "hmac-sha256"
source = "kbs:///demo/key/one"
service = "main"
signer = "owner"
operations = ["mac"]

[[key]]
name = "app/two"
type = "hmac-sha256"
source = "kbs:///demo/key/two"
service = "main"
signer = "owner"
operations = ["mac"]
"#;

/// Two keys of one vault each fetched in a round of its own, from a service that witnesses its audit.
fn world(on_fork: &str) -> Result<World> {
    let world = World::start(Plan {
        vhsmd_tables: "[audit]\nfolder = \"@DIR@/audit\"\nfile-size = \"256KiB\"\nfiles = 3\n"
            .to_owned(),
        service_tables: format!(
            "[audit]\nfolder = \"@DIR@/service-audit\"\nsync = \"entry\"\n\n\
             [witness]\nidentity = [\"sample.svn\"]\non-fork = \"{on_fork}\"\n"
        ),
        ..Plan::chain(KEYS)
    })?;
    for (path, byte) in [("demo/key/one", 1), ("demo/key/two", 2)] {
        let material = [byte; 32];
        world
            .owner()
            .deposit(&Deposit::key(path, KeyType::HmacSha256, &material))?;
    }
    Ok(world)
}

fn mac(world: &World, key: &str) -> Result<Status> {
    outcome(world.application()?.mac(key, b"m"))
}

/// What the service witnessed of this machine, as it prints it.
fn heads(world: &World) -> Result<String> {
    let folder = world.path("service-audit").display().to_string();
    let arguments = ["audit", "heads", &folder, "--machine", "sample.svn=1"];
    world.owner().provisiond(&arguments, b"")
}

fn verify(world: &World, heads: &str) -> Result<(bool, String)> {
    let list = world.folder.write("heads", heads)?;
    let (folder, list) = (world.path("audit"), list.display().to_string());
    let folder = folder.display().to_string();
    let arguments = ["audit", "verify", &folder, "--witnessed", &list];
    let output = world.vhsm(&RunAs::default(), &arguments, b"")?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.success(), error))
}

#[test]
fn each_round_s_head_is_in_the_service_s_audit_and_the_vault_s_has_them_all() -> Result<()> {
    let world = world("note")?;
    assert_eq!(mac(&world, "app/one")?, Status::Ok);
    assert_eq!(mac(&world, "app/two")?, Status::Ok);
    let heads = heads(&world)?;
    let numbers: Vec<u64> = heads
        .lines()
        .map(|line| Ok(line.split(':').next().context("a number")?.parse()?))
        .collect::<Result<_>>()?;
    assert_eq!(numbers.len(), 2, "{heads}");
    assert!(numbers[0] < numbers[1], "{heads}");
    let (verified, error) = verify(&world, &heads)?;
    assert!(verified, "{error}");
    // One digit of one head is not of this chain.
    let other = match heads.trim_end().strip_suffix('0') {
        Some(rest) => format!("{rest}1\n"),
        None => format!("{}0\n", &heads.trim_end()[..heads.trim_end().len() - 1]),
    };
    let (verified, error) = verify(&world, &other)?;
    assert!(!verified);
    assert!(error.contains("another one than was witnessed"), "{error}");
    let list = world
        .owner()
        .provisiond(&["witness", "list", "--config", &config(&world)], b"")?;
    assert!(list.starts_with("sample.svn=1 "), "{list}");
    Ok(())
}

#[test]
fn a_vault_whose_audit_was_put_away_gets_nothing_until_that_is_forgiven() -> Result<()> {
    let mut world = world("refuse")?;
    assert_eq!(mac(&world, "app/one")?, Status::Ok);
    // Beyond what two rounds at a time and two clocks can explain.
    std::thread::sleep(Duration::from_secs(7));
    world.vhsmd.take().context("vhsmd")?.stop()?;
    fs::rename(world.path("audit"), world.path("audit-before"))?;
    world.start_vhsmd()?;
    let refused = mac(&world, "app/one")?;
    ensure!(refused != Status::Ok, "a key for an audit that begins anew");
    let service = world.service.as_ref().context("the service")?.log();
    assert!(
        service.contains("is not what was witnessed") || service.contains("witnessed before"),
        "{service}"
    );
    let (verified, error) = verify(&world, &heads(&world)?)?;
    assert!(!verified);
    assert!(error.contains("witnessed"), "{error}");
    world.owner().provisiond(
        &[
            "witness",
            "forget",
            "--config",
            &config(&world),
            "sample.svn=1",
        ],
        b"",
    )?;
    nitride_support::program::wait_until("the key", Duration::from_secs(40), || {
        Ok(mac(&world, "app/one")? == Status::Ok)
    })?;
    Ok(())
}

fn config(world: &World) -> String {
    world.path("provisiond.toml").display().to_string()
}
