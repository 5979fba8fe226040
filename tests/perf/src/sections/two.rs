use crate::placement::{allowed, bind};
use crate::report::{Bound, Report};
use crate::scale::Scale;
use crate::vault::Vault;
use anyhow::{Context, Result};
use nitride_client::Client;
use nitride_protocol::KeyType;
use nix::unistd::Pid;
use std::sync::Barrier;
use std::time::{Duration, Instant};

const TURNS: usize = 5;
const SPAN: Duration = Duration::from_millis(700);

pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    let cpus = allowed()?;
    let &[.., first, second] = &cpus[..] else {
        report.absent("two clients want two CPUs, and this process may use one");
        return Ok(());
    };
    let vault = Vault::start()?;
    let mut one = vault.client()?;
    one.generate("perf/signing", KeyType::EcP256, None)?;
    let mut other = vault.client()?;
    vault.bind_threads(&[first, second])?;
    report.placement(format!(
        "client 1 and its thread of the vault on CPU {first}, client 2 and its on CPU {second}"
    ));
    let span = scale.span(SPAN);
    let mut ratios = Vec::new();
    let mut rates = (0.0, 0.0);
    for _ in 0..TURNS {
        let alone = together(&mut [(&mut one, first)], span)?;
        let both = together(&mut [(&mut one, first), (&mut other, second)], span)?;
        ratios.push(both / alone);
        rates = (alone, both);
    }
    ratios.sort_by(f64::total_cmp);
    report.figure("one client", rates.0, "P-256 signatures a second");
    report.figure("two clients", rates.1, "P-256 signatures a second");
    let ratio = ratios[TURNS / 2];
    report.budget(
        "two clients / one client, P-256",
        ratio,
        Bound::AtLeast(1.6),
    );
    Ok(())
}

/// Signatures a second of all clients together, each on a thread bound to its CPU.
fn together(clients: &mut [(&mut Client, usize)], span: Duration) -> Result<f64> {
    let start = Barrier::new(clients.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter_mut()
            .map(|(client, cpu)| {
                let start = &start;
                scope.spawn(move || -> Result<f64> {
                    bind(Pid::from_raw(0), &[*cpu])?;
                    client.sign("perf/signing", None, &[1; 32])?;
                    start.wait();
                    let begun = Instant::now();
                    let mut count = 0.0;
                    while begun.elapsed() < span {
                        client.sign("perf/signing", None, &[1; 32])?;
                        count += 1.0;
                    }
                    Ok(count / begun.elapsed().as_secs_f64())
                })
            })
            .collect();
        let mut sum = 0.0;
        for thread in threads {
            sum += thread
                .join()
                .ok()
                .context("a client thread has ended by a fault")??;
        }
        Ok(sum)
    })
}
