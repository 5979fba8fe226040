//! Three replicas behind a balancer that gives each request to another of them. They share keys and a
//! store, and nothing else.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nitride_kbs::report_data::report_data;
use nitride_kbs::tee_key::TeePublicKey;
use nitride_protocol::quote::{EvidenceReply, EvidenceRequest};
use nitride_protocol::{KeyType, Status};
use nitride_support::asker::Asker;
use nitride_support::binaries::Binaries;
use nitride_support::courier::{BoundEvidence, KbsSession};
use nitride_support::forge::{OpenToken, Signatory};
use nitride_support::http::HttpMessage;
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::program::{Launch, Program, RunAs};
use nitride_support::round_robin::RoundRobin;
use nitride_support::tls::{ServiceConnection, Upstream};
use nitride_support::world::{World, outcome};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

const REPLICAS: usize = 3;

const POLICY: &str = r#"
[[key]]
name = "app/provisioned"
type = "hmac-sha256"
source = "kbs:///demo/key/one"
service = "main"
signer = "owner"
operations = ["mac", "verify-mac"]

[[key]]
name = "app/gated"
type = "hmac-sha256"
source = "local"
operations = ["mac", "verify-mac"]
gate = "approved"

[[gate]]
name = "approved"
service = "main"
issuer = "tests"
issuer-key = ["@DIR@/token/1.pub", "@DIR@/token/2.pub"]
audience = "vhsmd"
policy-id = "default"
tees = ["sample"]
max-age = "10m"
danger-accept-simulated = true
"#;

/// The wall clock of a program, some seconds off: time namespaces do not have one.
const SKEWED_CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *at) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int done = real(id, at);
  const char *secs = getenv("SKEW_SECS");
  if (done == 0 && id == CLOCK_REALTIME && secs) at->tv_sec += atol(secs);
  return done;
}
"#;

struct Fleet {
    world: World,
    replicas: Arc<Mutex<Vec<Program>>>,
    addresses: Vec<Upstream>,
    balancer: RoundRobin,
}

/// Replicas that share two rings of keys, with these clocks; tokens are signed by `algorithm`.
fn fleet(algorithm: &str, skews_secs: [i64; REPLICAS]) -> Result<Fleet> {
    let mut world = World::prepare(Plan::chain(POLICY))?;
    rotate(&world, "challenge-key", "challenge", &[])?;
    rotate(&world, "token-key", "token", &["--algorithm", algorithm])?;
    world.start_quote()?;
    world.start_vhsmd()?;
    let clock = skewed_clock(&world)?;
    let (mut replicas, mut addresses) = (Vec::new(), Vec::new());
    for (number, secs) in skews_secs.into_iter().enumerate() {
        let (replica, address) = replica(&world, number, &clock, secs)?;
        replicas.push(replica);
        addresses.push(address);
    }
    let key = Deposit::key("demo/key/one", KeyType::HmacSha256, &[1; 32]);
    world.owner().deposit(&key)?;
    let balancer = RoundRobin::start(&world.pki.server()?, addresses.clone())?;
    Ok(Fleet {
        world,
        replicas: Arc::new(Mutex::new(replicas)),
        addresses,
        balancer,
    })
}

fn rotate(world: &World, kind: &str, folder: &str, more: &[&str]) -> Result<()> {
    let folder = world.path(folder);
    let folder = folder.to_str().context("a path of text")?;
    let words = [&[kind, "rotate", "--folder", folder], more].concat();
    world.owner().provisiond(&words, b"").map(drop)
}

fn skewed_clock(world: &World) -> Result<PathBuf> {
    let source = world.folder.write("skew.c", SKEWED_CLOCK)?;
    let library = world.path("skew.so");
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()
        .context("run cc")?;
    ensure!(status.success(), "cc: {status}");
    Ok(library)
}

/// A replica of the world's service, with a port of its own.
fn replica(
    world: &World,
    number: usize,
    clock: &std::path::Path,
    skew_secs: i64,
) -> Result<(Program, Upstream)> {
    let name = format!("replica-{number}");
    let text = fs::read_to_string(world.path("provisiond.toml"))?
        .replace("service.port", &format!("{name}.port"))
        .replace("challenge.key", "challenge")
        .replace("token.key", "token");
    let config = world.folder.write(&format!("{name}.toml"), text)?;
    let launch = Launch {
        path: Binaries::find()?.provisiond.clone(),
        arguments: ["serve".into(), "--config".into(), OsString::from(config)].into(),
        environment: [
            ("LD_PRELOAD".into(), clock.into()),
            ("SKEW_SECS".into(), skew_secs.to_string().into()),
        ]
        .into(),
        run_as: RunAs::default(),
        name: name.clone(),
    };
    let mut program = Program::launch(&world.folder, &launch)?;
    program.wait_ready()?;
    let address = fs::read_to_string(world.path(&format!("{name}.port")))?;
    let upstream = Upstream {
        address: address.trim().parse().context("read its port")?,
        ca_pem: Some(world.pki.ca_pem().to_owned()),
    };
    Ok((program, upstream))
}

impl Fleet {
    fn with_agent(mut self) -> Result<Self> {
        let port = self.balancer.address().port();
        self.world
            .start_agent_at(&format!("https://localhost:{port}"))?;
        Ok(self)
    }

    fn balanced(&self) -> Upstream {
        Upstream {
            address: self.balancer.address(),
            ca_pem: Some(self.world.pki.ca_pem().to_owned()),
        }
    }

    /// One whole handshake with each request at another replica, and the resource twice, so that the
    /// next handshake begins at another replica than this one; the token.
    fn handshake(&self) -> Result<String> {
        let mut session = KbsSession::open(&self.balanced())?;
        let nonce = session.auth("sample")?;
        let token = session.attest(&nonce, &evidence(&self.world, &nonce)?)?;
        for _ in 0..2 {
            session.resource("demo/key/one")?;
        }
        Ok(token)
    }

    fn reload(&self, number: usize) -> Result<()> {
        let mut replicas = self.replicas.lock().unwrap_or_else(PoisonError::into_inner);
        let replica = replicas.get_mut(number).context("a replica")?;
        replica.signal(Signal::SIGHUP)?;
        replica.wait_for("RELOADING=1", |line| line.starts_with("RELOADING=1"))?;
        replica.wait_ready()
    }

    /// Makes every key of a folder look as old as a rotation wants it.
    fn age(&self, folder: &str) -> Result<()> {
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        for entry in fs::read_dir(self.world.path(folder))? {
            File::open(entry?.path())?.set_modified(long_ago)?;
        }
        Ok(())
    }
}

/// What a vault would do with a nonce, but with a key of the test's.
fn evidence(world: &World, nonce: &str) -> Result<BoundEvidence> {
    let mut jwk = Signatory::numbered(5)?.jwk();
    jwk["alg"] = json!("ECDH-ES+A256KW");
    let key = TeePublicKey::parse(&jwk.to_string())?;
    let mut quote = Asker::connect_silently(&world.path("quote.sock"))?;
    let answer = quote.ask(&EvidenceRequest {
        tee: "sample",
        report_data: &report_data(nonce, &key, ""),
        yields: false,
    })?;
    let reply: EvidenceReply<'_> = answer.result()?;
    Ok(BoundEvidence {
        tee_pubkey: key.to_jwk_json(),
        primary_evidence: reply.primary_evidence.to_owned(),
        additional_evidence: reply.additional_evidence.to_owned(),
    })
}

#[test]
fn any_replica_answers_any_step_and_one_may_die_in_the_middle() -> Result<()> {
    let fleet = fleet("es256", [0; REPLICAS])?.with_agent()?;
    // Whoever gave the challenge is gone before the evidence comes.
    let (replicas, killed) = (Arc::clone(&fleet.replicas), Arc::new(Mutex::new(false)));
    let (done, first) = (Arc::clone(&killed), 1);
    fleet.balancer.watch(move |request: &HttpMessage| {
        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
        if request.target().1 == "/kbs/v0/attest" && !*done {
            let replicas = replicas.lock().unwrap_or_else(PoisonError::into_inner);
            *done = replicas[first].kill().is_ok();
        }
    });
    let mut application = fleet.world.application()?;
    assert_eq!(
        outcome(application.mac("app/provisioned", b"d"))?,
        Status::Ok
    );
    assert!(*killed.lock().unwrap_or_else(PoisonError::into_inner));
    let served = fleet.balancer.served();
    let of = |path: &str| served.iter().find(|one| one.request.contains(path));
    let auth = of("/auth").context("a challenge was asked for")?;
    let attest = of("/attest").context("it was answered")?;
    assert_eq!((auth.replica, auth.status), (first, 200));
    assert_ne!(attest.replica, first);
    assert_eq!(attest.status, 200);
    let resource = of("/resource/").context("the resource was fetched")?;
    assert_ne!(resource.replica, attest.replica);
    // One handshake was enough: nobody had to begin again.
    assert_eq!(
        served
            .iter()
            .filter(|one| one.request.contains("/auth"))
            .count(),
        1
    );
    // And the two that are left open a gate.
    application.generate("app/gated", KeyType::HmacSha256, None)?;
    assert_eq!(outcome(application.mac("app/gated", b"d"))?, Status::Ok);
    Ok(())
}

#[test]
fn replicas_that_rotate_one_after_the_other_serve_all_the_time() -> Result<()> {
    let fleet = fleet("es256", [0; REPLICAS])?;
    let kid = |token: &str| -> Result<String> {
        let token = OpenToken::open(token)?;
        Ok(token.header["kid"].as_str().context("a kid")?.to_owned())
    };
    let before = kid(&fleet.handshake()?)?;
    // Too soon: what the old keys made is still alive somewhere.
    assert!(rotate(&fleet.world, "token-key", "token", &[]).is_err());
    let mut signed_by = BTreeSet::new();
    for _ in 0..2 {
        for (kind, folder) in [("challenge-key", "challenge"), ("token-key", "token")] {
            fleet.age(folder)?;
            rotate(&fleet.world, kind, folder, &[])?;
        }
        for number in 0..REPLICAS {
            fleet.reload(number)?;
            for _ in 0..REPLICAS {
                signed_by.insert(kid(&fleet.handshake()?)?);
            }
        }
    }
    assert_eq!(signed_by.len(), 3);
    assert!(signed_by.contains(&before));
    // All of them publish the same keys, and the newest has signed nothing yet.
    let published = |upstream: &Upstream| -> Result<Vec<String>> {
        let request = HttpMessage::request("GET", "/.well-known/jwks.json", b"");
        let answer = ServiceConnection::open(upstream)?.call(&request)?;
        let keys: Value = serde_json::from_slice(&answer.body)?;
        let keys = keys["keys"].as_array().context("keys")?.iter();
        Ok(keys
            .filter_map(|key| Some(key["kid"].as_str()?.to_owned()))
            .collect())
    };
    let sets = fleet
        .addresses
        .iter()
        .map(published)
        .collect::<Result<BTreeSet<_>>>()?;
    assert_eq!(sets.len(), 1);
    let keys = sets.into_iter().next().context("a set")?;
    assert_eq!(keys.len(), 3);
    assert!(!signed_by.contains(&keys[2]));
    Ok(())
}

#[test]
fn clocks_that_are_seconds_apart_make_no_difference() -> Result<()> {
    let fleet = fleet("es256", [2, -2, 0])?;
    for _ in 0..REPLICAS {
        fleet.handshake()?;
    }
    Ok(())
}

#[test]
fn a_replica_whose_clock_is_a_minute_ahead_is_not_believed() -> Result<()> {
    let fleet = fleet("es256", [60, 0, 0])?;
    // The balancer begins at the second: the first's challenges come third, sixth, ….
    let handshakes: Vec<Result<String>> = (0..REPLICAS).map(|_| fleet.handshake()).collect();
    let refused = handshakes.iter().filter_map(|one| one.as_ref().err());
    let reasons: Vec<String> = refused.map(|error| format!("{error:#}")).collect();
    assert!(!reasons.is_empty());
    for reason in reasons {
        assert!(
            reason.contains("expired") || reason.contains("not valid yet"),
            "{reason}"
        );
    }
    Ok(())
}

#[test]
fn tokens_of_ml_dsa_open_gates_and_are_carried_past_the_cookie() -> Result<()> {
    let fleet = fleet("ml-dsa-65", [0; REPLICAS])?.with_agent()?;
    let mut application = fleet.world.application()?;
    assert_eq!(
        outcome(application.mac("app/provisioned", b"d"))?,
        Status::Ok
    );
    application.generate("app/gated", KeyType::HmacSha256, None)?;
    assert_eq!(outcome(application.mac("app/gated", b"d"))?, Status::Ok);
    Ok(())
}
