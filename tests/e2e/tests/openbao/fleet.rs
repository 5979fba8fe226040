//! A fleet as it runs: all four programs, three replicas behind a balancer, three nodes of integrated
//! storage. One replica and the leader die in the middle of what applications ask for.

use crate::cluster::DEADLINE;
use anyhow::{Context, Result, anyhow, ensure};
use nitride_protocol::KeyType;
use nitride_support::http::HttpMessage;
use nitride_support::openbao::Cluster;
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::relay::{Fate, Meddler};
use nitride_support::replica::{DiesMidHandshake, Replica, start_replicas};
use nitride_support::rules::provisioned;
use nitride_support::world::World;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const KEYS: usize = 24;
const APPLICATIONS: usize = 4;
/// With so many resources asked for the leader dies: some are there, and most are still to come.
const BEFORE_THE_LEADER_DIES: usize = 6;

fn path(number: usize) -> String {
    format!("demo/key/number-{number}")
}

fn name(number: usize) -> String {
    format!("app/number-{number}")
}

/// Sees each request before a replica does.
struct Disaster {
    replica: DiesMidHandshake,
    bao: Arc<Mutex<Cluster>>,
    leader: usize,
    fetches: usize,
}

impl Meddler for Disaster {
    fn request(&mut self, request: &mut HttpMessage) -> Fate {
        self.fetches += usize::from(request.target().1.starts_with("/kbs/v0/resource/"));
        if self.fetches == BEFORE_THE_LEADER_DIES {
            let mut bao = self.bao.lock().unwrap_or_else(PoisonError::into_inner);
            // The second of two has nothing left to kill.
            let _ = bao.kill(self.leader);
        }
        self.replica.request(request)
    }
}

/// Has applications use every key, and gives the longest that one waited.
fn use_all(world: &World) -> Result<Duration> {
    let next = AtomicUsize::new(0);
    let application = || -> Result<Duration> {
        let mut application = world.application_waiting(DEADLINE)?;
        let mut slowest = Duration::ZERO;
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= KEYS {
                return Ok(slowest);
            }
            let began = Instant::now();
            let used = application.mac(&name(number), b"data");
            slowest = slowest.max(began.elapsed());
            used.with_context(|| format!("{} after {:?}", name(number), began.elapsed()))?;
        }
    };
    thread::scope(|scope| {
        let applications: Vec<_> = (0..APPLICATIONS)
            .map(|_| scope.spawn(application))
            .collect();
        let ended = applications.into_iter().map(|application| {
            let slowest = application.join();
            slowest.map_err(|_| anyhow!("an application panicked"))?
        });
        let slowest: Vec<Duration> = ended.collect::<Result<_>>()?;
        slowest.into_iter().max().context("an application")
    })
}

#[test]
fn a_replica_that_dies_mid_handshake_and_a_lost_leader_fail_no_request_of_a_fleet() -> Result<()> {
    let keys = (0..KEYS).map(|n| provisioned(&name(n), KeyType::HmacSha256, &path(n)));
    let mut world = World::prepare(Plan::chain(&keys.collect::<String>()))?;
    let bao = Cluster::start(&world.pki, 3)?;
    bao.keep_resources_of(&world.folder)?;
    world.start_quote()?;
    world.start_vhsmd()?;
    for number in 0..KEYS {
        let path = path(number);
        let key = Deposit::key(&path, KeyType::HmacSha256, &[1; 32]);
        world.owner().deposit(&key)?;
    }
    let mut replicas = start_replicas(&mut world, 3)?;
    world.start_agent()?;
    let leader = bao.leader()?;
    let bao = Arc::new(Mutex::new(bao));
    world.relay()?.meddle(Disaster {
        replica: DiesMidHandshake {
            first: Some(replicas.remove(0)),
        },
        bao: Arc::clone(&bao),
        leader,
        fetches: 0,
    });
    let slowest = use_all(&world);
    let bao = bao.lock().unwrap_or_else(PoisonError::into_inner);
    let slowest = slowest.with_context(|| {
        let refusals: String = replicas.iter().map(Replica::refusals).collect();
        refusals + &bao.logs()
    })?;
    eprintln!("slowest of {KEYS} requests: {slowest:?}");
    ensure!(slowest < DEADLINE, "a request took {slowest:?}");
    ensure!(!bao.runs(leader), "the leader still runs");
    // The replica that died gave a challenge, and never saw it answered.
    let exchanges = world.relay()?.exchanges();
    let of_the_first = exchanges.iter().filter(|one| one.replica == Some(0));
    let asked: Vec<_> = of_the_first.map(|one| one.request.target().1).collect();
    ensure!(!asked.is_empty());
    ensure!(
        asked.iter().all(|path| *path == "/kbs/v0/auth"),
        "{asked:?}"
    );
    Ok(())
}
