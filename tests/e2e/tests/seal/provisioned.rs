//! The service has a say: a part of the sealing key comes by a round.

use super::world::{Made, SAMPLE, SAMPLE_QUOTE, check_not_open, end, plan, reboot, wait_for};
use anyhow::{Result, ensure};
use nitride_protocol::Status;
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::world::{World, outcome};
use std::time::Duration;

const PART: &str = r#"
[[key]]
name = "vault/part"
type = "secret"
source = "kbs:///demo/seal/part"
service = "main"
signer = "owner"
operations = []
"#;

fn chain() -> Result<World> {
    let alone = plan(&format!("{SAMPLE}provisioned = \"vault/part\"\n"), PART);
    let plan = Plan {
        with_service: true,
        with_agent: true,
        quote_tables: SAMPLE_QUOTE.to_owned(),
        ..alone
    };
    let mut world = World::prepare(plan)?;
    world.start_quote()?;
    world.start_service()?;
    deposit(&world, &[7; 32])?;
    world.start_vhsmd()?;
    Ok(world)
}

fn deposit(world: &World, part: &[u8]) -> Result<()> {
    world
        .owner()
        .deposit(&Deposit::secret("demo/seal/part", part))
}

#[test]
fn a_part_that_a_round_brings_opens_the_seal_and_nothing_opens_without_it() -> Result<()> {
    let mut world = chain()?;
    check_not_open(&world, "waits", "vault/part")?;
    world.start_agent()?;
    wait_for(&world, "open")?;
    let made = Made::make(&world)?;
    // Nobody but the seal has it.
    let released = world
        .application_waiting(Duration::ZERO)?
        .release("vault/part", None);
    ensure!(outcome(released)? != Status::Ok);

    // Without the agent the keys are not there after a reboot; with it they are.
    drop(world.agent.take().map(|agent| agent.kill()));
    reboot(&mut world)?;
    check_not_open(&world, "waits", "vault/part")?;
    world.start_agent()?;
    wait_for(&world, "open")?;
    made.check(&world)?;

    // A service that gives another part opens nothing.
    end(&mut world)?;
    let file = std::fs::read(world.path("seal/vault.sealed"))?;
    deposit(&world, &[8; 32])?;
    world.start_vhsmd()?;
    wait_for(&world, "closed")?;
    check_not_open(&world, "closed", "does not open")?;
    ensure!(std::fs::read(world.path("seal/vault.sealed"))? == file);
    end(&mut world)?;
    deposit(&world, &[7; 32])?;
    world.start_vhsmd()?;
    wait_for(&world, "open")?;
    made.check(&world)
}
