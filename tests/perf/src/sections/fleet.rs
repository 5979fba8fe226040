//! The provisioning service under load, on loopback over TLS with connections kept alive.
//!
//! The client is one thread with prepared bytes. What a machine does on processors of its own is
//! left out (it verifies no certificate's signature) or not counted in latencies (it makes evidence
//! between two requests); how much of the processors it has all the same is among the figures.

mod crowd;
mod kind;
pub(super) mod policies;
mod share;
mod wire;

use crate::report::{Bound, Report};
use crate::scale::Scale;
use anyhow::{Context, Result, ensure};
use crowd::{Booted, Crowd, Errand, ROUND_TIMEOUT, Rate};
use kind::{Identity, Kind, RESOURCE};
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::world::World;
use nitride_vectors::{published, snp};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use wire::Service;

const SECRET: &[u8] = b"a passphrase of 256 bits, or so it is said";
const CLIENTS: [u32; 2] = [1, 64];
const SPAN: Duration = Duration::from_secs(4);
const MACHINES: u32 = 10_000;
/// How many of the fleet's connections are open at a time: what the service has slots for as shipped,
/// and most of what the kernel lets wait.
const AT_ONCE: u32 = 4_000;
const OPEN_FILES: u64 = 4_100;
/// Of the configuration, for few that ask often.
const UNTHROTTLED: &str = "\n[throttle]\nrequests-per-second = 1000000\nburst = 1000000\n";
/// Budgets; Trustee's KBS has 4.5 and 1.9 ms here, and 71 MiB.
const HANDSHAKE_MS: f64 = 1.5;
const READ_MS: f64 = 0.7;
const RESIDENT_MIB: f64 = 40.0;

pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    report.placement("the service and a client of one thread on every CPU".to_owned());
    raise_open_files()?;
    let (mut sample, mut snp) = (Bench::sample()?, Bench::snp()?);
    let booted = [sample.boots(report, scale)?, snp.boots(report, scale)?];
    let rated = [sample.rates(report, scale)?, snp.rates(report, scale)?];
    share::run(report, scale, &mut sample, &mut snp)?;
    let name = "provisioning service, most resident memory, MiB";
    let resident = booted.into_iter().chain(rated).fold(0.0, f64::max);
    report.budget(name, resident, Bound::AtMost(RESIDENT_MIB));
    Ok(())
}

/// A service, and machines of one kind.
struct Bench {
    kind: Kind,
    world: World,
}

impl Bench {
    fn sample() -> Result<Self> {
        Self::new(Kind::sample(), Plan::without_agent(""), None)
    }

    fn snp() -> Result<Self> {
        let now_secs = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let vector = snp::Draft::lasting(now_secs).build();
        let mut plan = Plan::without_agent("");
        plan.attestation_policy.clone_from(&vector.policy);
        plan.resource_policy = plan.resource_policy.replace("\"sample\"", "\"snp\"");
        Self::new(Kind::snp(&vector)?, plan, Some(&vector))
    }

    fn new(kind: Kind, plan: Plan, published: Option<&snp::Vector>) -> Result<Self> {
        let mut world = World::prepare(plan)?;
        world.talkative = false;
        if let Some(vector) = published {
            let folder = world.path("collateral");
            published::write_amd(vector, &folder)?;
            let config = std::fs::read_to_string(world.path("provisiond.toml"))?;
            let config = format!("collateral = {folder:?}\n{config}");
            world.folder.write("provisiond.toml", config)?;
        }
        Ok(Self { kind, world })
    }

    /// Few machines, each again and again. The most memory that the service had resident, in MiB.
    fn rates(&mut self, report: &mut Report, scale: Scale) -> Result<f64> {
        let config = std::fs::read_to_string(self.world.path("provisiond.toml"))?;
        let config = config + UNTHROTTLED;
        self.world.folder.write("provisiond.toml", config)?;
        let service = self.start()?;
        let identities = identities(64)?;
        let crowd = self.crowd(&service, &identities)?;
        let opened = crowd.opened()?;
        let is_there = opened.windows(SECRET.len()).any(|part| part == SECRET);
        ensure!(is_there, "what was served is not the resource");
        for count in CLIENTS {
            let name = format!("{}, {count} client{}", self.kind.name, plural(count));
            let handshakes = crowd.repeat(Errand::Handshakes, count, scale.span(SPAN))?;
            figures(report, &format!("{name}: handshake"), &handshakes);
            let reads = crowd.repeat(Errand::Reads, count, scale.span(SPAN))?;
            figures(report, &format!("{name}: GET"), &reads);
            match (self.kind.name, count) {
                ("sample", 1) => {
                    let mut budget = |what: &str, rate: &Rate, most_ms| {
                        let name = format!("provisioning service, {what} p50 of one client, ms");
                        report.budget(name, at(&rate.took, 50), Bound::AtMost(most_ms));
                    };
                    budget("handshake", &handshakes, HANDSHAKE_MS);
                    budget("GET", &reads, READ_MS);
                }
                ("sample", _) => report.budget(
                    format!("provisioning service, handshakes a second of {count} clients"),
                    handshakes.a_second(),
                    Bound::AtLeast(1e3 / HANDSHAKE_MS),
                ),
                _ => {}
            }
        }
        self.resident(report, "rates")
    }

    /// The fleet, by the configuration as shipped: 10,000 sources are nobody's flood. The most memory that
    /// the service had resident, in MiB.
    fn boots(&mut self, report: &mut Report, scale: Scale) -> Result<f64> {
        let service = self.start()?;
        let deposit = Deposit::secret(RESOURCE, SECRET);
        self.world.owner().deposit(&deposit)?;
        let count = scale.count(MACHINES);
        let identities = identities(count)?;
        let crowd = self.crowd(&service, &identities)?;
        let booted = crowd.boot(usize::try_from(AT_ONCE)?)?;
        let name = format!("{}, {count} boot at once", self.kind.name);
        let most = count.min(AT_ONCE);
        report.figure(format!("{name}: connections at a time"), most.into(), "");
        let mut ended: Vec<Duration> = booted.ended.iter().flatten().copied().collect();
        ended.sort();
        let mut own = booted.own.clone();
        own.sort();
        for (what, took) in [("since all began", &ended), ("of its own", &own)] {
            for (share, at_share) in [("p50", 50), ("p99", 99), ("the last", 100)] {
                report.figure(
                    format!("{name}: {share}, {what}"),
                    at(took, at_share) / 1e3,
                    "s",
                );
            }
        }
        let each = |span: Duration| span.as_secs_f64() * 1e6 / f64::from(count);
        report.figure(
            format!("{name}: CPU of the service"),
            each(booted.busy.service),
            "us",
        );
        report.figure(
            format!("{name}: CPU of the client"),
            each(booted.busy.client),
            "us",
        );
        let mut budget =
            |what: &str, value, bound| report.budget(format!("{name}, {what}"), value, bound);
        let without = count - u32::try_from(ended.len())?;
        budget("without their secret", without.into(), Bound::AtMost(0.0));
        let last = at(&ended, 100) / 1e3;
        let deadline = ROUND_TIMEOUT.as_secs_f64();
        budget("the last, s", last, Bound::AtMost(deadline));
        budget(
            "later ones served before one",
            f64::from(overtaken(&booted)?),
            Bound::AtMost(f64::from(AT_ONCE)),
        );
        self.resident(report, "fleet")
    }

    /// Starts the service anew.
    fn start(&mut self) -> Result<Service> {
        if let Some(service) = self.world.service.take() {
            service.stop()?;
        }
        self.world.start_service()?;
        let SocketAddr::V4(address) = self.world.service_upstream()?.address else {
            anyhow::bail!("the service does not listen on IPv4");
        };
        let certificate = std::fs::read_to_string(self.world.path("service.pem"))?;
        Service::new(address, &certificate)
    }

    fn crowd<'a>(&'a self, service: &'a Service, identities: &'a [Identity]) -> Result<Crowd<'a>> {
        Ok(Crowd {
            kind: &self.kind,
            service,
            service_pid: Pid::from_raw(i32::try_from(self.pid()?)?),
            identities,
            resources: &[RESOURCE],
        })
    }

    fn pid(&self) -> Result<u32> {
        let service = self.world.service.as_ref();
        Ok(service.context("the service does not run")?.pid())
    }

    fn resident(&self, report: &mut Report, after: &str) -> Result<f64> {
        let mib = resident(self.pid()?)?;
        let name = format!("{}: resident after the {after}", self.kind.name);
        report.figure(name, mib, "MiB");
        Ok(mib)
    }
}

impl Rate {
    fn count(&self) -> f64 {
        u32::try_from(self.took.len()).map_or(f64::NAN, f64::from)
    }

    fn a_second(&self) -> f64 {
        self.count() / self.span.as_secs_f64()
    }

    fn each_us(&self, of: Duration) -> f64 {
        of.as_secs_f64() * 1e6 / self.count()
    }
}

fn figures(report: &mut Report, name: &str, rate: &Rate) {
    let mut figure = |what: &str, value, unit| report.figure(format!("{name}{what}"), value, unit);
    figure("s a second", rate.a_second(), "/s");
    figure(", p50", at(&rate.took, 50), "ms");
    figure(", p99", at(&rate.took, 99), "ms");
    let busy = rate.busy;
    figure(", CPU of the service", rate.each_us(busy.service), "us");
    figure(", CPU of the client", rate.each_us(busy.client), "us");
}

/// So many in a hundred took at most this, in milliseconds.
fn at(sorted: &[Duration], share: usize) -> f64 {
    let place = (sorted.len() * share / 100).min(sorted.len().saturating_sub(1));
    let took = sorted.get(place);
    took.map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
}

/// The most that began after one, and had their secret before it.
fn overtaken(booted: &Booted) -> Result<u32> {
    let ended = &booted.ended;
    let by_later = |(place, own): (usize, &Option<Duration>)| {
        let later = ended.get(place + 1..).unwrap_or_default();
        // Whom something failed is counted elsewhere.
        let own = own.unwrap_or_default();
        later.iter().flatten().filter(|ended| **ended < own).count()
    };
    let most = ended.iter().enumerate().map(by_later).max();
    Ok(u32::try_from(most.unwrap_or_default())?)
}

/// The most memory that a process had resident, in MiB.
fn resident(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let line = line.context("no VmHWM")?.trim_end_matches("kB");
    Ok(line.trim().parse::<f64>()? / 1024.0)
}

fn identities(count: u32) -> Result<Vec<Identity>> {
    (0..count).map(|_| Identity::draw()).collect()
}

fn plural(count: u32) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Of this process: the service is given what it was shipped for.
fn raise_open_files() -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < OPEN_FILES {
        setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES.min(hard), hard)?;
    }
    Ok(())
}
