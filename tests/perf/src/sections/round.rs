use crate::elsewhere::Elsewhere;
use crate::report::{Bound, Report};
use crate::scale::Scale;
use anyhow::{Context, Result};
use nitride_protocol::KeyType;
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::world::World;
use std::fmt::Write;
use std::time::Instant;

const ROUNDS: u32 = 40;

pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    report.placement("all four programs, the relay and the client on every CPU".to_owned());
    let rounds = scale.count(ROUNDS);
    let mut keys = String::new();
    for number in 0..=rounds {
        write!(
            keys,
            "[[key]]\nname = \"perf/k{number}\"\ntype = \"hmac-sha256\"\n\
             source = \"kbs:///perf/key/k{number}\"\nservice = \"main\"\nsigner = \"owner\"\n\
             operations = [\"mac\"]\n"
        )?;
    }
    let mut world = World::start(Plan::chain(&keys))?;
    world.talkative = false;
    for number in 0..=rounds {
        let path = format!("perf/key/k{number}");
        let deposit = Deposit::key(&path, KeyType::HmacSha256, &[6; 32]);
        world.owner().deposit(&deposit)?;
    }
    let elsewhere = Elsewhere::behind(world.relay()?);
    let mut client = world.application()?;
    // The first connects the agent with the service.
    client.mac("perf/k0", b"m")?;
    let (mut whole, mut own) = (Vec::new(), Vec::new());
    for number in 1..=rounds {
        elsewhere.taken();
        let begun = Instant::now();
        client.mac(&format!("perf/k{number}"), b"m")?;
        let took = begun.elapsed();
        whole.push(took.as_secs_f64() * 1e3);
        own.push(took.saturating_sub(elsewhere.taken()).as_secs_f64() * 1e3);
    }
    let middle = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().context("no round")
    };
    let (whole, own) = (middle(&mut whole)?, middle(&mut own)?);
    report.figure("a request that a round brings its key", whole, "ms");
    report.figure("of that, behind the relay", whole - own, "ms");
    // The evidence is the sample's, and that, TLS to the relay and the way there are counted too:
    // more than the budget is about.
    let name = "a round, less the time behind the relay in front of the service, ms";
    report.budget(name, own, Bound::AtMost(5.0));
    Ok(())
}
