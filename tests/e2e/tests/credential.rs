//! Credentials of units: the kernel says in which unit the client is that PID 1 has made, its name
//! selects the credential, and whoever is refused fails its unit.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use nitride_protocol::Status;
use nitride_support::credential::{Loaded, Loading};
use nitride_support::descriptor_store::DescriptorStore;
use nitride_support::http::HttpMessage;
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::program::{RunAs, wait_until};
use nitride_support::relay::{Fate, Honest, OnRequest};
use nitride_support::unit::{Unit, is_root_or_says_so};
use nitride_support::world::{World, outcome};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PASSWORD: &[u8] = b"a password that only the database is to have";

fn policy(unit: &str) -> String {
    format!(
        r#"
[[key]]
name = "app/db"
type = "secret"
source = "kbs:///demo/app/db"
service = "main"
signer = "owner"
operations = ["release"]
release-to = [{{ unit = "{unit}" }}]
"#
    )
}

/// A world whose vault is to have a credential for `unit`.
fn prepared(unit: &Unit, timeout: &str) -> Result<World> {
    let name = unit.name();
    let mut plan = Plan::chain(&policy(name));
    plan.vhsmd_tables = format!(
        "[[credential]]\nunit = \"{name}\"\nname = \"db-password\"\nkey = \"app/db\"\n\
         timeout = \"{timeout}\"\n"
    );
    World::prepare(plan)
}

fn start(world: &mut World) -> Result<()> {
    world.start_quote()?;
    world.start_vhsmd()?;
    world.start_service()?;
    world.start_agent()
}

/// The owner's secret, for `release_to`.
fn deposit(world: &World, release_to: &str) -> Result<()> {
    let mut deposit = Deposit::secret("demo/app/db", PASSWORD);
    deposit.release_to = vec![release_to.to_owned()];
    world.owner().deposit(&deposit)
}

/// A world whose vault has a credential for `unit`, and the owner's secret for `release_to`.
fn world(unit: &Unit, release_to: &str, timeout: &str) -> Result<World> {
    let mut world = prepared(unit, timeout)?;
    start(&mut world)?;
    deposit(&world, release_to)?;
    Ok(world)
}

fn inside(folder: impl Into<PathBuf>) -> RunAs {
    RunAs {
        cgroup: Some(folder.into()),
        ..RunAs::default()
    }
}

fn load(world: &World, run_as: &RunAs, asked: (&str, &str)) -> Result<Loaded> {
    Loading::start(run_as, &world.path("credentials.sock"), asked)?.end()
}

fn got() -> Loaded {
    Loaded::Credential(PASSWORD.to_owned())
}

#[test]
fn a_unit_gets_its_credential_by_a_round_and_once_more_without() -> Result<()> {
    if !is_root_or_says_so("a_unit_gets_its_credential_by_a_round_and_once_more_without") {
        return Ok(());
    }
    let unit = Unit::create("nitride-e2e-db.service")?;
    let world = world(&unit, "unit:nitride-e2e-db.service", "20s")?;
    let asked = (unit.name(), "db-password");
    assert_eq!(load(&world, &inside(unit.folder()), asked)?, got());
    // As systemd asks twice for a unit with ExecStartPre=, from a group of its own where the unit
    // delegates.
    let control = unit.delegate(".control")?;
    assert_eq!(load(&world, &inside(control), asked)?, got());
    assert_eq!(world.relay()?.count("POST", "/kbs/v0/auth"), 1);
    let log = world.vhsmd()?.log();
    assert!(log.contains("credential released to unit"), "{log}");
    let audited = format!("to credential db-password of {}", unit.name());
    assert!(log.contains(&audited), "{log}");
    assert!(!log.contains("only the database"), "{log}");
    Ok(())
}

#[test]
fn who_is_not_in_the_unit_fails_under_its_name_and_fetches_nothing() -> Result<()> {
    if !is_root_or_says_so("who_is_not_in_the_unit_fails_under_its_name_and_fetches_nothing") {
        return Ok(());
    }
    let unit = Unit::create("nitride-e2e-own.service")?;
    let other = Unit::create("nitride-e2e-other.service")?;
    let slice = Unit::create_slice("nitride-e2e-own.service")?;
    let world = world(&unit, "unit:nitride-e2e-own.service", "20s")?;
    let asked = (unit.name(), "db-password");
    // Another unit, none, one of the name outside system.slice, one that a unit made for itself.
    let disguised = other.delegate(unit.name())?;
    for place in [
        inside(other.folder()),
        RunAs::default(),
        inside(slice.folder()),
        inside(disguised),
    ] {
        assert_eq!(load(&world, &place, asked)?, Loaded::UnitFails, "{place:?}");
    }
    // Its own name and another's credential; what nobody has stated; a name that is none.
    let own = inside(unit.folder());
    for asked in [
        (other.name(), "db-password"),
        (unit.name(), "other"),
        (unit.name(), ""),
        (unit.name(), "db-password/"),
    ] {
        assert_eq!(load(&world, &own, asked)?, Loaded::UnitFails, "{asked:?}");
    }
    // A user of the unit's, where the socket's mode would let it.
    let path = world.path("credentials.sock");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777))?;
    std::fs::set_permissions(
        path.parent().context("a folder")?,
        PermissionsExt::from_mode(0o755),
    )?;
    let user = RunAs {
        user: Some((4321, 4321)),
        ..own
    };
    assert_eq!(load(&world, &user, asked)?, Loaded::UnitFails);
    assert_eq!(world.relay()?.count("POST", "/kbs/v0/auth"), 0);
    let log = world.vhsmd()?.log();
    for reason in [
        "not from the unit itself",
        "no [[credential]]",
        "uid 4321 asks",
    ] {
        assert!(log.contains(reason), "{reason}: {log}");
    }
    Ok(())
}

#[test]
fn a_secret_that_the_owner_gives_to_another_unit_fails_the_unit() -> Result<()> {
    if !is_root_or_says_so("a_secret_that_the_owner_gives_to_another_unit_fails_the_unit") {
        return Ok(());
    }
    let unit = Unit::create("nitride-e2e-narrow.service")?;
    let world = world(&unit, "unit:web.service", "20s")?;
    let asked = (unit.name(), "db-password");
    let loaded = load(&world, &inside(unit.folder()), asked)?;
    assert_eq!(loaded, Loaded::UnitFails);
    Ok(())
}

#[test]
fn a_unit_waits_while_the_service_is_away_and_gets_its_credential() -> Result<()> {
    if !is_root_or_says_so("a_unit_waits_while_the_service_is_away_and_gets_its_credential") {
        return Ok(());
    }
    let unit = Unit::create("nitride-e2e-wait.service")?;
    let world = world(&unit, "unit:nitride-e2e-wait.service", "30s")?;
    let relay = world.relay()?;
    relay.meddle(OnRequest(|_: &mut HttpMessage| Fate::Drop));
    let (run_as, path) = (inside(unit.folder()), world.path("credentials.sock"));
    let mut loading = Loading::start(&run_as, &path, (unit.name(), "db-password"))?;
    wait_until("the agent has tried", Duration::from_secs(20), || {
        Ok(world.agent()?.log().contains("no answer"))
    })?;
    assert!(loading.waits()?);
    relay.meddle(Honest);
    assert_eq!(loading.end()?, got());
    Ok(())
}

#[test]
fn patience_ends_and_then_the_unit_fails() -> Result<()> {
    if !is_root_or_says_so("patience_ends_and_then_the_unit_fails") {
        return Ok(());
    }
    let unit = Unit::create("nitride-e2e-late.service")?;
    let world = world(&unit, "unit:nitride-e2e-late.service", "2s")?;
    world
        .relay()?
        .meddle(OnRequest(|_: &mut HttpMessage| Fate::Drop));
    let begun = Instant::now();
    let asked = (unit.name(), "db-password");
    let loaded = load(&world, &inside(unit.folder()), asked)?;
    assert_eq!(loaded, Loaded::UnitFails);
    assert!(begun.elapsed() >= Duration::from_secs(2));
    Ok(())
}

#[test]
fn a_vault_that_stops_fails_the_units_that_wait() -> Result<()> {
    if !is_root_or_says_so("a_vault_that_stops_fails_the_units_that_wait") {
        return Ok(());
    }
    let unit = Unit::create("nitride-e2e-stop.service")?;
    let world = world(&unit, "unit:nitride-e2e-stop.service", "60s")?;
    world
        .relay()?
        .meddle(OnRequest(|_: &mut HttpMessage| Fate::Drop));
    let (run_as, path) = (inside(unit.folder()), world.path("credentials.sock"));
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(Loading::start(
            &run_as,
            &path,
            (unit.name(), "db-password"),
        )?);
    }
    wait_until("the agent has tried", Duration::from_secs(20), || {
        Ok(world.agent()?.log().matches("no answer").count() > 3)
    })?;
    for loading in &mut waiting {
        assert!(loading.waits()?);
    }
    world.vhsmd()?.stop()?;
    for loading in waiting {
        assert_eq!(loading.end()?, Loaded::UnitFails);
    }
    Ok(())
}

#[test]
fn a_vault_that_stops_fails_a_unit_between_two_tries() -> Result<()> {
    if !is_root_or_says_so("a_vault_that_stops_fails_a_unit_between_two_tries") {
        return Ok(());
    }
    let unit = Unit::create("nitride-e2e-pause.service")?;
    let mut world = prepared(&unit, "60s")?;
    // The service has no such secret.
    start(&mut world)?;
    let (run_as, path) = (inside(unit.folder()), world.path("credentials.sock"));
    let mut loading = Loading::start(&run_as, &path, (unit.name(), "db-password"))?;
    // The pause after the sixth try is longer than vhsmd takes to stop.
    wait_until("it pauses", Duration::from_secs(40), || {
        let log = world.vhsmd()?.log();
        Ok(log.matches("credential of unit is waited for").count() > 5)
    })?;
    assert!(loading.waits()?);
    world.vhsmd()?.stop()?;
    assert_eq!(loading.end()?, Loaded::UnitFails);
    Ok(())
}

#[test]
fn a_vault_that_crashes_serves_who_waited_once_it_is_back() -> Result<()> {
    if !is_root_or_says_so("a_vault_that_crashes_serves_who_waited_once_it_is_back") {
        return Ok(());
    }
    let unit = Unit::create("nitride-e2e-crash.service")?;
    let mut world = prepared(&unit, "60s")?;
    world.store = Some(Arc::new(DescriptorStore::new(64)));
    start(&mut world)?;
    deposit(&world, "unit:nitride-e2e-crash.service")?;
    world
        .relay()?
        .meddle(OnRequest(|_: &mut HttpMessage| Fate::Drop));
    let (run_as, path) = (inside(unit.folder()), world.path("credentials.sock"));
    let mut loading = Loading::start(&run_as, &path, (unit.name(), "db-password"))?;
    wait_until("the agent has tried", Duration::from_secs(20), || {
        Ok(world.agent()?.log().contains("no answer"))
    })?;
    world.vhsmd()?.kill()?;
    std::thread::sleep(Duration::from_millis(500));
    assert!(loading.waits()?, "an end of the stream is a credential");
    world.relay()?.meddle(Honest);
    world.start_vhsmd()?;
    assert_eq!(loading.end()?, got());
    Ok(())
}

#[test]
fn applications_of_the_unit_take_a_rule_all_the_same() -> Result<()> {
    if !is_root_or_says_so("applications_of_the_unit_take_a_rule_all_the_same") {
        return Ok(());
    }
    let unit = Unit::create("nitride-e2e-rule.service")?;
    let world = world(&unit, "unit:nitride-e2e-rule.service", "20s")?;
    let mut app = world.application()?;
    assert_eq!(outcome(app.release("app/db", None))?, Status::Denied);
    Ok(())
}
