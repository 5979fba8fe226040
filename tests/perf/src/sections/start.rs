use crate::report::{Bound, Report};
use crate::scale::Scale;
use crate::vault::RULE;
use anyhow::{Context, Result};
use nitride_client::Client;
use nitride_protocol::KeyType;
use nitride_support::descriptor_store::DescriptorStore;
use nitride_support::plan::Plan;
use nitride_support::world::World;
use std::sync::Arc;
use std::time::Instant;

const KEYS: u32 = 10_000;
const STARTS: u32 = 9;

/// Room for the keys, in segments that a service manager keeps.
const ARENAS: &str = "records = \"4MiB\"\nrecords-max = \"32MiB\"";

pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    report.placement("the vault on every CPU of this process".to_owned());
    let mut plan = Plan::vault(RULE);
    plan.vhsmd_tables = "[limits]\nkeys = 200000\nkeys-per-uid = 200000\n".to_owned();
    let mut world = World::prepare(plan)?;
    world.talkative = false;
    let text = std::fs::read_to_string(world.path("vhsmd.toml"))?;
    let text = text.replace("records = \"3MiB\"", ARENAS);
    world.folder.write("vhsmd.toml", text)?;
    world.store = Some(Arc::new(DescriptorStore::new(64)));
    world.start_quote()?;
    let (empty, _) = started(&mut world, scale)?;
    let count = scale.count(KEYS);
    let mut client = Client::connect(world.path("vhsm.sock"))?;
    for number in 0..count {
        client.generate(&format!("perf/k{number}"), KeyType::EcP256, None)?;
    }
    drop(client);
    let (ready, first_use) = started(&mut world, scale)?;
    report.figure("start to READY without keys", empty, "ms");
    report.figure(format!("start to READY with {count} keys"), ready, "ms");
    report.figure("connecting and the first signature after", first_use, "ms");
    report.budget(
        format!("start to READY with {count} stored keys, ms"),
        ready,
        Bound::AtMost(200.0),
    );
    Ok(())
}

/// The median milliseconds of some starts, each after an end by SIGKILL; and those from then to the
/// first signature, if there is a key.
fn started(world: &mut World, scale: Scale) -> Result<(f64, f64)> {
    let (mut ready, mut first) = (Vec::new(), Vec::new());
    for _ in 0..=scale.count(STARTS) {
        if let Some(vhsmd) = world.vhsmd.take() {
            vhsmd.kill()?;
        }
        let begun = Instant::now();
        world.start_vhsmd()?;
        ready.push(millis(begun));
        let begun = Instant::now();
        let mut client = Client::connect(world.path("vhsm.sock"))?;
        if client.sign("perf/k1", None, &[1; 32]).is_ok() {
            first.push(millis(begun));
        }
    }
    Ok((
        middle(ready).context("no start")?,
        middle(first).unwrap_or(f64::NAN),
    ))
}

fn millis(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
