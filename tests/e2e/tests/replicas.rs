//! Three replicas behind a balancer that gives each request to another of them. They share keys and a
//! store, and nothing else.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nitride_protocol::{KeyType, Status};
use nitride_support::forge::OpenToken;
use nitride_support::guest::{attested, tee_key};
use nitride_support::http::HttpMessage;
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::replica::{DiesMidHandshake, Replica};
use nitride_support::rules::{GATED, provisioned};
use nitride_support::tls::{ServiceConnection, Upstream};
use nitride_support::world::{World, outcome};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

const REPLICAS: usize = 3;

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
    replicas: Vec<Replica>,
}

/// Replicas that share two rings of keys, with these clocks; tokens are signed by `algorithm`.
fn fleet(algorithm: &str, skews_secs: [i64; REPLICAS]) -> Result<Fleet> {
    let ring = "[\"@DIR@/token/1.pub\", \"@DIR@/token/2.pub\"]";
    let policy = provisioned("app/provisioned", KeyType::HmacSha256, "demo/key/one")
        + &GATED.replace("\"@DIR@/token.pub\"", ring);
    let mut world = World::prepare(Plan::chain(&policy))?;
    rotate(&world, "challenge-key", "challenge", &[])?;
    rotate(&world, "token-key", "token", &["--algorithm", algorithm])?;
    world.start_quote()?;
    world.start_vhsmd()?;
    let clock = skewed_clock(&world)?;
    let replicas = skews_secs.into_iter().enumerate().map(|(number, secs)| {
        let rings = |text: String| {
            text.replace("challenge.key", "challenge")
                .replace("token.key", "token")
        };
        let environment = vec![
            ("LD_PRELOAD".into(), clock.clone().into()),
            ("SKEW_SECS".into(), secs.to_string().into()),
        ];
        Replica::start_in(&world, &format!("replica-{number}"), rings, environment)
    });
    let replicas = replicas.collect::<Result<Vec<_>>>()?;
    let key = Deposit::key("demo/key/one", KeyType::HmacSha256, &[1; 32]);
    world.owner().deposit(&key)?;
    let upstreams = replicas.iter().map(Replica::upstream).cloned();
    world.stand_before(upstreams.collect())?;
    Ok(Fleet { world, replicas })
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

impl Fleet {
    fn with_agent(mut self) -> Result<Self> {
        self.world.start_agent()?;
        Ok(self)
    }

    /// One whole handshake with each request at another replica, and the resource twice, so that the
    /// next handshake begins at another replica than this one; the token.
    fn handshake(&self) -> Result<String> {
        let balanced = self.world.relay_upstream()?;
        let (mut session, token) = attested(&self.world, &balanced, &tee_key()?)?;
        for _ in 0..2 {
            session.resource("demo/key/one")?;
        }
        Ok(token)
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

#[test]
fn any_replica_answers_any_step_and_one_may_die_in_the_middle() -> Result<()> {
    let mut fleet = fleet("es256", [0; REPLICAS])?.with_agent()?;
    // Whoever gave the challenge is gone before the evidence comes.
    let first = Some(fleet.replicas.remove(0));
    let relay = fleet.world.relay()?;
    relay.meddle(DiesMidHandshake { first });
    let mut application = fleet.world.application()?;
    assert_eq!(
        outcome(application.mac("app/provisioned", b"d"))?,
        Status::Ok
    );
    let exchanges = relay.exchanges();
    let of = |path: &str| {
        let mut found = exchanges
            .iter()
            .filter(|one| one.request.target().1.contains(path));
        found.next().map(|one| (one.replica, one.response.status()))
    };
    let (challenged_by, status) = of("/auth").context("a challenge was asked for")?;
    assert_eq!((challenged_by, status), (Some(0), 200));
    let (judged_by, status) = of("/attest").context("it was answered")?;
    assert_ne!(judged_by, Some(0));
    assert_eq!(status, 200);
    let (served_by, _) = of("/resource/").context("the resource was fetched")?;
    assert_ne!(served_by, judged_by);
    // One handshake was enough: nobody had to begin again.
    assert_eq!(relay.count("POST", "/kbs/v0/auth"), 1);
    // And the two that are left open a gate.
    application.generate("app/gated", KeyType::HmacSha256, None)?;
    assert_eq!(outcome(application.mac("app/gated", b"d"))?, Status::Ok);
    Ok(())
}

#[test]
fn replicas_that_rotate_one_after_the_other_serve_all_the_time() -> Result<()> {
    let mut fleet = fleet("es256", [0; REPLICAS])?;
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
            fleet.replicas[number].reload()?;
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
    let replicas = fleet.replicas.iter();
    let sets = replicas.map(Replica::upstream).map(published);
    let sets = sets.collect::<Result<BTreeSet<_>>>()?;
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
