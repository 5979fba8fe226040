//! Three nodes of integrated storage, whose leader is killed under load.

use crate::{fetched, guest};
use anyhow::{Context, Result, anyhow, ensure};
use nitride_support::openbao::Cluster;
use nitride_support::plan::Plan;
use nitride_support::program::wait_until;
use nitride_support::replica::Replica;
use nitride_support::world::World;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What a guest's request may take, as nitride-agent's rounds have it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(45);
const COUNTER: &str = "demo/raw/counter";

/// Counts up by one: reads the version, and writes the next number only over that.
fn count(world: &World, number: usize) -> Result<()> {
    let config = world.path("provisiond.toml");
    let config = config.to_string_lossy();
    let mut words = vec![
        "resource", "put", "--config", &config, "--path", COUNTER, "--raw", "-",
    ];
    let version = number.to_string();
    match number {
        0 => words.push("--if-absent"),
        _ => words.extend(["--if-version", &version]),
    }
    let bytes = format!("number {number}");
    world.owner().provisiond(&words, bytes.as_bytes()).map(drop)
}

#[test]
fn a_leader_that_is_killed_under_load_costs_no_request_and_nothing_that_was_acknowledged()
-> Result<()> {
    let mut plan = Plan::chain("");
    // The load is one source's, and as much as goes.
    plan.service_tables = "[throttle]\nrequests-per-second = 100000\nburst = 100000\n".to_owned();
    let mut world = World::prepare(plan)?;
    let mut bao = Cluster::start(&world.pki, 3)?;
    bao.keep_resources_of(&world.folder)?;
    world.start_quote()?;
    let replicas = [
        Replica::start(&world, "one", |toml| toml)?,
        Replica::start(&world, "two", |toml| toml)?,
    ];
    count(&world, 0)?;

    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let written = AtomicUsize::new(1);
    thread::scope(|scope| -> Result<()> {
        let mut readers = Vec::new();
        for number in 0..4 {
            let mut guest = guest(&world, &replicas[number % 2])?;
            let (stop, served) = (&stop, &served);
            readers.push(scope.spawn(move || -> Result<Duration> {
                let mut slowest = Duration::ZERO;
                while !stop.load(Ordering::SeqCst) {
                    let began = Instant::now();
                    let (status, body) = fetched(&mut guest, COUNTER)?;
                    slowest = slowest.max(began.elapsed());
                    ensure!(status == 200, "{status} {body}");
                    ensure!(slowest < DEADLINE, "a request took {slowest:?}");
                    served.fetch_add(1, Ordering::SeqCst);
                }
                Ok(slowest)
            }));
        }
        let (stopping, counted, writing) = (&stop, &written, &world);
        let writer = scope.spawn(move || -> Result<()> {
            while !stopping.load(Ordering::SeqCst) {
                count(writing, counted.load(Ordering::SeqCst))?;
                counted.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        });
        let mut killing = || -> Result<()> {
            for _ in 0..2 {
                let (reads, writes) = (
                    served.load(Ordering::SeqCst),
                    written.load(Ordering::SeqCst),
                );
                wait_until("reads and writes go on", Duration::from_secs(60), || {
                    Ok(served.load(Ordering::SeqCst) > reads + 20
                        && written.load(Ordering::SeqCst) > writes + 2)
                })?;
                let leader = bao.leader()?;
                bao.kill(leader)?;
                let (reads, writes) = (
                    served.load(Ordering::SeqCst),
                    written.load(Ordering::SeqCst),
                );
                wait_until("they go on without it", Duration::from_secs(60), || {
                    Ok(served.load(Ordering::SeqCst) > reads + 20
                        && written.load(Ordering::SeqCst) > writes + 2)
                })?;
                bao.start_again(leader)?;
            }
            Ok(())
        };
        let killed = killing();
        stop.store(true, Ordering::SeqCst);
        let logs = || replicas.each_ref().map(Replica::refusals).concat();
        let written = writer.join().map_err(|_| anyhow!("the writer panicked"))?;
        written.with_context(logs)?;
        for reader in readers {
            let slowest = reader.join().map_err(|_| anyhow!("a reader panicked"))?;
            eprintln!("slowest read: {:?}", slowest.with_context(logs)?);
        }
        killed.with_context(|| bao.logs())
    })?;

    // What was acknowledged is there, each number once: the version is how often it was written.
    let written = written.load(Ordering::SeqCst);
    let config = world.path("provisiond.toml").to_string_lossy().into_owned();
    let words = ["resource", "list", "--versions", "--config", &config];
    let listed = world.owner().provisiond(&words, b"")?;
    assert_eq!(listed, format!("{COUNTER} {written}\n"));
    eprintln!("{} reads, {written} writes", served.load(Ordering::SeqCst));
    Ok(())
}
