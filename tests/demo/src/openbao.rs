//! The same out of a real OpenBao, by two replicas of the service, of which one dies.

use crate::story::Story;
use crate::{case_b, policy};
use anyhow::{Context, Result, ensure};
use nitride_protocol::Status;
use nitride_support::openbao::Cluster;
use nitride_support::program::wait_until;
use nitride_support::replica::{DiesMidHandshake, start_replicas};
use nitride_support::scan::Needles;
use nitride_support::world::{World, outcome};
use serde_json::Value;
use std::time::Duration;

pub(crate) fn two_replicas(story: &mut Story) -> Result<()> {
    let mut world = World::prepare(policy::trusted_machine())?;
    world.start_quote()?;
    world.start_vhsmd()?;
    story.part("OpenBao in the place of a folder.");
    let mut bao = None;
    story.step("start its server, with an engine and a role", || {
        let started = Cluster::start(&world.pki, 1)?;
        started.keep_resources_of(&world.folder)?;
        bao = Some(started);
        Ok("over TLS, unsealed")
    })?;
    let bao = bao.context("the server was started")?;
    case_b::owner_deposits(story, &world)?;
    story.step("read one of them there, as its root", || {
        let path = "secret/data/nitride/resource/demo/secret/api-key";
        let answer = bao.ask("GET", path, &Value::Null)?;
        ensure!(answer["data"]["data"]["sealed"].is_string(), "{answer}");
        let mut secret = Needles::default();
        secret.add("API key", policy::API_KEY);
        let found = secret.find(answer.to_string().as_bytes());
        ensure!(found.is_empty(), "found: {found:?}");
        Ok("sealed: root of OpenBao cannot read it")
    })?;

    story.part("Two replicas of the service over it, asked in turn.");
    let mut replicas = start_replicas(&mut world, 2)?;
    world.relay()?.meddle(DiesMidHandshake {
        first: Some(replicas.remove(0)),
    });
    let mut hasty = world.application_waiting(Duration::ZERO)?;
    world.start_agent()?;
    story.step("one dies between its challenge and the evidence", || {
        wait_until("prefetch", Duration::from_secs(20), || {
            let there = outcome(hasty.release("app/database-password", None))?;
            Ok(there == Status::Ok)
        })?;
        let exchanges = world.relay()?.exchanges();
        let mut steps = exchanges.iter().map(|one| one.replica);
        ensure!(steps.next() == Some(Some(0)) && steps.all(|replica| replica == Some(1)));
        let challenges = world.relay()?.count("POST", "/kbs/v0/auth");
        ensure!(challenges == 1, "{challenges} challenges");
        Ok("the other takes it, and serves")
    })?;
    let mut app = world.application()?;
    story.step("release a secret that is missing", || {
        let released = app.release("app/api-key", None)?;
        ensure!(**released.secret == *policy::API_KEY);
        Ok("attested, fetched out of OpenBao, released")
    })?;
    world.talkative = false;
    Ok(())
}
