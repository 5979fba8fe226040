//! Several services, and leases that are renewed while the service gives the key.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nitride_protocol::{KeyType, Status};
use nitride_support::binaries::Binaries;
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::program::wait_until;
use nitride_support::world::{World, outcome};
use std::process::Command;
use std::time::{Duration, Instant};

const KEY: &str = r#"
[[key]]
name = "app/mac"
type = "hmac-sha256"
source = "kbs:///demo/key/mac"
service = @SERVICES@
signer = "owner"
operations = ["mac", "verify-mac"]
lease = "12s"
"#;

fn deposit(world: &World) -> Result<()> {
    let owner = world.owner();
    owner.deposit(&Deposit::key("demo/key/mac", KeyType::HmacSha256, &[6; 32]))
}

fn agent_status(world: &World) -> Result<String> {
    let shown = Command::new(&Binaries::find()?.agent)
        .args(["status", "--socket"])
        .arg(world.path("status.sock"))
        .output()?;
    ensure!(shown.status.success(), "{shown:?}");
    Ok(String::from_utf8(shown.stdout)?)
}

#[test]
fn a_key_comes_from_the_spare_service_when_the_first_is_down_and_the_status_says_so() -> Result<()>
{
    let mut plan = Plan::chain(&KEY.replace("@SERVICES@", "[\"main\", \"spare\"]"));
    plan.with_agent = false;
    plan.vhsmd_tables = "[[service]]\nname = \"spare\"\n".to_owned();
    let mut world = World::start(plan)?;
    deposit(&world)?;
    let port = world.relay()?.address().port();
    world.plan.agent_tables = format!(
        "[status]\nsocket = \"@DIR@/status.sock\"\n\n[[service]]\nname = \"spare\"\nca = \"@DIR@/ca.pem\"\n\
         [[service.endpoint]]\nurl = \"https://localhost:{port}\"\n"
    );
    // Nobody listens where the first one is said to be.
    world.start_agent_at("https://localhost:1")?;
    let mut app = world.application_waiting(Duration::from_secs(50))?;
    app.mac("app/mac", b"data")
        .context("by the spare service")?;
    let shown = agent_status(&world)?;
    for said in [
        "service main",
        "unreachable: auth: ",
        "resource demo/key/mac: delivered",
    ] {
        ensure!(shown.contains(said), "{said:?} is not in {shown}");
    }
    Ok(())
}

#[test]
fn a_lease_is_renewed_while_the_service_is_there_and_ends_with_it() -> Result<()> {
    let plan = Plan::chain(&KEY.replace("@SERVICES@", "\"main\""));
    let mut world = World::start(plan)?;
    deposit(&world)?;
    let mut app = world.application()?;
    app.mac("app/mac", b"data")?;
    // Who does not wait for rounds sees each moment in which the key is not here.
    let mut hasty = world.application_waiting(Duration::ZERO)?;
    let rounds =
        |world: &World| Ok::<_, anyhow::Error>(world.relay()?.count("POST", "/kbs/v0/auth"));
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(24) {
        hasty.mac("app/mac", b"data").context("within leases")?;
        std::thread::sleep(Duration::from_millis(100));
    }
    let renewed = rounds(&world)?;
    ensure!((3..=6).contains(&renewed), "{renewed} rounds in 24 s");
    world.service.take().context("a service")?.stop()?;
    let stopped = Instant::now();
    wait_until("the lease's end", Duration::from_secs(20), || {
        Ok(outcome(hasty.mac("app/mac", b"data"))? != Status::Ok)
    })?;
    // The last renewal is at most three quarters of a lease ago.
    ensure!(
        stopped.elapsed() > Duration::from_secs(1),
        "{:?}",
        stopped.elapsed()
    );
    Ok(())
}
