//! Secrets that are made on first request, by replicas that are all asked first.

use anyhow::{Context, Result, anyhow, ensure};
use nitride_support::guest::{attested, tee_key};
use nitride_support::openbao::Cluster;
use nitride_support::plan::Plan;
use nitride_support::replica::Replica;
use nitride_support::world::World;
use std::sync::Barrier;
use std::thread;

const PATH: &str = "demo/secret/own";
const GUESTS: usize = 12;

/// Sample evidence stands in: the svn is who it is, since this says so.
const GENERATE: &str = r#"
version = 1
signing-key = "owner.key"

[[secret]]
name = "own"
resources = ["demo/secret/own"]
identity = { sample = ["svn"] }
danger-allow-simulated = true
type = "secret"
form = "passphrase"
bytes = 32
operations = ["release"]
release-to = []
wrappable-by = []
lease-secs = 60
max-machines = 100
"#;

#[test]
fn replicas_that_are_all_asked_first_make_one_secret() -> Result<()> {
    let mut plan = Plan::chain("");
    plan.service_tables = "[policies]\ngenerate = \"generate.toml\"\n".to_owned();
    let mut world = World::prepare(plan)?;
    world.folder.write("generate.toml", GENERATE)?;
    let bao = Cluster::start(&world.pki, 1)?;
    bao.keep_resources_of(&world.folder)?;
    world.start_quote()?;
    let replicas = [
        Replica::start(&world, "one", |toml| toml)?,
        Replica::start(&world, "two", |toml| toml)?,
    ];
    let key = tee_key()?;
    let mut guests = Vec::new();
    for number in 0..GUESTS {
        guests.push(attested(&world, replicas[number % 2].upstream(), &key)?.0);
    }
    let together = Barrier::new(GUESTS);
    thread::scope(|scope| -> Result<()> {
        let asking: Vec<_> = guests
            .iter_mut()
            .map(|guest| {
                scope.spawn(|| {
                    together.wait();
                    guest.fetch(PATH)
                })
            })
            .collect();
        for asked in asking {
            let asked = asked.join().map_err(|_| anyhow!("a guest panicked"))?;
            let answer = asked?;
            ensure!(answer.status() == 200, "{answer:?}");
        }
        Ok(())
    })?;
    let logs = replicas.each_ref().map(Replica::log).concat();
    ensure!(logs.matches("version 1, made now").count() == 1, "{logs}");
    ensure!(
        logs.matches("version 1, kept").count() == GUESTS - 1,
        "{logs}"
    );
    let config = world.path("provisiond.toml");
    let config = config.to_str().context("a path in UTF-8")?;
    let words = ["generated", "list", "--config", config];
    let listed = world.owner().provisiond(&words, b"")?;
    ensure!(listed.lines().count() == 1, "{listed}");
    ensure!(
        listed.starts_with("demo/secret/own sample.svn=1 1 "),
        "{listed}"
    );
    // One version in OpenBao, too: nobody wrote over another's.
    let names = bao.ask(
        "LIST",
        "secret/metadata/nitride/record/generated",
        &serde_json::Value::Null,
    )?;
    let of = names["data"]["keys"][0].as_str().context("a folder")?;
    let below = format!("secret/metadata/nitride/record/generated/{of}");
    let names = bao.ask("LIST", &below, &serde_json::Value::Null)?;
    let name = names["data"]["keys"][0].as_str().context("a name")?;
    let read = bao.ask("GET", &format!("{below}{name}"), &serde_json::Value::Null)?;
    ensure!(read["data"]["current_version"] == 1, "{read}");
    Ok(())
}
