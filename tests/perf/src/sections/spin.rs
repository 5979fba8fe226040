use crate::measure::per_operation;
use crate::placement::{allowed, bind};
use crate::report::Report;
use crate::scale::Scale;
use crate::vault::Vault;
use anyhow::Result;
use nitride_protocol::KeyType;
use nix::unistd::Pid;

const TURNS: u32 = 11;
const BATCH: u32 = 2000;

/// A client on one CPU and its thread of the vault on another: with the look before sleeping, and
/// without, which is how a vault that may use one CPU alone behaves.
pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    let cpus = allowed()?;
    let &[.., here, there] = &cpus[..] else {
        report.absent("looking before sleeping wants two CPUs, and this process may use one");
        return Ok(());
    };
    report.placement(format!(
        "client on CPU {here}, its thread of the vault on CPU {there}"
    ));
    let own = Pid::from_raw(0);
    let looking = Vault::start()?;
    bind(own, &[there])?;
    // Started on one CPU, it counts one.
    let sleeping = Vault::start();
    bind(own, &cpus)?;
    let sleeping = sleeping?;
    let mut clients = Vec::new();
    for vault in [&looking, &sleeping] {
        let mut client = vault.client()?;
        client.generate("perf/tagging", KeyType::HmacSha256, None)?;
        vault.bind_threads(&[there])?;
        clients.push(client);
    }
    bind(own, &[here])?;
    let mut medians = Vec::new();
    let mut turns = vec![Vec::new(); clients.len()];
    for _ in 0..=scale.count(TURNS) {
        for (client, turns) in clients.iter_mut().zip(&mut turns) {
            turns.push(per_operation(scale.count(BATCH), &mut || {
                client.mac("perf/tagging", &[1; 64])?;
                Ok(())
            })?);
        }
    }
    bind(own, &cpus)?;
    for mut values in turns {
        values.sort_by(f64::total_cmp);
        medians.push(values.get(values.len() / 2).copied().unwrap_or(f64::NAN));
    }
    if let [looking, sleeping] = medians[..] {
        report.figure(
            "HMAC 64 B on two CPUs, looking 20 us before sleeping",
            looking,
            "us",
        );
        report.figure("HMAC 64 B on two CPUs, sleeping at once", sleeping, "us");
        report.figure("what looking gains", sleeping / looking, "times as fast");
    }
    Ok(())
}
